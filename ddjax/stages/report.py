"""The report: everything that a run leaves for its reader."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import math
import os
import pathlib
import platform
from typing import TYPE_CHECKING, Any

import jax

from ddjax import artifacts, mesh, report
from ddjax.problem import Problem
from ddjax.process import invocation, switches
from ddjax.process.console import shown_path
from ddjax.run import Run
from ddjax.stages import printing
from ddjax.stages.bundle import Teacher
from ddjax.stages.comparison import Rows
from ddjax.stages.costs import stage_table
from ddjax.stages.dcs import dcs_tables
from ddjax.stages.exports import (
    recommend,
    write_exports,
    write_images,
    write_readme,
    write_recommended,
)
from ddjax.stages.figures import class_images, draw, write_figures
from ddjax.stages.findings import Findings
from ddjax.stages.imports import remarks
from ddjax.stages.outputs import Parts
from ddjax.stages.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


def report_stage(
    problem: Problem,
    draws: list[tuple[Problem, dict[str, Any]]],
    export: str | os.PathLike | None = None,
) -> Stage:
    """The stage of the report: the summary, whose `attrs["missing"]` lists failures.

    It writes members.jsonl, summary.csv, verdicts.json, stages.csv, dcs.csv,
    scores/*.csv, subsets/*.csv, subset.csv, figures/*.png, manifest.json, report.html
    and README.md, which describes them, and with `transfer` architectures.csv, which
    has the students of all networks; all else but members.jsonl is about the first
    network.

    Args:
      problem: the problem.
      draws: of `Problem.draws`, each with its stages: `teachers` by name; `tunings`,
        (entry of `transfer`, regime, budget) -> learning rates; `comparisons` of all
        networks, regimes and budgets; `subsets` by budget; `sets`, budget -> entry of
        `distill` -> synthetic sets; `inputs` of the selections, by budget; `losses`,
        budget -> entry of `distill` -> losses.
      export: folder for the images of the recommended subset; None: none.
    """
    problems = [of for of, _ in draws]

    def make(run: Run, draws: list[dict[str, Any]]) -> pd.DataFrame:
        import pandas as pd

        compared = [each for found in draws for each in found["comparisons"]]
        rows = sum(compared, [])
        everyone = pd.DataFrame(rows)
        members = everyone[everyone["network"] == rows[0]["network"]]
        summary = report.with_label_effect(report.summarise(members), members)
        parts, notes, findings = Parts(), [], []
        for of, found in zip(problems, draws, strict=True):
            findings.append(
                Findings(
                    run,
                    of,
                    parts,
                    found["teachers"],
                    everyone,
                    members,
                    summary,
                    found["subsets"],
                    found["sets"],
                    found["inputs"],
                    found["losses"],
                )
            )
            notes += _notes(of, found["teachers"], found["tunings"])
            sets = [each for by in found["sets"].values() for each in by.values()]
            notes += [note for each in sets for note in each.notes]
        unique = list(dict.fromkeys(notes))
        return _write(problem, findings, rows, unique, export)

    return Stage("report", {"draws": [stages for _, stages in draws]}, make)


def _notes(problem: Problem, teachers: dict[str, Teacher], tunings) -> list[str]:
    """Returns remarks on the validity of the results."""
    settings = problem.settings
    notes = [*problem.source.remarks, *remarks(problem)]
    notes += [note for teacher in teachers.values() for note in teacher.notes]
    notes += [note for rates in tunings.values() for note in rates.notes]
    if settings.protocol.select_on == "test":
        notes.append("Learning rates and windows were chosen on the test split.")
    return notes


def _write(
    problem: Problem,
    draws: list[Findings],
    rows: Rows,
    notes: list[str],
    export: str | os.PathLike | None,
) -> pd.DataFrame:
    found = draws[0]
    run, parts, summary, folder = (
        found.run,
        found.parts,
        found.summary,
        found.run.folder,
    )
    with parts.part("members.jsonl"):
        lines = [json.dumps(finite(row), allow_nan=False) + "\n" for row in rows]
        artifacts.write_file(folder / "members.jsonl", "".join(lines).encode())
    with parts.part("summary.csv"):
        report.write_csv(summary, folder / "summary.csv")
    for each in draws:
        write_exports(each)
        write_images(each)
    answer, tables, published = None, {}, None
    with parts.part("the recommended subset"):
        answer = recommend(found)
    with parts.part("dcs.csv"):
        tables = _write_dcs(draws)
    figures = draw(found, tables)
    if problem.settings.transfer:
        with parts.part("architectures.csv"):
            networks = report.by_architecture(found.everyone)
            report.write_csv(networks, folder / "architectures.csv")
            make = functools.partial(report.architectures_figure, networks)
            drawn = [("Every network", make, "architectures")]
            figures = write_figures(run, parts, drawn) + figures
    figures += learning_curves(run, parts, found.teachers)
    figures += class_images(run, parts, problem)
    with parts.part("the comparison with published numbers"):
        source = problem.source
        published = report.beside(
            problem.settings, source.shape, source.num_classes, summary
        )
    lines = [answer.text] if answer else []
    with parts.part("subset.csv or the export"):
        lines = write_recommended(found, answer, export)
    more = {
        "published": _published(published),
        "recommended": answer.text if answer else "",
    }
    record = _write_report(
        run, problem, parts, notes, figures, more, students=found.everyone
    )
    printing.print_accuracies(parts, summary, published)
    printing.print_end(run, parts, notes, lines, record)
    summary.attrs["missing"] = parts.missing
    return summary


def _write_dcs(draws: list[Findings]) -> dict[tuple[str, int], pd.DataFrame]:
    """Writes dcs.csv, if there is anything in it, and returns its tables."""
    import pandas as pd

    tables = dcs_tables(draws)
    if tables:
        table = pd.concat(tables, names=["regime", "ipc"]).reset_index([0, 1])
        data = artifacts.csv_bytes(table.round(4))
        artifacts.write_file(draws[0].run.folder / "dcs.csv", data)
    return tables


def _published(found: pd.DataFrame | None) -> dict[str, Any] | None:
    """Returns the published numbers beside the run's for the page."""
    if found is None or found.empty:
        return None
    rows = found.astype(str).to_numpy().tolist()
    return {"columns": list(found), "rows": rows, "note": report.EXPLANATION}


def _write_report(
    run: Run,
    problem: Problem,
    parts: Parts,
    notes: list[str],
    figures: list[tuple[str, pathlib.Path]],
    more: dict[str, Any],
    **tables: pd.DataFrame,
) -> report.Record:
    """Writes stages.csv, verdicts.json, report.html and manifest.json.

    Args:
      run: where it ran.
      problem: the problem.
      parts: those that failed so far; the last two files name them.
      notes: remarks on the validity of the results.
      figures: (caption, path) in the order to show.
      more: what the page shows besides, for the manifest.
      **tables: `students` or `teachers` of `report.Record`.

    Returns:
      What the page shows.
    """
    folder = run.folder
    with parts.part("README.md"):
        write_readme(folder, "students" if problem.settings.regimes else "teachers")
    shown = [
        {"file": path.relative_to(folder).as_posix(), "caption": caption}
        for caption, path in figures
    ]
    with parts.part("stages.csv"):
        table = stage_table(run.costs)
        table = table.round({"seconds": 3, "compile_seconds": 3, "share": 4})
        data = artifacts.csv_bytes(table, float_format="%.6g")
        artifacts.write_file(folder / "stages.csv", data)
    manifest = manifest_of(run, problem, notes) | {"figures": shown} | more
    images = tuple(report.PageFigure(**each) for each in shown)
    record = report.Record(folder, manifest, figures=images, **tables)
    if record.compares:
        with parts.part("verdicts.json"):
            if mesh.primary():
                report.write_verdicts(record)
    manifest["notes"] = notes + parts.missing
    with parts.part("report.html"):
        if mesh.primary():
            report.write_page(record)
    with parts.part("manifest.json"):
        manifest["notes"] = notes + parts.missing
        artifacts.write_json(folder / "manifest.json", finite(manifest))
    return record


def teachers_report_stage(problem: Problem, teachers: dict[str, Stage]) -> Stage:
    """The stage of the report of a run that only trains teachers: the summary.

    It writes summary.csv with a row a teacher and snapshot, stages.csv,
    figures/teachers.png, manifest.json, report.html and README.md. The summary has
    teacher, network, parameters, epoch, validation and test accuracy in percent, and
    the bundle's folder; `attrs` as of `report_stage`.

    Args:
      problem: the problem.
      teachers: by name.
    """

    def make(run: Run, teachers: dict[str, Teacher]) -> pd.DataFrame:
        return _write_teachers(run, problem, teachers)

    return Stage("report", {"teachers": teachers}, make)


def _write_teachers(
    run: Run, problem: Problem, teachers: dict[str, Teacher]
) -> pd.DataFrame:
    import pandas as pd

    folder, parts, rows = run.folder, Parts(), []
    notes = _notes(problem, teachers, {})
    for name, teacher in teachers.items():
        artifact = teacher.artifact
        described, info = artifact.manifest["settings"], artifact.info
        last = str(described.get("recipe", {}).get("epochs", ""))
        seen = info.get("snapshots", {}) | {last: info["accuracy"]}
        rows += [
            {
                "teacher": name,
                "network": described["network"],
                "parameters": info["parameters"],
                "epoch": epoch,
                "validation_accuracy": accuracy["validation"],
                "test_accuracy": accuracy["test"],
                "bundle": shown_path(artifact.path),
            }
            for epoch, accuracy in seen.items()
        ]
    summary = pd.DataFrame(rows)
    with parts.part("summary.csv"):
        artifacts.write_file(folder / "summary.csv", artifacts.csv_bytes(summary))
    figures = learning_curves(run, parts, teachers) + class_images(run, parts, problem)
    record = _write_report(run, problem, parts, notes, figures, {}, teachers=summary)
    print()
    print(summary.to_string(index=False, float_format="%.2f"))
    printing.print_end(run, parts, notes, [], record)
    summary.attrs["missing"] = parts.missing
    return summary


def learning_curves(
    run: Run, parts: Parts, teachers: dict[str, Teacher]
) -> list[tuple[str, pathlib.Path]]:
    """Writes figures/teachers.png for the teachers that were trained, if any."""
    trainings = {
        name: teacher.artifact.arrays
        for name, teacher in teachers.items()
        if "validation" in teacher.artifact.arrays
    }
    if not trainings:
        return []
    make = functools.partial(report.learning_curve_figure, trainings)
    drawn = [
        ("Training loss and validation accuracy of the teachers.", make, "teachers")
    ]
    return write_figures(run, parts, drawn)


def manifest_of(run: Run, problem: Problem, notes: list[str]) -> dict[str, Any]:
    """Returns manifest.json: command and times, settings, source, environment, costs.

    Args:
      run: where it ran.
      problem: the problem.
      notes: remarks on the validity of the results.
    """
    now = datetime.datetime.now(datetime.UTC)
    return {
        "run": {
            "command": invocation.command_line(),
            "commit": invocation.commit(),
            "started": run.started.isoformat(timespec="seconds"),
            "ended": now.isoformat(timespec="seconds"),
        },
        "settings": dataclasses.asdict(problem.settings),
        "source": {
            "name": problem.source.name,
            "digest": problem.source.digest,
            "classes": list(problem.source.classes),
            "shape": list(problem.source.shape),
            "remarks": list(problem.source.remarks),
            "pool": len(problem.pool),
            "validation": len(problem.validation),
            "test": len(problem.test),
        },
        "environment": environment(),
        "notes": notes,
        "costs": run.costs,
    }


def environment() -> dict[str, Any]:
    """Returns the versions and devices that computed the numbers."""
    return {
        "versions": artifacts.versions(),
        "backend": jax.default_backend(),
        "devices": [str(device.device_kind) for device in jax.local_devices()],
        "processors": os.cpu_count(),
        "processor": invocation.processor(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "switches": switches.found(),
    }


def finite(value: Any) -> Any:
    """Returns a JSON value with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
