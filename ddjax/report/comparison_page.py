"""What `compare` found, for a terminal, as CSV and as a page.

`compared` is everywhere the result of `compare.table`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ddjax.artifacts import csv_bytes, write_file
from ddjax.errors import InputError
from ddjax.report import comparability, compare, names, results
from ddjax.report.contrasts import MARGIN, SHOWN, SMALL
from ddjax.report.page.render import environment
from ddjax.report.statistics import ordered_methods, ordered_regimes
from ddjax.report.table import plus_minus

if TYPE_CHECKING:
    import pandas as pd

PAGE, TABLE = "compare.html", "compare.csv"
_KEY = (
    "Cells: test accuracy in % ± 95 % interval (gap to the run's own random). A mark "
    "compares a number with that of {first}: ▲ shown higher, ▼ shown lower, = less "
    "than {margin:g} point apart, · not decided, ~ before a mark: unpaired. !2: two "
    "students failed."
)
MEANS = (
    "Differences of means over all that two runs share, in points ± 95 % interval: of "
    "random over budgets, and of gaps to random over methods and budgets"
)
_SETTINGS = 20  # that a terminal shows
_WIDTH = 24  # letters of each
_DECIMALS = 4


def grids(compared: pd.DataFrame) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Returns the tables that people read: a line for each method and run.

    Args:
      compared: of `compare.table`.

    Returns:
      Kind of labels -> (header, lines): method, run, a cell for each budget. A cell
      reads "71.6 ±0.8 ▲ (+2.1 ~·)", see `key`, and is "" where a run has none. What one
      run alone has is left out, see `alone`, but for runs that share nothing.
    """
    found = {}
    shared = compared[_shared(compared)]
    shown = compared if shared.empty else shared
    for regime in ordered_regimes(shown["regime"]):
        part = shown[shown["regime"] == regime]
        budgets = sorted({*part["ipc"]})
        lines = []
        for method in ordered_methods(part["method"]):
            rows = part[part["method"] == method]
            for (run, network), own in rows.groupby(["run", "network"], sort=False):
                cells = {row["ipc"]: _cell(row) for row in own.to_dict("records")}
                label = compare.who(compared, run, network)
                texts = [cells.get(ipc, "") for ipc in budgets]
                lines.append([names.title(method), label, *texts])
        found[regime] = ["method", "run", *(f"IPC {ipc}" for ipc in budgets)], lines
    return found


def alone(compared: pd.DataFrame) -> list[str]:
    """Returns a sentence for each run on the methods that `grids` leaves out."""
    shared = _shared(compared)
    if not shared.any():
        return []
    found = []
    for run, rows in compared[~shared].groupby("run", sort=False):
        left = [
            f"{regime}: {len({*own['method']})}"
            for regime, own in rows.groupby("regime", sort=False)
        ]
        found.append(
            f"Not in these tables, methods that {run} alone has, by labels: "
            f"{', '.join(left)}."
        )
    return found


def _shared(compared: pd.DataFrame) -> pd.Series:
    """Whether a row's method is there in several runs or networks of its regime."""
    columns = compared["run"] + "\0" + compared["network"]
    of_method = columns.groupby([compared["regime"], compared["method"]])
    return of_method.transform("nunique") > 1


def means(
    runs: compare.Runs, compared: pd.DataFrame
) -> tuple[list[str], list[list[str]]]:
    """Returns the table of means over cells: (header, a line for each run and regime).

    Args:
      runs: of `compare.read`.
      compared: of `compare.table`.
    """
    lines = [
        [
            compare.who(compared, row["run"], row["network"]),
            row["regime"],
            _mean(row, compare.ACCURACY),
            _mean(row, compare.GAP),
            str(row["methods"]),
        ]
        for row in compare.averaged(runs).to_dict("records")
    ]
    first = runs.first.label
    header = [f"against {first}", "labels", "random", "gap to random", "methods"]
    return header, lines


def key(first: str) -> str:
    """Returns a sentence on the cells; `first`: what others are compared with."""
    return _KEY.format(first=first, margin=MARGIN)


def console_text(runs: compare.Runs, compared: pd.DataFrame) -> str:
    """Returns a comparison for a terminal: tables, settings, remarks, then answers.

    Args:
      runs: of `compare.read`.
      compared: of `compare.table`.
    """
    blocks = []
    for regime, (header, lines) in grids(compared).items():
        text = in_columns([header, *lines])
        blocks.append(
            f"{regime} labels\n{'-' * len(text.partition(chr(10))[0])}\n{text}"
        )
    blocks.append("\n".join([key(runs.first.label), *alone(compared)]))
    unlike = comparability.differing(runs)
    if len(unlike):
        rows = [row for row in _setting_rows(unlike) if comparability.ABSENT not in row]
        shown = [_short(row) for row in rows[:_SETTINGS]]
        parts = ["What differs"]
        if shown:
            parts.append(in_columns([["setting", *map(str, unlike.columns)], *shown]))
        if left := len(unlike) - len(shown):
            parts.append(f"not shown: {left}, such as what a run lacks; --out has all")
        blocks.append("\n".join(parts))
    found = comparability.remarks(runs)
    blocks += ["\n".join(f"Note: {text}" for text in found)] if found else []
    header, lines = means(runs, compared)
    if lines:
        blocks.append(f"{MEANS}\n{in_columns([header, *lines])}")
    answers = compare.answers(runs, compared)
    blocks.append("\n".join(f"{name}: {text}" for name, text in answers.items()))
    printed = "\n\n".join(blocks).split("\n")
    return "\n".join(map(results.printable, printed)) + "\n"


def write(
    folder: str | os.PathLike, runs: compare.Runs, compared: pd.DataFrame
) -> list[Path]:
    """Writes `compare.csv` and `compare.html`.

    Args:
      folder: made if it is not there.
      runs: of `compare.read`.
      compared: of `compare.table`.

    Returns:
      The two files.

    Raises:
      InputError: the folder cannot be made.
    """
    place = out_folder(folder)
    write_file(place / TABLE, csv_bytes(compared.round(_DECIMALS)))
    unlike = comparability.differing(runs)
    numbers = compared.round(2).astype(object).where(compared.notna(), "–")
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            title="Comparison of " + ", ".join(run.label for run in runs.all),
            name="ddjax compare",
            thumbnails="",
            facts=[f"{len(runs.all)} runs", f"against {runs.first.label}"],
            about_means=MEANS,
            means=means(runs, compared),
            answers=compare.answers(runs, compared),
            notes=comparability.remarks(runs),
            grids=grids(compared),
            key=key(runs.first.label),
            alone=alone(compared),
            columns=list(compared.columns),
            numbers=[[str(value) for value in row] for row in numbers.to_numpy()],
            settings=["setting", *unlike.columns],
            unlike=_setting_rows(unlike),
        )
    )
    write_file(place / PAGE, page.encode(errors="backslashreplace"))
    return [place / TABLE, place / PAGE]


def out_folder(folder: str | os.PathLike) -> Path:
    """Returns the folder of --out, which is made if it is not there.

    Raises:
      InputError: it cannot be made.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {place}: cannot be made a folder ({error.strerror})"
        ) from error
    return place


def _cell(row: dict) -> str:
    if not row["n"]:
        return f"failed !{row['failed']}"
    text = plus_minus(row["accuracy"], row["ci95"]) + _mark(row, compare.ACCURACY)
    if row["gap_n"]:
        text += f" ({names.signed(row['gap'])}{_mark(row, compare.GAP)})"
    return text + (f" !{row['failed']}" if row["failed"] else "")


def _mean(row: dict, kind: str) -> str:
    """Such as "+1.4 ±0.6 shown, paired"; "–" where there is none."""
    if not row[f"{kind}_state"]:
        return "–"
    meaning = compare.MEANINGS[row[f"{kind}_state"]]
    half = row[f"{kind}_ci95"]
    size = f"{names.signed(row[kind])} ±{'?' if math.isnan(half) else f'{half:.1f}'}"
    seeds = row[kind + compare.NEEDED]
    until = f" (about {seeds:.0f} seeds would)" if seeds and seeds > 0 else ""
    return f"{size} {meaning}{until}, {row[f'{kind}_pairing']}"


def _mark(row: dict, kind: str) -> str:
    state = row[f"{kind}_state"]
    if not state:
        return ""
    before = "~" if row[f"{kind}_pairing"] == compare.UNPAIRED else ""
    if state == SHOWN:
        return f" {before}{'▲' if row[kind] > 0 else '▼'}"
    return f" {before}{'=' if state == SMALL else '·'}"


def in_columns(rows: list[list[str]]) -> str:
    """Returns lines of cells as text in columns, safe for a terminal."""
    rows = [[results.printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _setting_rows(unlike: pd.DataFrame) -> list[list[str]]:
    return [
        [str(name), *values]
        for name, values in zip(unlike.index, unlike.to_numpy(), strict=True)
    ]


def _short(row: list[str]) -> list[str]:
    texts = [
        text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…" for text in row[1:]
    ]
    return [row[0], *texts]
