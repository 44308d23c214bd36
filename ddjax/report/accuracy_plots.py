"""Figures of accuracy: at each budget, under each kind of labels, along the training.

`summary` is everywhere the result of `statistics.summarise`, appended rows allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.drawing import (
    GREY,
    Style,
    method_styles,
    new_figure,
    outside_legend,
    plain_axes,
    plain_style,
)
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    REFERENCE,
    ordered_methods,
    ordered_regimes,
    students,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SLOT = 0.72  # share of the room between two budgets that the methods spread over
_COLOUR = "#332288"
_CURVES = {"train_curve": "on the set's own images", "test_curve": "on test images"}


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
        axes.axhline(0.0, color=GREY, linewidth=1.2, zorder=1, label=RANDOM)
        _draw_methods(axes, rows, methods, styles, "gap", "gap_ci95")
    figure.supylabel("accuracy minus random (points)", fontsize=10)
    _legend(figure, [axes for axes, _ in panels])
    figure.suptitle("Quality gap to random (paired by seed, mean and 95 % interval)")
    return figure


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
        draw_reference(axes.axvline, rows, ipc)
        axes.set_title(f"IPC {ipc}", fontsize=10, loc="left")
        axes.set_xlabel("test accuracy (%)", fontsize=10)
        axes.set_yticks(range(len(regimes)), regimes, fontsize=8)
        plain_axes(axes, "both")
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
def dynamics_figure(
    members: pd.DataFrame, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Train and test accuracy of every method's students, a row of panels per regime.

    Args:
        members: one row per student of one budget, with method, regime, steps,
            image_passes, images, train_curve and test_curve ([P] percent) and
            curve_steps ([P]), lists that are empty where nothing was measured.
        styles: method name to style; by default from the members' own methods.

    Returns:
        The figure: a line per method, the mean over seeds, within a band from the
        lowest to the highest seed; against epochs of the set, which count the views
        that pass through the student. Full data are left out: their epochs are others.

    Raises:
        InputError: if no student besides those of full data has a curve.
    """
    rows = members[members["method"] != FULL]
    rows = rows[[len(steps) > 0 for steps in rows["curve_steps"]]]
    if rows.empty:
        raise InputError("members: no student has a curve, protocol.curves is 0")
    methods = ordered_methods(rows["method"])
    styles = {**method_styles(methods), **(styles or {})}
    regimes = ordered_regimes(rows["regime"])
    height = max(1.1 + 2.4 * len(regimes), 1.2 + 0.2 * len(methods))
    figure = new_figure(10.0, height)
    grid = figure.subplots(len(regimes), 2, sharex=True, sharey="row", squeeze=False)
    for panels, regime in zip(grid, regimes, strict=True):
        part = rows[rows["regime"] == regime]
        for axes, name in zip(panels, _CURVES, strict=True):
            for method in methods:
                _draw_curve(axes, part[part["method"] == method], name, styles[method])
            plain_axes(axes, "y")
            axes.tick_params(labelsize=8)
            title = f"{regime} labels, {_CURVES[name]}"
            axes.set_title(title, fontsize=10, loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("epoch of the set", fontsize=9)
    grid[0, 0].set_xlim(left=0)
    figure.supylabel("accuracy (%)", fontsize=9)
    handles = [
        grid[0, 0].plot([], [], label=name, **_line(styles[name]))[0]
        for name in methods
    ]
    outside_legend(figure, handles)
    figure.suptitle("How students learn (mean and range over seeds)")
    return figure


def _draw_curve(axes: Axes, rows: pd.DataFrame, name: str, style: Style) -> None:
    """One method's students, which all have their points at the same steps."""
    if rows.empty:
        return
    first = rows.iloc[0]
    each = first["image_passes"] / first["steps"] / first["images"]
    epochs = np.asarray(first["curve_steps"]) * each
    values = np.array(rows[name].tolist(), np.float64)
    kept = values[np.isfinite(values).all(axis=1)]  # diverged ones are no mean's part
    if not len(kept):
        return
    axes.plot(epochs, kept.mean(axis=0), zorder=3, **_line(style))
    low, high = kept.min(axis=0), kept.max(axis=0)
    axes.fill_between(epochs, low, high, color=style.colour, alpha=0.15, linewidth=0)


def _line(style: Style) -> dict:
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": 3.5,
        "linewidth": 1.4,
    }


@plain_style()
def learning_curve_figure(
    trainings: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure:
    """Training loss and validation accuracy against epochs, a line per teacher.

    Args:
        trainings: name of a teacher to its training, see the module.

    Returns:
        The figure with two panels, loss above accuracy.

    Raises:
        InputError: there is no training.
    """
    if not trainings:
        raise InputError("trainings: found none, at least one is needed")
    styles = method_styles(trainings)
    figure = new_figure(7.6, 5.2)
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    for name, training in trainings.items():
        style = styles[name]
        last, points = int(training["epochs"][-1]), len(training["loss"])
        middles = (np.arange(points) + 0.5) * last / points
        seen = np.isfinite(training["loss"])
        losses.plot(
            middles[seen], training["loss"][seen], color=style.colour, label=name
        )
        accuracies.plot(
            training["epochs"],
            training["validation"],
            color=style.colour,
            marker=style.marker,
            markersize=4,
            label=name,
        )
    losses.set_ylabel("training loss (nats)")
    accuracies.set_ylabel("validation accuracy (%)")
    accuracies.set_xlabel("epochs")
    for axes in (losses, accuracies):
        plain_axes(axes, "y")
    if len(trainings) > 1:
        losses.legend(frameon=False, fontsize=9)
    figure.suptitle("Learning curves")
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
        plain_axes(axes, "y")
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
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )


def draw_reference(line, rows: pd.DataFrame, ipc: int) -> None:
    """Draws where random subsets under soft_kd on the fly are."""
    reference = rows[
        (rows["ipc"] == ipc)
        & (rows["regime"] == REFERENCE)
        & (rows["method"] == RANDOM)
    ]["accuracy"].astype(float)
    if len(reference) and np.isfinite(reference.iloc[0]):
        line(reference.iloc[0], color=GREY, linestyle="--", linewidth=1.0)
