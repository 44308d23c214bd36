"""Figures of gains against what they cost: passes and seconds of a set, label bytes.

`summary` is everywhere the result of `statistics.summarise`, appended rows allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.accuracy_plots import draw_reference
from ddjax.report.drawing import (
    COLOURS,
    GREY,
    MARKERS,
    Style,
    method_styles,
    new_figure,
    outside_legend,
    plain_axes,
    plain_style,
)
from ddjax.report.selection_plots import compared, limit_of, steps_between
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    ordered_methods,
    ordered_regimes,
    students,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALIKE = 1.1  # costs within this factor of the smallest share a place
_TICKS = 7  # with more of 1, 2, 5, 10 ..., only powers of ten are named
# Column of the summary -> label of its axis.
_COSTS = {
    "find_passes": "image passes to select or synthesise the set",
    "find_seconds": "seconds to select or synthesise the set",
}


@plain_style()
def cost_figure(
    summary: pd.DataFrame, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Paired gap to random against what it cost to select or synthesise the set.

    Args:
        summary: the result of `statistics.summarise`.
        styles: method name to style; by default from the summary's own methods.

    Returns:
        The figure: a row of panels per regime, a column for image passes and, where
        the summary has them, one for seconds; per method and budget a marker with its
        95 % interval, the paler the smaller the budget. Costs on a logarithmic axis,
        zero left of the dotted line; points whose costs are within 10 % of each other
        stand side by side around their mean, in the order of the methods. The gap is
        linear up to the 80th percentile of |gap|, rounded up to 1, 2, 5, 10 ..., and
        logarithmic beyond. Full data are left out: they are no selection.

    Raises:
        InputError: if no method besides random and full data has a gap and a cost.
    """
    rows = compared(summary, hidden=(RANDOM, FULL))
    styles = {**method_styles(summary["method"]), **(styles or {})}
    methods = ordered_methods(rows["method"])
    regimes = ordered_regimes(rows["regime"])
    budgets = sorted(int(ipc) for ipc in rows["ipc"].unique())
    rows = rows[rows["gap"].notna() & rows["find_passes"].notna()]
    if rows.empty:
        raise InputError("summary: no selection has a gap to random and a cost")
    costs = [name for name in _COSTS if name in rows and rows[name].notna().all()]
    entries = len(methods) + len(budgets)  # of the legend
    height = max(1.2 + 2.4 * len(regimes), 1.6 + 0.19 * entries)
    figure = new_figure(9.0 if len(costs) == 1 else 12.0, height)
    grid = figure.subplots(
        len(regimes), len(costs), sharex="col", sharey=True, squeeze=False
    )
    tints = dict(zip(budgets, np.linspace(1.0, 0.1, len(budgets))[::-1], strict=True))
    for name, column in zip(costs, grid.T, strict=True):
        placed = rows.assign(place=_log_places(rows[name].to_numpy(float)))
        for axes, regime in zip(column, regimes, strict=True):
            part = placed[placed["regime"] == regime]
            for row, place in zip(part.itertuples(), _side_by_side(part), strict=True):
                marker = _marker(styles[row.method], tints[row.ipc])
                bar = {"yerr": row.gap_ci95, "elinewidth": 0.8, "label": row.method}
                axes.errorbar(place, row.gap, zorder=3, **bar, **marker)
            axes.axhline(0.0, color=GREY, linewidth=1.2, zorder=1)
            plain_axes(axes, "both")
            axes.tick_params(labelsize=8)
        column[-1].set_xlabel(_COSTS[name], fontsize=9)
        _cost_axis(list(column), placed, name)
    for axes, regime in zip(grid[:, 0], regimes, strict=True):
        axes.set_title(f"{regime} labels", fontsize=10, loc="left")
    figure.supylabel("accuracy minus random (points)", fontsize=9)
    legend = [(name, styles[name], 1.0) for name in methods]
    legend += [(f"IPC {ipc}", Style(GREY, "o"), tints[ipc]) for ipc in budgets]
    draw = grid.flat[0].plot
    handles = [
        draw([], [], label=name, **_marker(style, tint))[0]
        for name, style, tint in legend
    ]
    outside_legend(figure, handles)
    _gap_axis(grid.flat[0], rows)
    figure.suptitle("Gap to random (95 % interval) against the cost of the set")
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
                fmt=MARKERS[index % len(MARKERS)],
                color=COLOURS[index % len(COLOURS)],
                markersize=5,
                elinewidth=1.0,
                capsize=2,
                label=row.regime,
            )
        draw_reference(axes.axhline, rows, ipc)
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
                color=GREY,
                ha="center",
                va="bottom",
            )
        axes.set_title(f"IPC {ipc}", fontsize=10, loc="left", pad=14)
        plain_axes(axes, "y")
    grid.flat[-1].set_xlabel("bytes of one student's labels, codebooks included")
    figure.supylabel("test accuracy (%)", fontsize=10)
    outside_legend(figure, grid.flat[-1].get_legend_handles_labels()[0])
    figure.suptitle("Accuracy against the size of the labels")
    return figure


def _log_places(passes: np.ndarray) -> np.ndarray:
    """log10 of the costs; zero stands a little to the left of the smallest."""
    logs = np.log10(passes[passes > 0])
    known = logs if logs.size else np.zeros(1)
    places = np.full(passes.shape, known.min() - max(0.3, 0.25 * np.ptp(known)))
    places[passes > 0] = logs
    return places


def _side_by_side(rows: pd.DataFrame) -> np.ndarray:
    """Places of the points; those of nearly the same cost spread around their mean."""
    places = rows["place"].to_numpy()
    starts: list[float] = []
    for level in np.unique(places):
        if not starts or level - starts[-1] > np.log10(_ALIKE):
            starts.append(level)
    group = np.searchsorted(starts, places, "right") - 1
    centres = np.array([places[group == g].mean() for g in range(len(starts))])
    free = np.diff(centres, prepend=-np.inf, append=np.inf)
    spread = np.empty_like(places)
    for g, centre in enumerate(centres):
        members = np.flatnonzero(group == g)
        width = min(0.8 * free[g], 0.8 * free[g + 1], 0.012 * len(members))
        steps = (np.arange(len(members)) + 0.5) / len(members) - 0.5
        spread[members] = centre + width * steps
    return spread


def _cost_axis(panels: list[Axes], rows: pd.DataFrame, name: str) -> None:
    from matplotlib.ticker import EngFormatter

    costs, places = rows[name], rows["place"]
    free, paid = places[costs == 0], costs[costs > 0]
    ticks, names = [], []
    if paid.size:
        low, high = paid.min() / (1 if free.size else 2), 2 * paid.max()
        steps = steps_between(low, high)
        if len(steps) > _TICKS:
            steps = [step for step in steps if np.log10(step) % 1 == 0]
        text = EngFormatter(sep="") if name == "find_passes" else "{:g}".format
        ticks, names = list(np.log10(steps)), [text(step) for step in steps]
    if free.size:
        ticks, names = [free.min(), *ticks], ["0", *names]
    if free.size and paid.size:
        border = (free.min() + np.log10(paid.min())) / 2
        for axes in panels:
            axes.axvline(border, color=GREY, linestyle=":", linewidth=0.9)
    panels[0].set_xticks(ticks, names)


def _gap_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """Linear near zero, so that a few disasters do not flatten the rest."""
    limit = limit_of(rows["gap"])
    half = rows["gap_ci95"].fillna(0.0)
    low = 1.2 * min((rows["gap"] - half).min(), -limit)
    high = 1.2 * max((rows["gap"] + half).max(), limit)
    ticks = [limit / 2, *steps_between(limit, max(high, -low))]
    ticks = [t for t in (*(-t for t in ticks), 0.0, *ticks) if low <= t <= high]
    axes.set_yscale("symlog", linthresh=limit, linscale=1.5)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(low, high)
    axes.minorticks_off()


def _marker(style: Style, tint: float) -> dict:
    """Marker options; tint is 1 for a filled marker and nears 0 for an empty one."""
    from matplotlib.colors import to_rgb

    # Mixed with white, not transparent: the interval would shine through.
    face = tuple(1.0 - tint * (1.0 - part) for part in to_rgb(style.colour))
    look = {"color": style.colour, "marker": style.marker, "markerfacecolor": face}
    return {**look, "markersize": 5, "linestyle": "none"}
