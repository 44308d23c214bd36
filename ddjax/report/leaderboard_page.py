"""A leaderboard for a terminal, as CSV, as a page and as a submission.

`found` is everywhere the result of `leaderboard.entries`, `ranked` that of
`leaderboard.table`, `measured` that of `augmentations.table`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.artifacts import csv_bytes, write_file
from ddjax.report import augmentations, leaderboard, names, results
from ddjax.report.comparison_page import in_columns, out_folder
from ddjax.report.leaderboard import Entry
from ddjax.report.page.render import environment
from ddjax.report.ranking import PUBLISHED, Quirks
from ddjax.report.setups import HARD
from ddjax.report.statistics import RANDOM, ordered_methods

if TYPE_CHECKING:
    import pandas as pd

PAGE, TABLE, VIEWS = "leaderboard.html", "leaderboard.csv", "augmentations.csv"
SUBMISSION, SCORES = "submission.md", "submission.json"
_KEY = (
    "Fractions ± 95 % interval over seeds, sorted by LRS. HLR, full data minus the set "
    "with hard labels: lower is better. IOR, the set minus random images under its own "
    "labels and augmentation: higher is better. LRS and ARS, of 0 to 1: higher is "
    "better, 0.269 is as good as what they compare with; LRS takes both, w = {w:g}, "
    "ARS the IOR with and without augmentation, gamma = {gamma:g}."
)
_VIEWS_KEY = (
    "Test accuracy ± 95 % interval, fractions, by augmentation of the same students."
)
_AGREEMENT_KEY = (
    "Spearman's rank correlation of the methods' accuracies under two augmentations "
    "(95 % interval; number of methods)."
)
_DECIMALS = 6
# DD-Ranking's names of its results.
_OFFICIAL = {
    "hlr": "hard_label_recovery",
    "ior": "improvement_over_random",
    "lrs": "label_robust_score",
    "augmented_ior": "with_aug_scores",
    "plain_ior": "without_aug_scores",
    "ars": "augmentation_robust_score",
}
_IN_PERCENT = ("hlr", "ior", "augmented_ior", "plain_ior")
_FORM = """\
# An entry for DD-Ranking's leaderboard

Its CONTRIBUTING.md takes new baselines by pull request, in the form "name of the
baseline, code link, [paper link and score run using this tool]". Add the links, and
state that the scores were measured with ddjax, not with the package ddranking: the
definitions are the same, the protocol is that of the run. ± is the deviation over runs,
divided by n, as the package prints it. `submission.json` has the scores under the
package's names.
"""


def grids(ranked: pd.DataFrame) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Returns the tables that people read.

    Args:
      ranked: of `leaderboard.table`.

    Returns:
      A source and budget -> (header, a line for each entry).
    """
    several = ranked["run"].nunique() > 1
    found = {}
    for (source, ipc), rows in ranked.groupby(["source", "ipc"], sort=False):
        header = ["", "method", "student", "views", "labels", "HLR", "IOR"]
        header += ["LRS", "ARS", "n", *["run"] * several]
        lines = [
            [
                "" if row["rank"] is None else f"{row['rank']}",
                names.title(row["method"]) + (" *" if row["note"] else ""),
                row["student"],
                row["views"] or "–",
                row["labels"],
                *(_plus_minus(row, name) for name in ("hlr", "ior", "lrs", "ars")),
                str(row["n"]),
                *[row["run"]] * several,
            ]
            for row in _records(rows)
        ]
        found[f"{source or 'unknown source'}, IPC {ipc}"] = header, lines
    return found


def views_grids(
    measured: pd.DataFrame,
) -> dict[str, tuple[list[str], list[list[str]], list[list[str]]]]:
    """Returns the tables of augmentations that people read.

    Args:
      measured: of `augmentations.table`.

    Returns:
      A run, network, kind of labels and budget -> (header, a line for each method, a
      line for each pair of augmentations).
    """
    found = {}
    keys = ["run", "student", "labels", "ipc"]
    pairs = augmentations.agreement(measured)
    for panel, rows in measured.groupby(keys, sort=False):
        views = list(dict.fromkeys(rows["views"]))
        lines = []
        for method in ordered_methods(rows["method"]):
            of = {row["views"]: row for row in _records(rows[rows["method"] == method])}
            cells = [_plus_minus(of[v], "accuracy") if v in of else "" for v in views]
            lines.append([names.title(method), *cells])
        own = pairs[(pairs[keys] == list(panel)).all(axis=1)]
        alike = [
            [f"{row['views']} | {row['other_views']}", _correlation(row)]
            for row in _records(own)
        ]
        run, student, labels, ipc = panel
        title = f"{run}: {student}, {labels} labels, IPC {ipc}"
        found[title] = ["method", *views], lines, alike
    return found


def console_text(
    found: Sequence[Entry],
    ranked: pd.DataFrame,
    measured: pd.DataFrame,
    quirks: Quirks = PUBLISHED,
) -> str:
    """Returns a leaderboard for a terminal."""
    blocks = [
        f"{results.printable(title)}\n{in_columns([header, *lines])}"
        for title, (header, lines) in grids(ranked).items()
    ]
    blocks.append(key(ranked))
    for title, (header, lines, alike) in views_grids(measured).items():
        text = f"{results.printable(title)}\n{in_columns([header, *lines])}"
        if alike:
            text += f"\n\n{in_columns(alike)}"
        blocks.append(text)
    if len(measured):
        blocks.append(f"{_VIEWS_KEY} {_AGREEMENT_KEY}")
    notes = leaderboard.remarks(found, quirks)
    blocks.append("\n".join(f"Note: {results.printable(text)}" for text in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def key(ranked: pd.DataFrame) -> str:
    """Returns sentences on the columns."""
    return _KEY.format(w=ranked["w"].iloc[0], gamma=ranked["gamma"].iloc[0])


def submission(found: Sequence[Entry]) -> str:
    """Returns entries in the form in which DD-Ranking's repository takes them.

    Args:
      found: of `leaderboard.entries`; random is left out.

    Source: CONTRIBUTING.md of NUS-HPC-AI-Lab/DD-Ranking, which has no file of data.
    """
    lines = [_FORM]
    for each in found:
        if each.method == RANDOM:
            continue
        scores = ", ".join(
            f"{name.upper()} {_number(values, name in _IN_PERCENT)}"
            for name, values in each.scores.items()
            if name in ("hlr", "ior", "lrs", "ars")
        )
        about = (
            f"{_dataset(each)}, IPC {each.ipc}, {_student(each)}, {each.regime} labels"
        )
        lines.append(
            f"- {names.title(each.method)}, CODE LINK, [PAPER LINK; {about}: {scores}]"
        )
    return "\n".join(lines) + "\n"


def official(
    found: Sequence[Entry], quirks: Quirks = PUBLISHED
) -> list[dict[str, Any]]:
    """Returns the scores under the names of the official package.

    HLR, IOR and the parts of ARS are percentage points there, deviations are those of
    a population (divided by n).

    Args:
      found: of `leaderboard.entries`; random is left out.
      quirks: that they were made with.
    """
    rows = []
    for each in found:
        if each.method == RANDOM:
            continue
        row: dict[str, Any] = {
            "method_name": names.title(each.method),
            "dataset": _dataset(each),
            "ipc": each.ipc,
            "model_name": _student(each),
            "label_type": "hard" if each.regime == HARD else "soft",
            "labels": each.regime,
            "augmentation": each.setup.views,
            "num_eval": max(len(values) for values in each.scores.values()),
        }
        for name, ours in _OFFICIAL.items():
            if name in each.scores:
                scale = 100.0 if name in _IN_PERCENT else 1.0
                values = scale * each.scores[name]
                row[f"{ours}_mean"] = round(float(values.mean()), _DECIMALS)
                row[f"{ours}_std"] = round(float(values.std()), _DECIMALS)
        row |= {"measured_with": "ddjax", "quirks": quirks.names}
        rows.append(row)
    return rows


def write(
    folder: str | os.PathLike,
    found: Sequence[Entry],
    ranked: pd.DataFrame,
    measured: pd.DataFrame,
    quirks: Quirks = PUBLISHED,
) -> list[Path]:
    """Writes leaderboard.csv and .html, submission.md and .json.

    And augmentations.csv, where a network has several.

    Args:
      folder: made if it is not there.
      found: of `leaderboard.entries`.
      ranked: of `leaderboard.table`.
      measured: of `augmentations.table`.
      quirks: that they were made with.

    Returns:
      The files.

    Raises:
      InputError: the folder cannot be made.
    """
    place = out_folder(folder)
    runs = list(dict.fromkeys(ranked["run"]))
    numbers = ranked.round(4).astype(object).where(ranked.notna(), "–")
    page = (
        environment()
        .get_template("leaderboard.html.j2")
        .render(
            title="Leaderboard of " + ", ".join(runs),
            name="ddjax leaderboard",
            thumbnails="",
            facts=[
                f"{len(runs)} run{'s' * (len(runs) != 1)}",
                f"{len(ranked)} entries",
            ],
            grids=grids(ranked),
            key=key(ranked),
            views_grids=views_grids(measured),
            views_key=f"{_VIEWS_KEY} {_AGREEMENT_KEY}",
            notes=leaderboard.remarks(found, quirks),
            columns=list(ranked.columns),
            numbers=[[str(value) for value in row] for row in numbers.to_numpy()],
            submission=submission(found),
        )
    )
    scores = json.dumps(official(found, quirks), indent=1, ensure_ascii=False)
    contents = {
        TABLE: csv_bytes(ranked.round(_DECIMALS)),
        PAGE: page.encode(errors="backslashreplace"),
        SUBMISSION: submission(found).encode(errors="backslashreplace"),
        SCORES: (scores + "\n").encode(errors="backslashreplace"),
    }
    if len(measured):
        contents[VIEWS] = csv_bytes(measured.round(_DECIMALS))
    for name, content in contents.items():
        write_file(place / name, content)
    return [place / name for name in contents]


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts, with None where a number is not known."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def _plus_minus(row: dict[str, Any], name: str) -> str:
    """Such as "0.024 ±0.003", and "–" where there is none."""
    half = row.get("ci95" if name == "accuracy" else f"{name}_ci95")
    return _text(row[name], half)


def _text(mean: float | None, half: float | None) -> str:
    if mean is None:
        return "–"
    size = f"{mean:.3f}" if abs(mean) < 1000 else f"{mean:.3g}"
    if half is None or math.isnan(half):
        return f"{size} ±?".replace("-", "−")
    width = f"{half:.3f}" if half < 1000 else f"{half:.3g}"
    return f"{size} ±{width}".replace("-", "−")


def _correlation(row: dict[str, Any]) -> str:
    if row["rho"] is None:
        return f"– ({row['n']})"
    interval = ""
    if row["low"] is not None:
        interval = f"{row['low']:.2f} to {row['high']:.2f}; "
    return f"{row['rho']:.2f} ({interval}{row['n']})".replace("-", "−")


def _number(values: np.ndarray, percent: bool) -> str:
    """Mean and population deviation, as the official package prints them."""
    if percent:
        return f"{100 * values.mean():.2f} ± {100 * values.std():.2f} %"
    return f"{values.mean():.4g} ± {values.std():.2g}"


def _dataset(each: Entry) -> str:
    """The name by which papers know a source, else its own."""
    source = each.setup.run.source.get("name", "")
    known = names.DATASETS.get(source.rpartition(":")[2].rpartition("/")[2])
    return known[0] if known else source


def _student(each: Entry) -> str:
    return names.NETWORKS.get(each.setup.student, each.setup.student)
