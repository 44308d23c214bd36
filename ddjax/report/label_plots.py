"""Figures of studies that compare labels on random subsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ddjax.report.plots import new_figure, plain_style
from ddjax.report.statistics import FULL, RANDOM, REFERENCE, ordered_regimes, students

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_COLOUR = "#332288"
_GREY = "#777777"
_COLOURS = ("#332288", "#CC6677", "#117733", "#88CCEE", "#AA4499", "#999933", "#882255")
_MARKERS = ("s", "^", "D", "v", "P", "X", "o", "<", ">", "p")


@plain_style()
def labels_figure(summary: pd.DataFrame) -> Figure:
    """Test accuracy of random subsets by labels, one panel per budget.

    Args:
        summary: the result of `statistics.summarise`.

    Returns:
        The figure: a line per regime with its mean and 95 % interval; the dashed line
        is soft_kd on the fly.
    """
    rows = students(summary)
    rows = rows[rows["method"].isin([RANDOM, FULL])]
    regimes = ordered_regimes(rows["regime"])
    budgets = sorted(int(ipc) for ipc in rows["ipc"].unique())
    figure = new_figure(3.4 + 3.0 * len(budgets), 1.6 + 0.26 * len(regimes))
    grid = figure.subplots(1, len(budgets), sharey=True, squeeze=False)
    for axes, ipc in zip(grid.flat, budgets, strict=True):
        for method, marker, colour in ((FULL, "d", "black"), (RANDOM, "o", _COLOUR)):
            part = rows[(rows["ipc"] == ipc) & (rows["method"] == method)]
            if len(part):
                axes.errorbar(
                    part["accuracy"].astype(float),
                    [regimes.index(name) for name in part["regime"]],
                    xerr=part["ci95"].astype(float),
                    fmt=marker,
                    color=colour,
                    markersize=4,
                    elinewidth=1.1,
                    capsize=2,
                    label="full data, same compute" if method == FULL else "random",
                )
        _reference(axes.axvline, rows, ipc)
        axes.set_title(f"IPC {ipc}", fontsize=10, loc="left")
        axes.set_xlabel("test accuracy (%)", fontsize=10)
        axes.set_yticks(range(len(regimes)), regimes, fontsize=8)
        axes.grid(axis="both", color="#E4E4E4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    grid.flat[0].invert_yaxis()
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    figure.suptitle(
        "Random subsets by labels (mean and 95 % interval over seeds)", fontsize=10
    )
    return figure


@plain_style()
def bytes_figure(summary: pd.DataFrame) -> Figure:
    """Test accuracy of random subsets against the bytes of their labels.

    Args:
        summary: the result of `statistics.summarise`; rows without `label_bytes` are
            left out.

    Returns:
        The figure: one panel per budget, bytes on a logarithmic axis, a point with its
        95 % interval per kind of labels; the dashed line is soft_kd on the fly, the
        thin vertical lines are 1, 10, 40, 80 and 200 times fewer bytes than float16
        labels of every view, where the study has those.
    """
    from matplotlib.ticker import LogFormatter  # of powers without mathematics

    rows = students(summary)
    rows = rows[rows["method"] == RANDOM]
    stored = rows[rows["label_bytes"].notna()]
    regimes = ordered_regimes(stored["regime"])
    budgets = sorted(int(ipc) for ipc in stored["ipc"].unique())
    figure = new_figure(7.6, 1.0 + 3.2 * len(budgets))
    grid = figure.subplots(len(budgets), 1, squeeze=False)
    for axes, ipc in zip(grid.flat, budgets, strict=True):
        part = stored[stored["ipc"] == ipc]
        for row in part.itertuples():
            index = regimes.index(row.regime)
            axes.errorbar(
                row.label_bytes,
                row.accuracy,
                yerr=row.ci95,
                fmt=_MARKERS[index % len(_MARKERS)],
                color=_COLOURS[index % len(_COLOURS)],
                markersize=5,
                elinewidth=1.0,
                capsize=2,
                label=row.regime,
            )
        _reference(axes.axhline, rows, ipc)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.xaxis.set_minor_formatter(LogFormatter())
        half = part.loc[part["regime"] == "fp16", "label_bytes"]
        for factor in (1, 10, 40, 80, 200) if len(half) else ():
            place = float(half.iloc[0]) / factor
            axes.axvline(place, color="#CCCCCC", linewidth=0.7, zorder=0)
            axes.text(
                place,
                1.0,
                f"{factor}x",
                transform=axes.get_xaxis_transform(),
                fontsize=7,
                color=_GREY,
                ha="center",
                va="bottom",
            )
        axes.set_title(f"IPC {ipc}", fontsize=10, loc="left", pad=14)
        axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    grid.flat[-1].set_xlabel("bytes of one student's labels, codebooks included")
    figure.supylabel("test accuracy (%)", fontsize=10)
    handles, names = grid.flat[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle("Accuracy against the size of the labels")
    return figure


def _reference(line, rows: pd.DataFrame, ipc: int) -> None:
    """Draws where random subsets under soft_kd on the fly are."""
    reference = rows[
        (rows["ipc"] == ipc)
        & (rows["regime"] == REFERENCE)
        & (rows["method"] == RANDOM)
    ]["accuracy"].astype(float)
    if len(reference) and np.isfinite(reference.iloc[0]):
        line(reference.iloc[0], color=_GREY, linestyle="--", linewidth=1.0)
