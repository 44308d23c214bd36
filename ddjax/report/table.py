"""The summary of a study as text: CSV, terminal tables, Markdown and plain words.

`summary` is everywhere the result of `statistics.summarise`, with or without the rows
that `statistics.with_label_effect` appends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ddjax.artifacts import csv_bytes, write_file
from ddjax.report.statistics import (
    CHOSEN_ON_TEST,
    FULL,
    RANDOM,
    chosen_methods,
    compares_labels,
    label_effects,
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
_KEY = "Cells: test accuracy in % ± 95 % interval (paired gap to random)."
_LABEL_KEY = (
    "Cells: test accuracy in % ± 95 % interval (paired gap to soft_kd). Bytes: the "
    "labels of one student by their format's formula, for each budget."
)
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
        header: "method" (or "labels", "bytes"), then the budgets in images per class.
        rows: per method its name and one cell per budget, "" where nothing was run.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


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
        cells = {(row.method, int(row.ipc)): _cell(row) for row in part.itertuples()}
        methods = ordered_methods(part["method"])
        header = ["method", *(f"IPC {ipc}" for ipc in budgets)]
        lines = [[m, *(cells.get((m, ipc), "") for ipc in budgets)] for m in methods]
        tables.append(RegimeTable(f"{regime} labels", header, lines))
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
            cells = {int(row.ipc): _label_cell(row) for row in part.itertuples()}
            sizes = [size_text(value) for value in part["label_bytes"].dropna()]
            name = regime if method == RANDOM else f"{regime}, {method} data"
            known = ", ".join(dict.fromkeys(sizes)) if method == RANDOM else ""
            lines.append([name, known, *(cells.get(ipc, "") for ipc in budgets)])
    header = ["labels", "bytes", *(f"IPC {ipc}" for ipc in budgets)]
    return RegimeTable("random subsets by labels", header, lines)


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
    return [key, *(words for mark, words in _MARKS.items() if mark in text)]


def console_table(summary: pd.DataFrame) -> str:
    """A summary as plain text for a terminal.

    Args:
        summary: the summary.

    Returns:
        Several lines: per regime an aligned table of methods by budgets, the legend,
        then one line per budget on the label effect.
    """
    tables = regime_tables(summary)
    blocks = []
    for table in tables:
        grid = [table.header, *table.rows]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        lines = [
            "  ".join(f"{t:<{w}}" for t, w in zip(line, widths, strict=True)).rstrip()
            for line in grid
        ]
        rule = "-" * max(map(len, lines))
        blocks.append("\n".join([table.title, rule, *lines]))
    blocks.append("\n".join(legend(tables)))
    effects = effect_lines(summary)
    if effects:
        blocks.append("\n".join(effects))
    return "\n\n".join(blocks) + "\n"


def markdown_table(summary: pd.DataFrame) -> str:
    """A summary as Markdown, with the cells of `console_table`.

    Args:
        summary: the summary.

    Returns:
        Per regime a heading line and a pipe table, the legend, then one bullet per
        budget on the label effect.
    """
    tables = regime_tables(summary)
    blocks = []
    for table in tables:
        lines = [table.header, ["---"] * len(table.header), *table.rows]
        body = [
            "| " + " | ".join(text.replace("|", "\\|") for text in line) + " |"
            for line in lines
        ]
        blocks.append(f"**{table.title}**\n\n" + "\n".join(body))
    blocks.append(" ".join(text.replace("*:", "\\*:") for text in legend(tables)))
    effects = effect_lines(summary)
    if effects:
        blocks.append("\n".join(f"- {line}" for line in effects))
    return "\n\n".join(blocks) + "\n"


def answer(summary: pd.DataFrame) -> list[str]:
    """What the study found, in plain words, one paragraph per budget.

    A method counts as different from random only where the 95 % interval of the paired
    gap excludes zero.

    Args:
        summary: the summary.

    Returns:
        Per budget with a validated method: what the method chosen on validation gains
        over random in each regime and, where known, how the labels change that and how
        far above random the full data are.
    """
    if compares_labels(summary):
        return _label_answer(students(summary))
    rows, chosen = students(summary), chosen_methods(summary)
    effects = label_effects(summary).set_index("ipc")
    paragraphs = []
    for ipc, part in sorted(chosen.groupby("ipc"), key=lambda item: item[0]):
        regimes = part.set_index("regime")
        clauses = [
            _gain_clause(regime, regimes.loc[regime])
            for regime in ordered_regimes(regimes.index)
        ]
        text = f"At IPC {ipc}, " + "; ".join(clauses) + "."
        if ipc in effects.index:
            text += " " + _effect_sentence(effects.loc[ipc])
        full = rows[(rows["method"] == FULL) & (rows["ipc"] == ipc) & (rows.gap_n > 0)]
        if len(full):
            gaps = [
                f"{plus_minus(row.gap, row.gap_ci95, sign=True)} under {row.regime}"
                for row in full.itertuples()
            ]
            text += f" Full data at the same compute against random: {_listed(gaps)}."
        paragraphs.append(text)
    return paragraphs


def _label_answer(rows: pd.DataFrame) -> list[str]:
    """Per budget, how random subsets fare under each kind of labels."""
    paragraphs = []
    for ipc, part in rows[rows["method"] == RANDOM].groupby("ipc"):
        gaps = part[part["label_gap"].notna()]
        if gaps.empty:
            continue
        words = [
            f"{row.regime} {plus_minus(row.label_gap, row.label_gap_ci95, sign=True)}"
            for row in gaps.itertuples()
        ]
        paragraphs.append(
            f"At IPC {ipc}, random subsets against the same under soft_kd labels: "
            f"{_listed(words)}."
        )
    return paragraphs


def recommendation(row: pd.Series, count: int, seed: int) -> str:
    """The recommendation in plain words.

    Args:
        row: of `statistics.recommended`.
        count: number of selections that it was picked from.
        seed: whose subset it is.
    """
    note = f", {row.note}" if row.note else ""
    text = (
        f"Recommended subset: {row.method} at IPC {row.ipc} under {row.regime} labels, "
        f"seed {seed}, the best of {count} selections on validation "
        f"({row.val_accuracy:.1f} %{note}). On test {row.method} has "
        f"{plus_minus(row.accuracy, row.ci95)} % over {row.n} seeds"
    )
    if row.method == RANDOM:
        return f"{text}: no other selection did better."
    if np.isnan(row.gap):
        return f"{text}; no seed compares it with random."
    gap = f"{plus_minus(row.gap, row.gap_ci95, sign=True)} points"
    if np.isnan(row.gap_ci95):
        return f"{text}, {gap} to random: one seed alone shows no difference."
    words = {
        1: "better than random, shown by these seeds.",
        0: "no difference is shown, so a random subset may do as well.",
        -1: "worse than random on test: take a random subset.",
    }
    return f"{text}, {gap} to random: {words[verdict(row)]}"


def plus_minus(mean: float, half_width: float, sign: bool = False) -> str:
    """Text such as "71.6 ±0.8"; "±?" where there is no interval."""
    import pandas as pd

    half = "?" if pd.isna(half_width) else f"{half_width:.1f}"
    return f"{signed(mean) if sign else f'{mean:.1f}'} ±{half}"


def signed(points: float) -> str:
    """Text such as "+2.1", never "-0.0"."""
    return f"{round(points, 1) + 0.0:+.1f}"


def _label_cell(row) -> str:
    return _cell(row, "label_gap")


def _cell(row, gap: str = "gap") -> str:
    import pandas as pd

    if row.n == 0:
        return f"failed !{row.failed}"
    text = plus_minus(row.accuracy, row.ci95)
    if not pd.isna(getattr(row, gap)):
        text += f" ({signed(getattr(row, gap))})"
    if row.failed:
        text += f" !{row.failed}"
    return text + (" *" if row.note == CHOSEN_ON_TEST else "")


def effect_lines(summary: pd.DataFrame) -> list[str]:
    """One line per budget on how the labels change what selection gains."""
    return [
        f"IPC {row.ipc}: selection gain, {row.regime}: "
        f"{plus_minus(row.gap, row.gap_ci95, sign=True)} "
        f"(seeds: {row.gap_n}; chosen on validation: {row.note})"
        for row in label_effects(summary).itertuples()
    ]


def verdict(row) -> int:
    """1 or -1 where the interval of a gap lies on one side of zero, else 0."""
    import pandas as pd

    if pd.isna(row.gap_ci95) or abs(row.gap) <= row.gap_ci95:
        return 0
    return 1 if row.gap > 0 else -1


def _why_not(row) -> str:
    import pandas as pd

    if pd.isna(row.gap_ci95):
        return "there is one seed only, so no difference is shown"
    return "no difference is shown"


def _gain_clause(regime: str, row) -> str:
    gap = plus_minus(row.gap, row.gap_ci95, sign=True)
    mark = f" ({row.note})" if row.note else ""
    start = f"under {regime} labels, {row.method}{mark}"
    if verdict(row) == 1:
        return f"{start} beats random by {gap}"
    if verdict(row) == -1:
        return f"{start} falls behind random by {plus_minus(-row.gap, row.gap_ci95)}"
    return f"{start} against random is {gap}: {_why_not(row)}"


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]


def _effect_sentence(row) -> str:
    gap = plus_minus(row.gap, row.gap_ci95, sign=True)
    meaning = {
        1: "choosing the images gains more under hard labels",
        -1: "choosing the images gains more under soft_kd labels",
        0: _why_not(row),
    }[verdict(row)]
    return f"The gain under hard labels minus that under soft_kd is {gap}: {meaning}."
