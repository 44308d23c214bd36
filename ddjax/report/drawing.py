"""What all figures share: styles of methods, empty figures and PNG files.

No global plotting state is used. Pass the same `styles` (from `method_styles`) to all
figures of one report, so that a method keeps its colour and marker in all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ddjax.artifacts import write_file
from ddjax.errors import InputError
from ddjax.report.statistics import FULL, RANDOM, ordered_methods

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Nine colours that stay apart under the common colour-vision deficiencies (Paul
# Tol's qualitative "muted" scheme). Ten markers share no factor with nine colours,
# so 90 methods get 90 different pairs.
COLOURS = (
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
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
GREY = "#777777"
_DPI = 150


@dataclass(frozen=True)
class Style:
    """How a method is drawn: a colour (hex) and a matplotlib marker."""

    colour: str
    marker: str


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Surrounds drawing: all is drawn alike, whatever a user's matplotlibrc sets.

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
    fixed = {RANDOM: Style(GREY, "o"), FULL: Style("#000000", "_")}
    styles: dict[str, Style] = {}
    for name in ordered_methods(methods):
        index = len([other for other in styles if other not in fixed])
        colour, marker = COLOURS[index % 9], MARKERS[index % 10]
        styles[name] = fixed.get(name, Style(colour, marker))
    return styles


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
    width: float, height: float, dpi: int = _DPI, layout: Any = "constrained"
) -> Figure:
    """Returns an empty figure of a size in inches."""
    # Imported here: most users of the package never draw.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, grid: Literal["x", "y", "both"]) -> None:
    """Draws a light grid behind the data and no frame on the right and on top.

    Args:
        axes: are changed.
        grid: along which axis.
    """
    axes.grid(axis=grid, color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def outside_legend(figure: Figure, handles: list[Artist], title: str = "") -> None:
    """A legend to the right of all panels, without a frame."""
    place: Any = {"loc": "outside right center", "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, title=title or None, **place)


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
