"""Results: one row a student, the summary, the figures and the report."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax import artifacts, mesh, report
from ddjax.artifacts import Artifact, Cost
from ddjax.process.console import shown_path
from ddjax.report.statistics import FULL
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence
from ddjax.stations.exports import write_exports, write_images
from ddjax.stations.figures import draw, write_figures
from ddjax.stations.images import ImageSets
from ddjax.stations.manifest import finite, manifest_of
from ddjax.stations.parts import Parts
from ddjax.stations.recommended import recommend, write_recommended
from ddjax.stations.students import Outcome
from ddjax.stations.surrogates import dcs_tables

if TYPE_CHECKING:
    import pandas as pd

_FAILURE = ["network", "method", "ipc", "regime", "seed", "learning_rate"]
_DEAREST = 5  # stations that the console shows


def member_row(
    context: Context, regime: str, outcome: Outcome, found: Cost
) -> dict[str, Any]:
    """Returns the line of `members.jsonl` for one student.

    Args:
      context: the run.
      regime: the student's labels.
      outcome: what became of it.
      found: what its subset cost to find.
    """
    member = outcome.member
    subset = artifacts.digest(context.pool.ids[member.positions])
    return {
        "network": context.settings.student.network.name,
        "method": member.method,
        "ipc": member.ipc,
        "regime": regime,
        "seed": member.seed,
        "status": "failed" if outcome.failed else "ok",
        "accuracy": outcome.accuracy,
        "val_accuracy": outcome.val_accuracy,
        "test_loss": outcome.test_loss,
        "loss": _last(outcome.curve),
        "learning_rate": member.learning_rate,
        "window_start": member.label,
        "steps": outcome.steps,
        "image_passes": outcome.image_passes,
        "find_passes": found.forward_passes + found.train_passes,
        "find_seconds": found.seconds,
        "find_flops": found.flops,
        "train_seconds": outcome.train_seconds,
        "select_on": context.settings.protocol.select_on,
        "label_bytes": outcome.label_bytes,
        "label_disk_bytes": outcome.label_disk_bytes,
        "images": len(member.positions),
        "subset": artifacts.digest([*context.made, subset]) if context.made else subset,
        "curve": _rounded(outcome.curve, 5),
        "train_curve": _rounded(outcome.train_curve, 3),
        "test_curve": _rounded(outcome.test_curve, 3),
        "curve_steps": [int(step) for step in outcome.curve_steps],
    }


def _rounded(values: np.ndarray, decimals: int) -> list[float]:
    return [round(float(value), decimals) for value in values]


def _last(curve: np.ndarray) -> float:
    """Returns the last recorded loss; a short run leaves points of its curve empty."""
    recorded = curve[np.isfinite(curve)]
    return float(recorded[-1]) if len(recorded) else float("nan")


def write(
    context: Context,
    rows: list[dict[str, Any]],
    subsets: dict[int, Artifact],
    sets: dict[int, dict[str, ImageSets]],
    evidence: dict[int, Evidence],
    teachers: dict[str, Teacher],
    notes: list[str],
    export: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Writes everything that a run leaves for its reader.

    These are members.jsonl, summary.csv, stations.csv, dcs.csv, scores/*.csv,
    subsets/*.csv, subset.csv, figures/*.png, manifest.json and report.html, and with
    `transfer` architectures.csv, which has the students of all networks; all else but
    members.jsonl is about the first network.

    Args:
      context: the run.
      rows: of `member_row`.
      subsets: budget -> artifact.
      sets: budget -> entry of `distill` -> its image sets.
      evidence: budget -> what the selections looked at.
      teachers: by name.
      notes: remarks on the validity of the results.
      export: folder for the images of the recommended subset; None: none.

    Returns:
      The summary; `attrs["missing"]` says which parts could not be written.
    """
    import pandas as pd

    folder, parts = context.workdir.path, Parts()
    everyone = pd.DataFrame(rows)
    members = everyone[everyone["network"] == rows[0]["network"]]
    summary = report.with_label_effect(report.summarise(members), members)
    with parts.part("members.jsonl"):
        lines = [json.dumps(finite(row), allow_nan=False) + "\n" for row in rows]
        artifacts.write_file(folder / "members.jsonl", "".join(lines).encode())
    with parts.part("summary.csv"):
        report.write_csv(summary, folder / "summary.csv")
    write_exports(context, parts, members, subsets)
    write_images(context, parts, sets)
    answer, tables, published = None, {}, None
    with parts.part("the recommended subset"):
        answer = recommend(context, members, summary, subsets)
    with parts.part("dcs.csv"):
        tables = _write_dcs(context, members, subsets, evidence)
    figures = draw(
        context, parts, members, summary, subsets, sets, evidence, tables, teachers
    )
    if context.settings.transfer:
        with parts.part("architectures.csv"):
            networks = report.by_architecture(everyone)
            report.write_csv(networks, folder / "architectures.csv")
            make = functools.partial(report.architectures_figure, networks)
            drawn = [("Every judge", make, "architectures")]
            figures = write_figures(context, parts, drawn) + figures
    figures += learning_curves(context, parts, teachers)
    with parts.part("the comparison with published numbers"):
        source = context.source
        published = report.beside(
            context.settings, source.shape, source.num_classes, summary
        )
    told = [answer.text] if answer else []
    with parts.part("subset.csv or the export"):
        told = write_recommended(context, answer, export)
    failures = everyone[everyone["status"] == "failed"]
    _write_report(
        context,
        parts,
        notes,
        report.write_html,
        summary=summary,
        figures=figures,
        failures=failures[_FAILURE].to_dict("records"),
        published=published,
        recommended=answer.text if answer else "",
    )
    print()
    with parts.part("the table on the console"):
        print(report.console_table(summary))
        if published is not None and len(published):
            print(f"\nPublished numbers. {report.EXPLANATION}")
            print(published.to_string(index=False))
    _end(context, parts, notes, told)
    summary.attrs["missing"] = parts.missing
    return summary


def _write_dcs(
    context: Context,
    members: pd.DataFrame,
    subsets: dict[int, Artifact],
    evidence: dict[int, Evidence],
) -> dict[tuple[str, int], pd.DataFrame]:
    """Writes dcs.csv, if there is anything in it, and returns its tables."""
    import pandas as pd

    tables = dcs_tables(context, members, subsets, evidence)
    if tables:
        table = pd.concat(tables, names=["regime", "ipc"]).reset_index([0, 1])
        text = table.round(4).to_csv(index=False)
        artifacts.write_file(context.workdir.path / "dcs.csv", text.encode())
    return tables


def _write_report(
    context: Context,
    parts: Parts,
    notes: list[str],
    write_html: Callable[..., None],
    **shown: Any,
) -> None:
    """Writes report.html and manifest.json, which say what else is missing.

    Args:
      context: the run.
      parts: those that failed so far.
      notes: remarks on the validity of the results.
      write_html: of `report`.
      **shown: what the report shows besides what the manifest says.
    """
    folder = context.workdir.path
    manifest = manifest_of(context, notes + parts.missing)
    with parts.part("report.html"):
        if mesh.primary():
            write_html(
                folder / "report.html",
                title=f"{context.settings.name} on {context.source.name}",
                settings=manifest["settings"],
                costs=context.costs,
                environment=manifest["environment"] | {"source": manifest["source"]},
                notes=notes + parts.missing,
                **shown,
            )
    with parts.part("stations.csv"):
        table = station_table(context.costs)
        text = table.round({"seconds": 3, "compile_seconds": 3, "share": 4}).to_csv(
            index=False, float_format="%.6g"
        )
        artifacts.write_file(folder / "stations.csv", text.encode())
    with parts.part("manifest.json"):
        manifest["notes"] = notes + parts.missing
        artifacts.write_json(folder / "manifest.json", finite(manifest))


def _end(context: Context, parts: Parts, notes: list[str], told: list[str]) -> None:
    """Prints what stands below the table of results."""
    for note in notes + parts.missing:
        print(f"Note: {note}")
    with parts.part("the table of stations on the console"):
        _tell_stations(context)
    print()
    for line in told:
        context.say(line)
    path = context.workdir.path / "report.html"
    there = path.is_file()
    context.say(f"report: {shown_path(path)}" if there else "there is no report.html")


def write_teachers(
    context: Context, teachers: dict[str, Teacher], notes: list[str]
) -> pd.DataFrame:
    """Writes what a run leaves that only trains teachers.

    These are summary.csv with a row a teacher and snapshot, stations.csv,
    figures/teachers.png, manifest.json and report.html.

    Returns:
      The summary: teacher, network, parameters, epoch, validation and test accuracy in
      percent, and the bundle's folder; `attrs` as of `write`.
    """
    import pandas as pd

    folder, parts, rows = context.workdir.path, Parts(), []
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
        text = summary.to_csv(index=False)
        artifacts.write_file(folder / "summary.csv", text.encode())
    figures = learning_curves(context, parts, teachers)
    make = report.write_teachers_html
    _write_report(context, parts, notes, make, table=summary, figures=figures)
    print()
    print(summary.to_string(index=False, float_format="%.2f"))
    _end(context, parts, notes, [])
    summary.attrs["missing"] = parts.missing
    return summary


def station_table(costs: list[dict[str, Any]]) -> pd.DataFrame:
    """Returns what each station of a run took.

    Args:
      costs: of `Context`.

    Returns:
      A row a station, in the order in which they were reached: station, reused,
      seconds without and compile_seconds with the compiler, forward_passes,
      train_passes, flops, images_per_second of the passes and seconds (missing where
      there is nothing to divide) and share, the part of all stations' time that it and
      its compilation took. A reused station counts with what it took when it was made.
    """
    import pandas as pd

    names = ["station", "reused", "seconds", "compile_seconds"]
    names += ["forward_passes", "train_passes", "flops"]
    table = pd.DataFrame(costs, columns=names)
    seconds = table["seconds"].astype(float)
    passes = table["forward_passes"] + table["train_passes"]
    rate = passes / seconds.where(seconds > 0)
    table["images_per_second"] = rate.where(passes > 0).astype(float)
    total = seconds + table["compile_seconds"]
    table["share"] = total / total.sum() if total.sum() > 0 else 0.0
    return table


def _tell_stations(context: Context) -> None:
    """Prints the stations that took longest."""
    import pandas as pd

    table = station_table(context.costs)
    longest = table.nlargest(_DEAREST, "share")
    shown = pd.DataFrame(
        {
            "station": longest["station"],
            "seconds": longest["seconds"].map("{:.1f}".format),
            "compiling": longest["compile_seconds"].map("{:.1f}".format),
            "share": longest["share"].map("{:.0%}".format),
            "images/s": longest["images_per_second"].map("{:,.0f}".format, "ignore"),
            "": longest["reused"].map({True: "reused", False: ""}),
        }
    )
    print(f"\nThe dearest of {len(table)} stations; all are in stations.csv")
    print(shown.to_string(index=False, na_rep="–"))


def learning_curves(
    context: Context, parts: Parts, teachers: dict[str, Teacher]
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
    drawn = [("Learning curves of the teachers", make, "teachers")]
    return write_figures(context, parts, drawn)


def learning_rate_notes(
    chosen: dict[tuple[str, int], dict[str, float]],
    rates: tuple[float, ...],
    network: str = "",
) -> list[str]:
    """Returns remarks on choices at the edge of the grid of learning rates.

    Args:
      chosen: (regime, budget) -> of `tune`.
      rates: the grid.
      network: of `transfer`; "": the students'.
    """
    if len(rates) < 2:
        return []
    edges, who = {min(rates), max(rates)}, f"with {network} " if network else ""
    return [
        f"The learning rate {rate:g} chosen for {_what(method)} under {regime} labels "
        f"{who}at IPC {ipc} lies at the edge of the grid; a wider grid may do better."
        for (regime, ipc), rates_by in chosen.items()
        for method, rate in rates_by.items()
        if rate in edges
    ]


def _what(method: str) -> str:
    return "the full data" if method == FULL else "subsets"
