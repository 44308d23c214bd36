"""Maps of features: where sets lie among the real images, as a teacher sees them.

Shape letters: T images, S sets, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.plots import new_figure, plain_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Ten colours; both their pale and their full shades stay apart.
_COLOURS = (
    "#4E79A7",
    "#F28E2B",
    "#E15759",
    "#76B7B2",
    "#59A14F",
    "#EDC948",
    "#B07AA1",
    "#FF9DA7",
    "#9C755F",
    "#3B3B3B",
)
_COLUMNS = 4
_PALE = 0.35  # share of the colour in a real image's dot
_SIDE = 2.6  # inches a panel


@plain_style()
def tsne_figure(
    points: np.ndarray,
    labels: np.ndarray,
    sets: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
) -> Figure:
    """One map of features, a panel for each set among the same real images.

    Args:
        points: [T, 2] float, places in one map of all sets; NaN: not drawn.
        labels: [T] int, classes, at most ten of those that are drawn.
        sets: [T] int, a position in `names`; 0 are the real images.
        names: of the sets, "real" first.
        classes: [C] names of the classes.

    Returns:
        The figure: in every panel the real images as pale dots and one set as strong
        markers with an edge, coloured by class. Axes are equal and without ticks:
        distances in such a map have no unit, and far apart says little.

    Raises:
        InputError: if the arrays differ in length, only real images are given, or
            more than ten classes are to be drawn.
    """
    points = np.asarray(points, np.float64)
    labels, sets = np.asarray(labels), np.asarray(sets)
    if not len(points) == len(labels) == len(sets):
        raise InputError(
            f"points: found {len(points)} beside {len(labels)} labels and {len(sets)} "
            "sets, allowed is one of each an image"
        )
    if len(names) < 2:
        raise InputError(f"names: found {list(names)}, allowed are real and a set more")
    drawn = np.isfinite(points).all(axis=1)
    shown = np.unique(labels[drawn])
    if len(shown) > len(_COLOURS):
        raise InputError(
            f"labels: found {len(shown)} classes to draw, allowed are at most "
            f"{len(_COLOURS)}, which colours can tell apart"
        )
    colours = np.array([_rgb(colour) for colour in _COLOURS])
    of_image = colours[np.searchsorted(shown, np.where(drawn, labels, shown[0]))]
    pale = 1.0 - _PALE * (1.0 - of_image)
    methods = list(range(1, len(names)))
    across = min(len(methods), _COLUMNS)
    down = -(-len(methods) // across)
    figure = new_figure(_SIDE * max(across, 2) + 1.4, (_SIDE + 0.25) * down + 0.7)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    real = drawn & (sets == 0)
    for axes, method in zip(grid.flat, methods, strict=False):
        own = drawn & (sets == method)
        size = 30 if own.sum() <= 200 else 14
        axes.scatter(*points[real].T, s=5, c=pale[real], linewidths=0, zorder=1)
        axes.scatter(
            *points[own].T,
            s=size,
            c=of_image[own],
            edgecolors="black",
            linewidths=0.7,
            zorder=2,
        )
        axes.set_title(f"{names[method]} ({own.sum()})", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal")
        axes.spines[:].set_color("#CCCCCC")
    low, high = points[drawn].min(axis=0), points[drawn].max(axis=0)
    half = 0.54 * (high - low).max()
    grid.flat[0].set_xlim((low + high)[0] / 2 - half, (low + high)[0] / 2 + half)
    grid.flat[0].set_ylim((low + high)[1] / 2 - half, (low + high)[1] / 2 + half)
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    look = {"linestyle": "none", "markeredgecolor": "black", "markeredgewidth": 0.7}
    handles = [
        grid.flat[0].plot([], [], "o", color=colour, label=classes[name], **look)[0]
        for name, colour in zip(shown, colours, strict=False)
    ]
    options = {"loc": "outside right center", "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, title="class", **options)
    figure.suptitle("t-SNE of the teacher's features: a set among the real images")
    return figure


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
