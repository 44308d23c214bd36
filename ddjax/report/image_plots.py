"""Figures of images: a contact sheet, their difficulty for a teacher, a feature map.

Shape letters: N examples, H W C an image, n images of a set; of the feature map T
images, S sets.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.errors import InputError
from ddjax.report.drawing import (
    Style,
    check_subsets,
    method_styles,
    new_figure,
    outside_legend,
    plain_axes,
    plain_style,
)
from ddjax.report.statistics import ordered_methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_THUMBNAIL = 64  # the longer side comes near to this, by a whole factor
_GAPS = (2, 6, 10)  # pixels between images, between methods, between classes
_DPI = 100
_REAL = "#222222"
_DOTS = 300  # at most so many images of a set are dots
_SPREAD = 0.26  # of the dots, in rows
_GOLDEN = 0.6180339887498949  # multiples of it fill an interval evenly
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
def contact_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    subsets: Mapping[str, np.ndarray],
    classes: Sequence[str],
    per_class: int = 2,
    columns: int = 10,
) -> Figure:
    """A few of the images that each method selected, one row per method.

    Args:
        images: [N, H, W, C] uint8, C = 1 or 3.
        labels: [N] int class of each image, an index into `classes`.
        subsets: method name to its example ids, [n] int in 0..N-1.
        classes: class names in order.
        per_class: images per method and class; those with the lowest ids are shown.
        columns: at most so many classes are shown, spread evenly over all.

    Returns:
        The figure. Small images are enlarged and large ones reduced by a whole factor;
        a place is left empty where a method has fewer images of a class.

    Raises:
        InputError: if the images are not uint8 with 1 or 3 channels, or a set is empty
            or leaves 0..N-1.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(
            f"images: {images.dtype} {images.shape} found, "
            "uint8 [N, H, W, C] with 1 or 3 channels needed"
        )
    check_subsets(subsets, len(images))
    methods = ordered_methods(subsets)
    count = min(columns, len(classes))
    shown = np.linspace(0, len(classes) - 1, count).round().astype(int)
    height, width, _ = _thumbnail(images[0]).shape
    image_gap, row_gap, class_gap = _GAPS
    row_step = height + row_gap
    class_width = per_class * (width + image_gap) - image_gap
    class_step = class_width + class_gap
    sheet = np.full(
        (len(methods) * row_step - row_gap, count * class_step - class_gap, 3),
        255,
        np.uint8,
    )
    for row, method in enumerate(methods):
        ids = np.sort(np.asarray(subsets[method]))
        for column, label in enumerate(shown):
            for place, i in enumerate(ids[labels[ids] == label][:per_class]):
                y = row * row_step
                x = column * class_step + place * (width + image_gap)
                sheet[y : y + height, x : x + width] = _thumbnail(images[i])

    names = [_shortened(classes[label]) for label in shown]
    slanted = max(map(len, names)) * 8 > class_width
    figure, axes = _framed(
        sheet, left=15 + 10 * max(map(len, methods)), slanted=slanted
    )
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(count) * class_step + class_width / 2, names)
    if slanted:
        for text in axes.get_xticklabels():
            text.set(rotation=28, rotation_mode="anchor", ha="left")
    axes.set_yticks(np.arange(len(methods)) * row_step + height / 2, methods)
    axes.tick_params(length=0, labelsize=11)
    axes.spines[:].set_visible(False)
    some = "" if count == len(classes) else f" ({count} of {len(classes)} classes)"
    top = 1.0 - 0.1 / figure.get_size_inches()[1]
    figure.suptitle(f"Images selected by each method{some}", x=0.01, y=top, ha="left")
    return figure


def image_strip(images: np.ndarray) -> bytes:
    """Returns images side by side as a PNG file, transparent between them.

    Args:
        images: [n, H, W, C] uint8, C = 1 or 3; shown at about 64 pixels.
    """
    from PIL import Image

    shown = [_thumbnail(image) for image in images]
    height, width, _ = shown[0].shape
    step = width + _THUMBNAIL // 8
    strip = np.zeros((height, step * len(shown) - step + width, 4), np.uint8)
    for place, image in enumerate(shown):
        part = strip[:, place * step : place * step + width]
        part[..., :3], part[..., 3] = image, 255
    file = io.BytesIO()
    Image.fromarray(strip).save(file, "png", optimize=True)
    return file.getvalue()


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
        dot: dict[str, Any] = {"s": 7, "color": colour, "alpha": 0.35, "linewidths": 0}
        axes.scatter(dots, row + 2 * _SPREAD * places, zorder=1, **dot)
        axes.plot([low, high], [row, row], color=colour, linewidth=1.4, zorder=2)
        axes.barh(row, third - first, 0.3, first, color=colour, zorder=3)
        look: dict[str, Any] = {
            "markerfacecolor": "white",
            "markeredgecolor": "black",
            "zorder": 4,
        }
        axes.plot(middle, row, "D", markersize=5, **look)
    axes.axvline(np.median(real), color=_REAL, linestyle="--", linewidth=0.9, zorder=0)
    names = [f"{name} ({len(values[name])})" for name in reversed(values)]
    axes.set_yticks(range(len(values)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.03, np.sqrt(2.0) + 0.03)
    axes.set_ylim(-0.6, len(values) - 0.4)
    plain_axes(axes, "x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("EL2N of the teacher (right = harder for it)")
    figure.suptitle("How hard the teacher finds the images of each set")
    return figure


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
        distances in such a map have no unit, and large ones mean little.

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
    outside_legend(figure, handles, title="class")
    figure.suptitle("t-SNE of the teacher's features: a set among the real images")
    return figure


def _framed(sheet: np.ndarray, left: int, slanted: bool) -> tuple[Figure, Axes]:
    """A figure in which one pixel of the sheet is one pixel of the file."""
    top, right, bottom = 130 if slanted else 70, 80 if slanted else 15, 10
    width, height = left + sheet.shape[1] + right, top + sheet.shape[0] + bottom
    figure = new_figure(width / _DPI, height / _DPI, dpi=_DPI, layout=None)
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            sheet.shape[1] / width,
            sheet.shape[0] / height,
        )
    )
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    return figure, axes


def _shortened(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _thumbnail(image_HWC: np.ndarray) -> np.ndarray:
    """The image in RGB, repeated or averaged in square blocks to about 64 pixels."""
    height, width, _ = image_HWC.shape
    longest = max(height, width)
    image = np.broadcast_to(image_HWC, (height, width, 3))
    if longest <= _THUMBNAIL:
        factor = round(_THUMBNAIL / longest)
        return image.repeat(factor, 0).repeat(factor, 1)
    factor = -(-longest // _THUMBNAIL)
    high, wide = min(factor, height), min(factor, width)  # of a block of pixels
    height, width = height // high, width // wide
    blocks = image[: height * high, : width * wide].reshape(
        height, high, width, wide, 3
    )
    return blocks.mean((1, 3)).round().astype(np.uint8)


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
