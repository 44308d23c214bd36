"""Results: one row a student, the summary, the figures and the report."""

import dataclasses
import json
import math
import os
import platform
from typing import Any

import jax
import numpy as np
import pandas as pd

from ddjax import artifacts, report
from ddjax.artifacts import Artifact, Cost
from ddjax.report.statistics import FULL
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence
from ddjax.stations.exports import write_exports
from ddjax.stations.figures import draw
from ddjax.stations.students import Outcome
from ddjax.stations.surrogates import dcs_tables


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
    return {
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
        "train_seconds": outcome.train_seconds,
        "select_on": context.settings.protocol.select_on,
        "label_bytes": outcome.label_bytes,
        "label_disk_bytes": outcome.label_disk_bytes,
        "images": len(member.positions),
        "subset": artifacts.digest(context.pool.ids[member.positions]),
        "curve": [round(float(value), 5) for value in outcome.curve],
    }


def _last(curve: np.ndarray) -> float:
    """Returns the last recorded loss; a short run leaves points of its curve empty."""
    recorded = curve[np.isfinite(curve)]
    return float(recorded[-1]) if len(recorded) else float("nan")


def write(
    context: Context,
    rows: list[dict[str, Any]],
    subsets: dict[int, Artifact],
    evidence: dict[int, Evidence],
    notes: list[str],
) -> pd.DataFrame:
    """Writes everything that a run leaves for its reader.

    These are members.jsonl, summary.csv, dcs.csv, scores/*.csv, subsets/*.csv,
    figures/*.png, manifest.json and report.html.

    Args:
      context: the run.
      rows: of `member_row`.
      subsets: budget -> artifact.
      evidence: budget -> what the selections looked at.
      notes: remarks on the validity of the results.

    Returns:
      The summary.
    """
    folder = context.workdir.path
    lines = [json.dumps(_finite(row), allow_nan=False) for row in rows]
    artifacts.write_file(folder / "members.jsonl", ("\n".join(lines) + "\n").encode())
    members = pd.DataFrame(rows)
    summary = report.with_label_effect(report.summarise(members), members)
    report.write_csv(summary, folder / "summary.csv")
    write_exports(context, members, subsets)
    tables = dcs_tables(context, members, subsets, evidence)
    if tables:
        table = pd.concat(tables, names=["regime", "ipc"]).reset_index([0, 1])
        text = table.round(4).to_csv(index=False)
        artifacts.write_file(folder / "dcs.csv", text.encode())
    figures = draw(context, members, summary, subsets, evidence, tables)
    manifest = {
        "settings": dataclasses.asdict(context.settings),
        "source": {
            "name": context.source.name,
            "digest": context.source.digest,
            "classes": list(context.source.classes),
            "shape": list(context.source.shape),
            "pool": len(context.pool),
            "validation": len(context.validation),
            "test": len(context.test),
        },
        "environment": environment(),
        "notes": notes,
        "costs": context.costs,
    }
    artifacts.write_json(folder / "manifest.json", _finite(manifest))
    failures = members[members["status"] == "failed"]
    report.write_html(
        folder / "report.html",
        title=f"{context.settings.name} on {context.source.name}",
        summary=summary,
        figures=figures,
        settings=manifest["settings"],
        costs=context.costs,
        environment=manifest["environment"] | {"source": manifest["source"]},
        failures=failures[["method", "ipc", "regime", "seed", "learning_rate"]].to_dict(
            "records"
        ),
        notes=notes,
    )
    print()
    print(report.console_table(summary))
    for note in notes:
        print(f"Note: {note}")
    context.say(f"report: {os.path.relpath(folder / 'report.html')}")
    return summary


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
    chosen: dict[tuple[str, int], dict[str, float]], rates: tuple[float, ...]
) -> list[str]:
    """Returns remarks on choices at the edge of the grid of learning rates."""
    if len(rates) < 2:
        return []
    edges = {min(rates), max(rates)}
    return [
        f"The learning rate {rate:g} chosen for {_what(method)} under {regime} labels "
        f"at IPC {ipc} lies at the edge of the grid; a wider grid may do better."
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
