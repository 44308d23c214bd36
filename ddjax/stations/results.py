"""Results: one row a student, the summary, the figures and the report."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import platform
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ddjax import artifacts, mesh, report
from ddjax.artifacts import Artifact, Cost
from ddjax.report.statistics import FULL
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence
from ddjax.stations.exports import write_exports, write_images
from ddjax.stations.figures import draw
from ddjax.stations.images import ImageSets
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
      The summary.
    """
    import pandas as pd

    folder = context.workdir.path
    lines = [json.dumps(_finite(row), allow_nan=False) for row in rows]
    artifacts.write_file(folder / "members.jsonl", ("\n".join(lines) + "\n").encode())
    everyone = pd.DataFrame(rows)
    members = everyone[everyone["network"] == rows[0]["network"]]
    summary = report.with_label_effect(report.summarise(members), members)
    report.write_csv(summary, folder / "summary.csv")
    write_exports(context, members, subsets)
    write_images(context, sets)
    answer = recommend(context, members, summary, subsets)
    tables = dcs_tables(context, members, subsets, evidence)
    if tables:
        table = pd.concat(tables, names=["regime", "ipc"]).reset_index([0, 1])
        text = table.round(4).to_csv(index=False)
        artifacts.write_file(folder / "dcs.csv", text.encode())
    figures = draw(context, members, summary, subsets, sets, evidence, tables, teachers)
    if context.settings.transfer:
        networks = report.by_architecture(everyone)
        report.write_csv(networks, folder / "architectures.csv")
        drawn = report.architectures_figure(networks)
        figures.insert(0, _picture(context, "Every judge", drawn, "architectures"))
    figures += learning_curves(context, teachers)
    source = context.source
    published = report.beside(
        context.settings, source.shape, source.num_classes, summary
    )
    manifest = write_manifest(context, notes)
    failures = everyone[everyone["status"] == "failed"]
    if mesh.primary():
        report.write_html(
            folder / "report.html",
            title=f"{context.settings.name} on {context.source.name}",
            summary=summary,
            figures=figures,
            settings=manifest["settings"],
            costs=context.costs,
            environment=manifest["environment"] | {"source": manifest["source"]},
            failures=failures[_FAILURE].to_dict("records"),
            notes=notes,
            published=published,
            recommended=answer.text if answer else "",
        )
    print()
    print(report.console_table(summary))
    if len(published):
        print(f"\nPublished numbers. {report.EXPLANATION}")
        print(published.to_string(index=False))
    for note in notes:
        print(f"Note: {note}")
    _tell_stations(context)
    print()
    for line in write_recommended(context, answer, export):
        context.say(line)
    context.say(f"report: {os.path.relpath(folder / 'report.html')}")
    return summary


def write_teachers(
    context: Context, teachers: dict[str, Teacher], notes: list[str]
) -> pd.DataFrame:
    """Writes what a run leaves that only trains teachers.

    These are summary.csv with a row a teacher and snapshot, stations.csv,
    figures/teachers.png, manifest.json and report.html.

    Returns:
      The summary: teacher, network, parameters, epoch, validation and test accuracy in
      percent, and the bundle's folder.
    """
    import pandas as pd

    folder, rows = context.workdir.path, []
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
                "bundle": os.path.relpath(artifact.path),
            }
            for epoch, accuracy in seen.items()
        ]
    summary = pd.DataFrame(rows)
    artifacts.write_file(folder / "summary.csv", summary.to_csv(index=False).encode())
    manifest = write_manifest(context, notes)
    if mesh.primary():
        report.write_teachers_html(
            folder / "report.html",
            title=f"{context.settings.name} on {context.source.name}",
            table=summary,
            figures=learning_curves(context, teachers),
            settings=manifest["settings"],
            costs=context.costs,
            environment=manifest["environment"] | {"source": manifest["source"]},
            notes=notes,
        )
    print()
    print(summary.to_string(index=False, float_format="%.2f"))
    for note in notes:
        print(f"Note: {note}")
    _tell_stations(context)
    context.say(f"report: {os.path.relpath(folder / 'report.html')}")
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
    """Writes stations.csv, and prints the stations that took longest."""
    import pandas as pd

    table = station_table(context.costs)
    path = context.workdir.path / "stations.csv"
    text = table.round({"seconds": 3, "compile_seconds": 3, "share": 4}).to_csv(
        index=False, float_format="%.6g"
    )
    artifacts.write_file(path, text.encode())
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
    print(f"\nThe dearest of {len(table)} stations; all are in {path.name}")
    print(shown.to_string(index=False, na_rep="–"))


def learning_curves(
    context: Context, teachers: dict[str, Teacher]
) -> list[tuple[str, pathlib.Path]]:
    """Writes figures/teachers.png for the teachers that were trained, if any."""
    trainings = {
        name: teacher.artifact.arrays
        for name, teacher in teachers.items()
        if "validation" in teacher.artifact.arrays
    }
    if not trainings:
        return []
    figure = report.learning_curve_figure(trainings)
    return [_picture(context, "Learning curves of the teachers", figure, "teachers")]


def _picture(context: Context, caption: str, figure, name: str):
    """Writes a figure; returns (caption, path)."""
    path = context.workdir.path / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    report.save_png(figure, path)
    return caption, path


def write_manifest(context: Context, notes: list[str]) -> dict[str, Any]:
    """Writes manifest.json: what was run, on what, at which cost; and returns it."""
    manifest = {
        "settings": dataclasses.asdict(context.settings),
        "source": {
            "name": context.source.name,
            "digest": context.source.digest,
            "classes": list(context.source.classes),
            "shape": list(context.source.shape),
            "remarks": list(context.source.remarks),
            "pool": len(context.pool),
            "validation": len(context.validation),
            "test": len(context.test),
        },
        "environment": environment(),
        "notes": notes,
        "costs": context.costs,
    }
    path = context.workdir.path / "manifest.json"
    artifacts.write_json(path, _finite(manifest))
    return manifest


def environment() -> dict[str, Any]:
    """Returns what the numbers were made with."""
    return {
        "versions": artifacts.versions(),
        "backend": jax.default_backend(),
        "devices": [str(device.device_kind) for device in jax.local_devices()],
        "processors": os.cpu_count(),
        "machine": platform.machine(),
    }


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


def _finite(value: Any) -> Any:
    """Returns a JSON value with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
