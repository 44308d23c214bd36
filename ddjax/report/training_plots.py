"""Figures of trainings: the accuracies of students, the learning curves of teachers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.drawing import (
    Style,
    method_styles,
    new_figure,
    outside_legend,
    plain_axes,
    plain_style,
)
from ddjax.report.statistics import FULL, ordered_methods, ordered_regimes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVES = {"train_curve": "on the set's own images", "test_curve": "on test images"}


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
        trainings: name of a teacher to its `loss` ([Q] means over Q equal parts of the
            epochs, NaN where unknown), and to the `epochs` ([P], the last one is the
            end) after which it had which `validation` accuracy ([P] percent).

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
