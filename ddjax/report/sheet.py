"""The contact sheet: a look at the images that each method chose.

Shapes: N examples, H W C an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.plots import check_subsets, new_figure, plain_style
from ddjax.report.statistics import ordered_methods

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_THUMBNAIL = 64  # the longer side comes near to this, by a whole factor
_GAPS = (2, 6, 10)  # pixels between images, between methods, between classes
_DPI = 100


@plain_style()
def contact_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    subsets: Mapping[str, np.ndarray],
    classes: Sequence[str],
    per_class: int = 2,
    columns: int = 10,
) -> Figure:
    """A few of the images that each method chose, one row per method.

    Args:
        images: [N, H, W, C] uint8, C = 1 or 3.
        labels: [N] int class of each image, an index into `classes`.
        subsets: method name to its example ids, [n] int in 0..N-1.
        classes: class names in order.
        per_class: images per method and class; those with the lowest ids are shown.
        columns: at most so many classes are shown, spread evenly over all.

    Returns:
        The figure. Small images are enlarged and large ones reduced by a whole factor;
        a place is left empty where a method chose fewer images of a class.

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
    figure.suptitle(f"Images chosen by each method{some}", x=0.01, y=top, ha="left")
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
