"""Which selection a study recommends, and how sure it is of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.report.statistics import RANDOM, students
from ddjax.report.table import plus_minus, verdict

if TYPE_CHECKING:
    import pandas as pd


def recommended(
    summary: pd.DataFrame, methods: Sequence[str], regime: str, ipc: int
) -> pd.Series | None:
    """The selection with the best mean validation accuracy, random among them.

    Test accuracy plays no part in the choice.

    Args:
        summary: the result of `statistics.summarise`.
        methods: the selections to choose from, in order of preference among equals.
        regime: under whose labels.
        ipc: the budget.

    Returns:
        The summary's row of it; None where no student of a selection was validated.
    """
    rows = students(summary)
    rows = rows[(rows["regime"] == regime) & (rows["ipc"] == ipc) & (rows["n"] > 0)]
    rows = rows[rows["method"].isin(methods) & rows["val_accuracy"].notna()]
    if rows.empty:
        return None
    best = rows[rows["val_accuracy"] == rows["val_accuracy"].max()]
    return best.loc[best["method"].map(list(methods).index).idxmin()]


def recommendation(row: pd.Series, count: int, seed: int) -> str:
    """The recommendation in plain words.

    Args:
        row: of `recommended`.
        count: number of selections that it was chosen from.
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
        return f"{text}: choosing the images otherwise did not pay."
    if np.isnan(row.gap):
        return f"{text}; no seed compares it with random."
    gap = f"{plus_minus(row.gap, row.gap_ci95, sign=True)} points"
    if np.isnan(row.gap_ci95):
        return f"{text}, {gap} to random: one seed alone shows no difference."
    words = {
        1: "better than random, shown by these seeds.",
        0: "not told apart from random, so a random one may do as well.",
        -1: "worse than random on test: take a random subset.",
    }
    return f"{text}, {gap} to random: {words[verdict(row)]}"
