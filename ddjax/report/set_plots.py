"""Figures of sets as a teacher sees them: how hard their images are.

Shape letters: n images of a set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.plots import Style, method_styles, new_figure, plain_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_REAL = "#222222"
_DOTS = 300  # at most so many images of a set are dots
_SPREAD = 0.26  # of the dots, in rows
_GOLDEN = 0.6180339887498949  # multiples of it fill an interval evenly


@plain_style()
def set_difficulty_figure(
    real: np.ndarray,
    sets: Mapping[str, np.ndarray],
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """How hard a teacher finds the images of every set, beside the real ones.

    Args:
        real: [n] float, EL2N of real images, in [0, sqrt 2].
        sets: name to the EL2N of its images, [n] float.
        styles: name to style; by default from the names in `sets`.

    Returns:
        The figure: a row per set, the real images on top: up to 300 images as dots,
        evenly spaced in rank, a bar from the lower to the upper quartile, a line from
        the 5th to the 95th percentile, and the median as a white diamond. The dashed
        line is the median of the real images.

    Raises:
        InputError: if there is no set, or one is empty or leaves [0, sqrt 2].
    """
    if not sets:
        raise InputError("sets: none is given, at least one is needed")
    values = {"real images": real} | dict(sets)
    for name, found in values.items():
        found = np.asarray(found)
        inside = (found >= 0) & (found <= np.sqrt(2.0) + 1e-3)
        if found.ndim != 1 or not found.size or not inside.all():
            raise InputError(
                f"sets: {name!r} has shape {found.shape} and numbers outside of "
                "[0, sqrt 2] or none at all; EL2N needs one in that range an image"
            )
    looks = {**method_styles(sets), **(styles or {})}
    colours = {name: looks[name].colour for name in sets} | {"real images": _REAL}
    figure = new_figure(7.6, 1.5 + 0.42 * len(values))
    axes = figure.subplots()
    for row, (name, found) in enumerate(reversed(values.items())):
        low, first, middle, third, high = np.percentile(found, (5, 25, 50, 75, 95))
        ranked = np.sort(found)
        step = max(1, len(ranked) / _DOTS)
        dots = ranked[np.arange(0, len(ranked), step).astype(int)]
        places = np.arange(len(dots)) * _GOLDEN % 1.0 - 0.5
        colour = colours[name]
        dot = {"s": 7, "color": colour, "alpha": 0.35, "linewidths": 0}
        axes.scatter(dots, row + 2 * _SPREAD * places, zorder=1, **dot)
        axes.plot([low, high], [row, row], color=colour, linewidth=1.4, zorder=2)
        axes.barh(row, third - first, 0.3, first, color=colour, zorder=3)
        look = {"markerfacecolor": "white", "markeredgecolor": "black", "zorder": 4}
        axes.plot(middle, row, "D", markersize=5, **look)
    axes.axvline(np.median(real), color=_REAL, linestyle="--", linewidth=0.9, zorder=0)
    names = [f"{name} ({len(values[name])})" for name in reversed(values)]
    axes.set_yticks(range(len(values)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.03, np.sqrt(2.0) + 0.03)
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.set_xlabel("EL2N of the teacher (right = harder for it)")
    figure.suptitle("How hard the teacher finds the images of each set")
    return figure
