"""How students learn: train and test accuracy along the training.

Shape letters: P points of a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.plots import Style, method_styles, new_figure, plain_style
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
                _draw(axes, part[part["method"] == method], name, styles[method])
            axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
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
    options = {"loc": "outside right center", "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, **options)
    figure.suptitle("How students learn (mean and range over seeds)")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, name: str, style: Style) -> None:
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
