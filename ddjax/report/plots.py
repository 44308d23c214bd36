"""Figures of a study, drawn without any global plotting state.

Every function returns a matplotlib Figure with an Agg canvas; `save_png` writes it.
Pass the same `styles` (from `method_styles`) to all figures of one report, so that a
method keeps its colour and marker in all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ddjax.artifacts import write_file
from ddjax.errors import InputError
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

# Nine colours that stay apart under the common colour-vision deficiencies (Paul
# Tol's qualitative "muted" scheme). Ten markers share no factor with nine colours,
# so 90 methods get 90 different pairs.
_COLOURS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#AA4499",
    "#999933",
    "#882255",
    "#44AA99",
    "#DDCC77",
)
_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_GREY = "#777777"
_DPI = 150
_SLOT = 0.72  # share of the room between two budgets that the methods spread over


@dataclass(frozen=True)
class Style:
    """How a method is drawn: a colour (hex) and a matplotlib marker."""

    colour: str
    marker: str


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Surrounds drawing: all is drawn alike, whatever a user's matplotlibrc says.

    Names are taken as they are: one such as "$_$" is no formula.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        yield


def method_styles(methods: Iterable[str]) -> dict[str, Style]:
    """One colour and marker per method: random grey, full black, others by order.

    Args:
        methods: names, repeats allowed; the order decides the colours.

    Returns:
        Method name to style.
    """
    fixed = {RANDOM: Style(_GREY, "o"), FULL: Style("#000000", "_")}
    styles = {}
    for name in ordered_methods(methods):
        index = len([other for other in styles if other not in fixed])
        colour, marker = _COLOURS[index % 9], _MARKERS[index % 10]
        styles[name] = fixed.get(name, Style(colour, marker))
    return styles


@plain_style()
def accuracy_figure(
    summary: pd.DataFrame, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Test accuracy against budget, one panel per label regime.

    Args:
        summary: the result of `statistics.summarise`, appended rows allowed.
        styles: method name to style; by default from the summary's own methods.

    Returns:
        The figure: per method a marker with its 95 % interval at each budget, side by
        side; the full-data reference as a dashed line with a band.

    Raises:
        InputError: if the summary has no students.
    """
    figure, panels, methods, styles = _panels(
        summary, styles, with_random=True, share_y=False
    )
    for axes, rows in panels:
        _draw_methods(axes, rows, methods, styles, "accuracy", "ci95")
        _draw_full(axes, rows)
    figure.supylabel("test accuracy (%)", fontsize=10)
    _legend(figure, [axes for axes, _ in panels])
    figure.suptitle("Test accuracy at each budget (mean and 95 % interval over seeds)")
    return figure


@plain_style()
def gap_figure(
    summary: pd.DataFrame, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Paired accuracy gap to random against budget, one panel per label regime.

    The full-data reference is left out: its gap would hide the others.

    Args:
        summary: the result of `statistics.summarise`, appended rows allowed.
        styles: method name to style; by default from the summary's own methods.

    Returns:
        The figure: per method a marker with its 95 % interval at each budget, and a
        line at zero, where a method is no better than random.

    Raises:
        InputError: if the summary has no students.
    """
    figure, panels, methods, styles = _panels(
        summary, styles, with_random=False, share_y=True
    )
    for axes, rows in panels:
        axes.axhline(0.0, color=_GREY, linewidth=1.2, zorder=1, label=RANDOM)
        _draw_methods(axes, rows, methods, styles, "gap", "gap_ci95")
    figure.supylabel("accuracy minus random (points)", fontsize=10)
    _legend(figure, [axes for axes, _ in panels])
    figure.suptitle("Quality gap to random (paired by seed, mean and 95 % interval)")
    return figure


@plain_style()
def difficulty_figure(
    scores: np.ndarray,
    score_name: str,
    subsets: Mapping[str, np.ndarray],
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """How hard the images are that each method chose.

    Args:
        scores: [N] float, finite, higher = harder; one per example id.
        score_name: name of the score, for the axis.
        subsets: method name to its example ids, [n] int in 0..N-1.
        styles: method name to style; by default from the names in `subsets`.

    Returns:
        The figure: one row per method with the histogram of the percentile ranks of
        the chosen images among all N, each row scaled to its own peak; the dashed line
        in a row is the full set, the triangle the median.

    Raises:
        InputError: if a score is not finite, or a set is empty or leaves 0..N-1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise InputError(f"scores: {score_name} needs one finite number per example")
    check_subsets(subsets, scores.size)
    ascending = np.sort(scores)
    below = np.searchsorted(ascending, scores, "left")
    upto = np.searchsorted(ascending, scores, "right")
    percentile = 50.0 * (below + upto) / scores.size  # ties share their mean rank
    methods = ordered_methods(subsets)
    styles = {**method_styles(methods), **(styles or {})}
    edges = np.linspace(0.0, 100.0, 21)
    figure = new_figure(6.8, 1.5 + 0.46 * len(methods))
    axes = figure.subplots()
    for row, method in enumerate(reversed(methods)):
        chosen = percentile[np.asarray(subsets[method])]
        share = np.histogram(chosen, edges)[0] / chosen.size
        scale = 0.82 / share.max()
        colour = styles[method].colour
        axes.stairs(
            row + scale * share, edges, baseline=row, fill=True, color=colour, alpha=0.7
        )
        uniform = row + scale / share.size
        (line,) = axes.plot([0, 100], [uniform] * 2, "--", color="black", lw=0.8)
        (mark,) = axes.plot(np.median(chosen), row, "^", color="black", ms=5)
        axes.axhline(row, color=colour, linewidth=0.8)
    labels = [f"{m} (n={len(subsets[m])})" for m in reversed(methods)]
    axes.set_yticks(np.arange(len(methods)) + 0.3, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.2, len(methods))
    axes.set_xlim(0.0, 100.0)
    axes.set_xlabel(
        f"percentile rank of {score_name} among all images (right = harder)"
    )
    axes.spines[["left", "top", "right"]].set_visible(False)
    figure.legend(
        [line, mark],
        ["the full set", "median of the chosen"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(f"Difficulty of the chosen images, by {score_name}")
    return figure


def save_png(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG, atomically; equal figures give equal files.

    Args:
        figure: a figure of this module.
        path: file to create or replace; its folder must exist.
    """
    buffer = io.BytesIO()
    with plain_style(), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", r"Glyph \d+")
        figure.savefig(
            buffer, format="png", dpi=figure.dpi, metadata={"Software": None}
        )
    write_file(path, buffer.getvalue())


def new_figure(
    width: float, height: float, dpi: int = _DPI, layout: str | None = "constrained"
) -> Figure:
    # Imported here: most users of the package never draw.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _panels(
    summary: pd.DataFrame,
    styles: Mapping[str, Style] | None,
    with_random: bool,
    share_y: bool,
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]], list[str], dict[str, Style]]:
    """A figure with one panel per regime, the methods to draw and their styles."""
    rows = students(summary)
    if rows.empty:
        raise InputError("summary: there are no students to draw")
    styles = {**method_styles(rows["method"]), **(styles or {})}
    hidden = (FULL,) if with_random else (FULL, RANDOM)
    methods = [m for m in ordered_methods(rows["method"]) if m not in hidden]
    regimes = ordered_regimes(rows["regime"])
    budgets = sorted(int(ipc) for ipc in rows["ipc"].unique())
    # The legend beside the panels needs a line per method.
    height = max(1.0 + 2.1 * len(regimes), 1.4 + 0.2 * len(methods))
    figure = new_figure(7.6, height)
    grid = figure.subplots(len(regimes), 1, sharex=True, sharey=share_y, squeeze=False)
    panels = []
    for axes, regime in zip(grid.flat, regimes, strict=True):
        part = rows[rows["regime"] == regime]
        place = part["ipc"].map({ipc: i for i, ipc in enumerate(budgets)})
        panels.append((axes, part.assign(place=place.astype(float))))
        axes.set_title(f"{regime} labels", fontsize=10, loc="left")
        axes.set_xticks(range(len(budgets)), [str(ipc) for ipc in budgets])
        axes.set_xlim(-0.5, len(budgets) - 0.5)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        for edge in range(1, len(budgets)):
            axes.axvline(edge - 0.5, color="#DDDDDD", linewidth=0.6, zorder=0)
    panels[-1][0].set_xlabel("images per class")
    return figure, panels, methods, styles


def _draw_methods(
    axes: Axes,
    rows: pd.DataFrame,
    methods: list[str],
    styles: Mapping[str, Style],
    value: str,
    half_width: str,
) -> None:
    steps = (np.arange(len(methods)) + 0.5) / max(len(methods), 1) - 0.5
    for method, step in zip(methods, steps, strict=True):
        part = rows[rows["method"] == method]
        if part.empty:
            continue
        style = styles[method]
        axes.errorbar(
            part["place"] + _SLOT * step,
            part[value].astype(float),
            yerr=part[half_width].astype(float),
            label=method,
            color=style.colour,
            marker=style.marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            elinewidth=1.1,
            capsize=1.8,
            linestyle="none",
            zorder=3,
        )


def _draw_full(axes: Axes, rows: pd.DataFrame) -> None:
    """The full-data reference: its accuracy over the width of each budget."""
    import pandas as pd

    full = rows[rows["method"] == FULL]
    for index, row in enumerate(full.itertuples()):
        span = [row.place - 0.46, row.place + 0.46]
        label = "full data,\nsame compute" if index == 0 else None
        axes.plot(span, [row.accuracy] * 2, "--", color="black", lw=1.1, label=label)
        if not pd.isna(row.ci95):
            low, high = row.accuracy - row.ci95, row.accuracy + row.ci95
            axes.fill_between(span, low, high, color="black", alpha=0.12, linewidth=0)


def _legend(figure: Figure, panels: list[Axes]) -> None:
    """One legend outside the panels, each label once."""
    handles = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )


def check_subsets(subsets: Mapping[str, np.ndarray], count: int) -> None:
    """Raise InputError unless there are sets and all hold ids in 0..count-1."""
    if not subsets:
        raise InputError("subsets: no method is given; at least one is needed")
    for method, ids in subsets.items():
        ids = np.asarray(ids)
        if ids.size == 0:
            raise InputError(f"subsets: {method!r} is empty")
        outside = ids[(ids < 0) | (ids >= count)]
        if outside.size:
            raise InputError(
                f"subsets: {method!r} holds example id {outside[0]}; "
                f"allowed are 0..{count - 1}"
            )
