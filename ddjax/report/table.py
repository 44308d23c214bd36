"""The summary of a study as text: CSV, tables of a terminal, plain words.

`summary` is everywhere the result of `statistics.summarise`, with or without the rows
that `statistics.with_label_effect` appends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.artifacts import csv_bytes, write_file
from ddjax.process import console
from ddjax.report.names import signed, title
from ddjax.report.statistics import (
    CHOSEN_ON_TEST,
    FULL,
    RANDOM,
    compares_labels,
    ordered_methods,
    ordered_regimes,
    students,
)

if TYPE_CHECKING:
    import pandas as pd

_DECIMALS = {
    "accuracy": 4,
    "ci95": 4,
    "gap": 4,
    "gap_ci95": 4,
    "label_gap": 4,
    "label_gap_ci95": 4,
    "label_bytes": 1,
    "val_accuracy": 4,
    "find_seconds": 3,
    "find_flops": 0,  # may pass the largest integer
    "train_seconds": 3,
}
_WHOLE = ("ipc", "n", "failed", "gap_n", "find_passes", "train_passes")
_KEY = "Test accuracy in % ± 95 % interval (paired gap to random)."
_LABEL_KEY = (
    "Test accuracy in % ± 95 % interval (paired gap to soft_kd). Bytes: the "
    "labels of one student by their format's formula, for each budget."
)
_BOLD = "Bold: the highest of a column. Whether it is better, the verdicts say."
_MARKS = {
    "±?": "±?: one student, no interval.",
    "!": "!k: k students failed and are left out.",
    "*": "*: settings chosen on test, so the number is optimistic.",
}


@dataclass(frozen=True)
class RegimeTable:
    """One table of a summary, ready to be laid out.

    Attributes:
        title: such as "hard labels".
        header: "" (or "labels", "bytes"), then the budgets in images per class.
        rows: per method its title and one cell per budget, "" where nothing was run.
        best: (row, column) of the best cell of each budget, counted from 0; the full
            data, which all are held against, are none.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    best: frozenset[tuple[int, int]]


def write_csv(summary: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a summary as CSV, atomically.

    Percentages keep 4 decimals, seconds 3, counts and image passes none; what is not
    known stays empty.

    Args:
        summary: the summary; columns it does not know are written as they are.
        path: file to create or replace; its folder must exist.
    """
    rounded = summary.round(_DECIMALS)
    for name in _WHOLE:
        rounded[name] = rounded[name].astype("Float64").round().astype("Int64")
    write_file(path, csv_bytes(rounded))


def regime_tables(summary: pd.DataFrame) -> list[RegimeTable]:
    """The cells that every table of a summary shows, per label regime.

    Args:
        summary: the summary.

    Returns:
        One table per regime, or a single one with a line per regime where only random
        subsets are compared. A cell reads "71.6 ±0.8 (+2.1)": test accuracy in
        percent, its 95 % half width, the paired gap to random in points; a mark
        follows where `legend` explains one.
    """
    tables = []
    rows = students(summary)
    if compares_labels(summary):
        return [_label_table(rows)]
    for regime in ordered_regimes(rows["regime"]):
        part = rows[rows["regime"] == regime]
        budgets = sorted(int(ipc) for ipc in part["ipc"].unique())
        found = {(row.method, int(row.ipc)): row for row in part.itertuples()}
        lines = [
            ([title(method)], [found.get((method, ipc)) for ipc in budgets])
            for method in ordered_methods(part["method"])
        ]
        header = ["", *(f"IPC {ipc}" for ipc in budgets)]
        tables.append(_table(f"{regime} labels", header, lines, "gap"))
    return tables


def _label_table(rows: pd.DataFrame) -> RegimeTable:
    """Random subsets by labels; the full data beside the regimes that have them."""
    budgets = sorted(int(ipc) for ipc in rows["ipc"].unique())
    lines = []
    for regime in ordered_regimes(rows["regime"]):
        for method in ordered_methods(rows["method"]):
            part = rows[(rows["regime"] == regime) & (rows["method"] == method)]
            if part.empty:
                continue
            found = {int(row.ipc): row for row in part.itertuples()}
            sizes = [size_text(value) for value in part["label_bytes"].dropna()]
            name = regime if method == RANDOM else f"{regime}, {method} data"
            known = ", ".join(dict.fromkeys(sizes)) if method == RANDOM else ""
            lines.append(([name, known], [found.get(ipc) for ipc in budgets]))
    header = ["labels", "bytes", *(f"IPC {ipc}" for ipc in budgets)]
    return _table("random subsets by labels", header, lines, "label_gap")


def _table(
    name: str, header: list[str], lines: list[tuple[list[str], list[Any]]], gap: str
) -> RegimeTable:
    """Lays out lines of (words, rows of a summary or None), see `RegimeTable`."""
    best = set()
    for column in range(len(lines[0][1])):
        accuracies = {
            index: cells[column].accuracy
            for index, (_, cells) in enumerate(lines)
            if cells[column] is not None
            and cells[column].n
            and cells[column].method != FULL
        }
        if len(accuracies) > 1:
            first = len(header) - len(lines[0][1])
            best.add((max(accuracies, key=lambda i: accuracies[i]), first + column))
    rows = [
        [*words, *("" if cell is None else _cell(cell, gap) for cell in cells)]
        for words, cells in lines
    ]
    return RegimeTable(name, header, rows, frozenset(best))


def size_text(count: float) -> str:
    """Text such as "812 B", "37.5 kB", "1.50 MB"; decimal prefixes."""
    for prefix in ("", "k", "M", "G"):
        if count < 999.5 or prefix == "G":
            break
        count /= 1000
    return f"{count:.3g} {prefix}B"


def legend(tables: list[RegimeTable]) -> list[str]:
    """Sentences that explain the cells and the marks that occur in them."""
    text = " ".join(c for table in tables for _, *cells in table.rows for c in cells)
    key = _LABEL_KEY if tables[0].header[0] == "labels" else _KEY
    found = [key, *(words for mark, words in _MARKS.items() if mark in text)]
    if console.styled() and any(table.best for table in tables):
        found.append(_BOLD)
    return found


def console_table(summary: pd.DataFrame) -> str:
    """A summary as plain text for a terminal.

    Args:
        summary: the summary.

    Returns:
        Several lines: per regime a table of methods by budgets, then the legend. Where
        a terminal is too narrow, the budgets that do not fit are in blocks below. The
        best cell of a column is bold where `console.styled`.
    """
    tables = regime_tables(summary)
    blocks = [f"{console.bold(table.title)}\n{_laid_out(table)}" for table in tables]
    blocks.append("\n".join(map(console.wrapped, legend(tables))))
    return "\n\n".join(blocks) + "\n"


def _laid_out(table: RegimeTable) -> str:
    """The lines of a table, in blocks that are as wide as the terminal at most."""
    words = next(i for i, name in enumerate(table.header) if name.startswith("IPC"))
    grid = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    start = sum(each + 2 for each in widths[:words])
    blocks: list[list[int]] = [[]]
    for column in range(words, len(widths)):
        used = start + sum(widths[each] + 2 for each in blocks[-1]) + widths[column]
        if blocks[-1] and used > (console.width() or math.inf):
            blocks.append([])
        blocks[-1].append(column)
    bold = {(row + 1, column) for row, column in table.best}
    return "\n\n".join(
        aligned(
            [[line[column] for column in (*range(words), *block)] for line in grid],
            bold={
                (row, words + block.index(column))
                for row, column in bold
                if column in block
            },
        )
        for block in blocks
    )


def aligned(
    grid: list[list[str]],
    right: Collection[int] = (),
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """Text in columns, below a rule that follows the first line.

    Args:
        grid: lines of cells, the first of them the header.
        right: columns whose cells end below each other.
        bold: (line, column) of cells that are bold where `console.styled`.
    """
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = []
    for row, cells in enumerate(grid):
        padded = []
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            space = " " * (width - len(cell))
            text = console.bold(cell) if (row, column) in bold else cell
            padded.append(space + text if column in right else text + space)
        lines.append("  ".join(padded).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:]])


def recommendation(row: pd.Series, count: int, seed: int) -> str:
    """The recommendation in plain words.

    Args:
        row: of `statistics.recommended`.
        count: number of selections that it was picked from.
        seed: whose subset it is.
    """
    note = f", {row.note}" if row.note else ""
    name = title(row.method)
    text = (
        f"Recommended subset: {name} at IPC {row.ipc} under {row.regime} labels, "
        f"seed {seed}, the best of {count} selections on validation "
        f"({row.val_accuracy:.1f} %{note}). On test {name} has "
        f"{plus_minus(row.accuracy, row.ci95)} % over {row.n} seeds"
    )
    if row.method == RANDOM:
        return f"{text}: no other selection did better."
    if np.isnan(row.gap):
        return f"{text}; no seed compares it with random."
    gap = f"{plus_minus(row.gap, row.gap_ci95, sign=True)} points"
    if np.isnan(row.gap_ci95):
        return f"{text}, {gap} to random: one seed alone shows no difference."
    words = "a random subset may do as well."
    if abs(row.gap) > row.gap_ci95:
        words = "this interval lies above 0."
        if row.gap < 0:
            words = "worse than random on test: take a random subset."
    return f"{text}, {gap} to random: {words}"


def plus_minus(mean: float, half_width: float, sign: bool = False) -> str:
    """Text such as "71.6 ±0.8"; "±?" where there is no interval."""
    import pandas as pd

    half = "?" if pd.isna(half_width) else f"{half_width:.1f}"
    return f"{signed(mean) if sign else f'{mean:.1f}'} ±{half}"


def _cell(row: Any, gap: str) -> str:
    import pandas as pd

    if row.n == 0:
        return f"failed !{row.failed}"
    text = plus_minus(row.accuracy, row.ci95)
    if not pd.isna(getattr(row, gap)):
        text += f" ({signed(getattr(row, gap))})"
    if row.failed:
        text += f" !{row.failed}"
    return text + (" *" if row.note == CHOSEN_ON_TEST else "")
