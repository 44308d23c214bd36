"""Numbers and markup as a page writes them: real minus signs, few digits, escaped."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from ddjax.report.contrasts import SHOWN, SMALL, Contrast
from ddjax.report.names import signed

NONE = "–"  # of a number that is not known
_LETTERS = 17  # of a line beside a picture
_NBSP = "\N{NO-BREAK SPACE}"
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
GLYPHS = {SHOWN: "●", SMALL: "◆"}  # all other states are hollow
WORDS = {SHOWN: "shown", SMALL: "smaller than 1 point"}


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Returns an element of SVG or HTML, its text and attributes escaped.

    Args:
        name: such as "line".
        *children: markup, or text.
        **attributes: an underscore stands for a hyphen and is left out at the end;
            floats have two decimals, None and "" leave an attribute out.
    """
    words = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value == "":
            continue
        if isinstance(value, float):
            value = f"{value:.2f}".rstrip("0").rstrip(".")
        words.append(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    if not children:
        return Markup("".join(words) + "/>")
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"{''.join(words)}>{inside}</{name}>")


def percent(value: float) -> str:
    """Returns a place along the width of a picture, such as "12.5%"."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def plus_minus(mean: float, half_width: float, sign: bool = False) -> str:
    """Returns text such as "71.6 ±0.8" or "−2.0 ±?", with a no-break space."""
    if math.isnan(mean):
        return NONE
    value = signed(mean) if sign else f"{mean:.1f}"
    half = "?" if math.isnan(half_width) else f"{half_width:.1f}"
    return f"{value}{_NBSP}±{half}"


def of_contrast(found: Contrast) -> str:
    """Returns a contrast's mean and interval."""
    return plus_minus(found.mean, found.half_width, sign=True)


def glyph(found: Contrast) -> str:
    """Returns the sign of a contrast's state: filled, diamond or hollow."""
    if not found.n:
        return ""
    if found.state == SMALL:
        return "◆" if found.sign else "◇"
    return GLYPHS.get(found.state, "○")


def meaning(found: Contrast) -> str:
    """Returns a contrast's state in words."""
    if found.n < 2:
        return "one seed" if found.n else "not known"
    return WORDS.get(found.state, "not decided")


def listed(words: Sequence[str]) -> str:
    """Returns words as a sentence lists them."""
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]


def counted(count: int, noun: str) -> str:
    """Returns text such as "1 seed" or "1,200 images"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def seconds(value: Any) -> str:
    """Returns seconds as text: "0.04 s", "42.3 s", "12 min", "3.4 h"."""
    if value is None or math.isnan(value):
        return NONE
    if value < 1:
        return f"{value:.2g} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def quantity(value: Any, unit: str = "") -> str:
    """Returns a large number with a decimal prefix: "0", "640", "3 M", "37.5 kB"."""
    if value is None or math.isnan(value):
        return NONE
    value, step = float(value), 0
    while abs(value) >= 999.5 and step < len(_PREFIXES) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_PREFIXES[step]}{unit}".strip()


def wrapped(name: str) -> list[str]:
    """Returns the one or two lines of a name beside a picture, cut off where longer."""
    lines = textwrap.wrap(name, _LETTERS, break_on_hyphens=False)
    if len(lines) > 2:
        lines = [lines[0], lines[1][: _LETTERS - 1] + "…"]
    return lines or [""]


def flat(tree: object, prefix: str = "") -> list[tuple[str, str]]:
    """Returns nested mappings as (dotted name, value) pairs."""
    if not isinstance(tree, dict):
        value = ", ".join(map(str, tree)) if isinstance(tree, list | tuple) else tree
        return [(prefix, str(value))]
    return [
        pair
        for name, value in tree.items()
        for pair in flat(value, f"{prefix}.{name}" if prefix else str(name))
    ]
