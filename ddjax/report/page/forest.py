"""Forest plots: a dot and an interval for each row and column, beside a line at 0.

A plot is a table with a picture a cell, so that names wrap and columns can be hidden.
Pictures have places in percent of their width: they stretch, their dots do not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ddjax.report import names
from ddjax.report.contrasts import MARGIN, SMALL, Contrast, contrast
from ddjax.report.page import axis, text
from ddjax.report.page.axis import Axis
from ddjax.report.page.grid import BEST, CONTROL, TESTED, Column, Grid, Row
from ddjax.report.page.record import Record
from ddjax.report.statistics import FULL, RANDOM
from ddjax.report.verdicts import LABELS, Verdict

PANELS = 8  # kinds of labels that a picture below the first one has
_SHOWN_ROWS = 14  # of the first picture
_SHOWN_LABELS = 20  # rows of it that are labels: nothing is quoted below them
_SHOWN_COLUMNS = 4
_LEADING = 5  # rows of the first picture that are there as they do best
_DENSE = 10  # rows from which they are lower
_HEIGHTS = (24, 20)


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of a plot.

    Attributes:
      title: its name for people.
      role: as of `Row`, it decides the colour of the title.
      cells: (column's key, picture, the same in words).
      last: whether a rule parts it from the rows above.
    """

    title: str
    role: str
    cells: list[tuple[str, Markup, str]]
    last: bool = False


@dataclasses.dataclass(frozen=True)
class Plot:
    """A forest plot.

    Attributes:
      columns: its panels.
      lines: its rows.
      scale: the picture of the axis, one for all panels.
      style: custom properties of CSS: where 0 and the band of a margin lie.
      caption: what it shows.
      quoted: (name, cells by column) of contrasts below the picture.
      left_out: a sentence on what is not drawn, "" if all is.
      zero: what the line at 0 is, "" without any.
    """

    columns: list[Column]
    lines: list[Line]
    scale: Markup
    style: str
    caption: str
    quoted: list[tuple[str, dict[str, Contrast]]]
    left_out: str
    zero: str


def hero(record: Record, grid: Grid) -> Plot:
    """Returns the picture of the first screen: gaps averaged over budgets.

    Where nothing is compared it shows the accuracies instead.
    """
    columns = grid.columns[:_SHOWN_COLUMNS]
    rows = [row for row in grid.rows if grid.gap(row, grid.columns[0])]
    if not any(_known(grid, row, columns) for row in rows):
        return _accuracies(grid)
    chosen = _chosen(record, grid, rows, columns)
    plot = _plot(grid, chosen, columns, None, seeds=False)
    missing, count = (sum(row.role != FULL for row in each) for each in (rows, chosen))
    missing, count = missing - count, missing
    more = len(grid.columns) - len(columns)
    sentences = []
    if missing:
        what = "kinds of labels" if grid.of_labels else "selections and sets"
        sentences.append(f"{missing} of {count} {what}")
    if more:
        sentences.append(f"{more} of {len(grid.columns)} kinds of labels")
    left = f"{text.listed(sentences)} are in the table only." if sentences else ""
    quoted = [] if grid.of_labels else _quoted(record, columns)
    caption = finding(grid, None)
    return dataclasses.replace(plot, left_out=left, quoted=quoted, caption=caption)


def by_seed(grid: Grid, ipc: int) -> Plot:
    """Returns the gaps of all rows at a budget, with a stroke a seed."""
    rows = [row for row in grid.rows if grid.gap(row, grid.columns[0], ipc)]
    plot = _plot(grid, rows, grid.columns[:PANELS], ipc, seeds=True)
    return dataclasses.replace(plot, caption=finding(grid, ipc))


def finding(grid: Grid, ipc: int | None) -> str:
    """Returns what gaps show, in a sentence; only what holds after Holm's correction.

    Args:
      grid: of the study.
      ipc: the budget; None: averaged over budgets.
    """
    clauses, silent, count = [], [], 0
    for column in grid.columns:
        gaps = _gaps(grid, column, ipc)
        up = sum(gap.sign > 0 for gap in gaps)
        down = sum(gap.sign < 0 for gap in gaps)
        under = f" under {column.title}" if not grid.of_labels else ""
        count = max(count, len(gaps))
        if up or down:
            parts = [f"{up} above 0" if up else "", f"{down} below 0" if down else ""]
            found = text.listed([part for part in parts if part])
            clauses.append(f"{found}{under}")
        elif gaps:
            silent.append(column.title)
    base = f"{grid.base} labels" if grid.of_labels else "random"
    if not count:
        return ""
    if not clauses:
        return f"No gap to {base} is shown after Holm."
    if len(clauses) > _SHOWN_COLUMNS:
        clauses = [*clauses[:_SHOWN_COLUMNS], "others in the table"]
    elif 0 < len(silent) <= _SHOWN_COLUMNS:
        clauses.append(f"none under {text.listed(silent)}")
    gaps_ = text.counted(count, "gap")
    return f"Of {gaps_} to {base}, shown after Holm: {', '.join(clauses)}."


def _gaps(grid: Grid, column: Column, ipc: int | None) -> list[Contrast]:
    """The known gaps of a column, that of full data left out."""
    found = [grid.gap(row, column, ipc) for row in grid.rows if row.role != FULL]
    return [gap for gap in found if gap is not None and gap.n]


def _known(grid: Grid, row: Row, columns: Sequence[Column]) -> bool:
    found = [grid.gap(row, column) for column in columns]
    return any(gap is not None and gap.n for gap in found)


def _chosen(
    record: Record, grid: Grid, rows: list[Row], columns: Sequence[Column]
) -> list[Row]:
    """The rows of the first picture: those that verdicts name, and a spread."""
    rows = [row for row in rows if _known(grid, row, columns)]
    plain = [row for row in rows if row.role != FULL]
    most = _SHOWN_LABELS if grid.of_labels else _SHOWN_ROWS
    if len(plain) > most:
        named = set(grid.tested.values())
        if not grid.of_labels:
            study = record.study
            for column in columns:
                named.add(grid.best[column.key])
                named.add(study.best(column.regime, study.sensible, worst=True)[1])
        first = [row for row in plain if row.key not in named][:_LEADING]
        named |= {row.key for row in first}
        others = [row for row in plain if row.key not in named]
        room = max(most - sum(row.key in named for row in plain), 0)
        spread = np.linspace(0, len(others) - 1, min(room, len(others)))
        named |= {others[int(place)].key for place in spread.round()}
        plain = [row for row in plain if row.key in named]
    return plain + [row for row in rows if row.role == FULL]


def _plot(
    grid: Grid,
    rows: list[Row],
    columns: Sequence[Column],
    ipc: int | None,
    seeds: bool,
) -> Plot:
    found = [grid.gap(row, column, ipc) for row in rows for column in columns]
    gaps = [gap for gap in found if gap is not None and gap.n]
    halves = [0.0 if math.isnan(gap.half_width) else gap.half_width for gap in gaps]
    ends = [g.mean + s * h for g, h in zip(gaps, halves, strict=True) for s in (-1, 1)]
    scale = axis.of_gaps([gap.mean for gap in gaps], ends)
    height = _HEIGHTS[len(rows) >= _DENSE]
    lines: list[Line] = []
    for row in rows:
        cells = []
        for column in columns:
            gap = grid.gap(row, column, ipc)
            if gap is None or not gap.n:
                cells.append((column.key, Markup(""), "not known"))
                continue
            number = text.of_contrast(gap)
            words = f"{row.title}, {row.regime or column.regime}: {number}, "
            words += text.meaning(gap)
            role = grid.role(row, column)
            picture = _dot(gap, scale, height, role, words, seeds)
            cells.append((column.key, picture, number))
        first_full = row.role == FULL and not any(line.role == FULL for line in lines)
        lines.append(Line(row.title, row.role, cells, first_full))
    places = (min(max(scale.share(at), 0.0), 1.0) for at in (0, -MARGIN, MARGIN))
    band = ";".join(f"--{key}:{at:.4f}" for key, at in zip("zbe", places, strict=True))
    zero = f"{grid.base} labels" if grid.of_labels else grid.base
    return Plot(
        list(columns), lines, _scale(scale, sign=True), band, "", [], "", f"{zero} = 0"
    )


def _accuracies(grid: Grid) -> Plot:
    """Accuracies of all rows at each budget, where there is nothing to compare."""
    found, columns = [], grid.columns[:_SHOWN_COLUMNS]
    for row in grid.rows[:_SHOWN_ROWS]:
        for ipc in grid.budgets:
            cells = {}
            for column in columns:
                values = grid.seeds(row, column, ipc)
                cells[column.key] = contrast("", row.regime or column.regime, values)
            if any(cell.n for cell in cells.values()):
                found.append((f"{row.title}, IPC {ipc}", row.role, cells))
    flat = [cell for _, _, cells in found for cell in cells.values() if cell.n]
    if not flat:
        return Plot(list(columns), [], Markup(""), "", "", [], "", "")
    halves = [0.0 if math.isnan(cell.half_width) else cell.half_width for cell in flat]
    ends = [c.mean + s * h for c, h in zip(flat, halves, strict=True) for s in (-1, 1)]
    scale = axis.linear(ends)
    lines = []
    for title, role, cells in found[: 2 * _SHOWN_ROWS]:
        pictures = []
        for key, cell in cells.items():
            if not cell.n:
                pictures.append((key, Markup(""), "not known"))
                continue
            number = text.plus_minus(cell.mean, cell.half_width)
            picture = _dot(cell, scale, _HEIGHTS[0], role, f"{title}: {number}", True)
            pictures.append((key, picture, number))
        lines.append(Line(title, role, pictures))
    best = max(flat, key=lambda cell: cell.mean)
    number = text.plus_minus(best.mean, best.half_width)
    caption = f"Nothing is compared; the highest mean accuracy is {number} %."
    return Plot(list(columns), lines, _scale(scale), "", caption, [], "", "")


def _dot(
    found: Contrast, scale: Axis, height: int, role: str, words: str, seeds: bool
) -> Markup:
    """A dot with its interval, a diamond where a gap is shown to be small."""
    middle, parts = height / 2, [text.tag("title", words)]
    low, high = found.mean - found.half_width, found.mean + found.half_width
    inside = scale.inside(found.mean)
    if found.n > 1 and high > scale.low and low < scale.high:
        ends = {"x1": scale.x(low), "x2": scale.x(high), "y1": middle, "y2": middle}
        parts.append(text.tag("line", class_="ci", **ends))
    if seeds:
        parts += [
            text.tag(
                "line",
                class_="seed",
                x1=scale.x(value),
                x2=scale.x(value),
                y1=middle - 5,
                y2=middle + 5,
            )
            for value in found.values
            if scale.inside(value)
        ]
    fill = _fill(found)
    if not inside:
        side = -1 if found.mean < scale.low else 1
        parts.append(_beyond(found, side, height))
    elif found.state == SMALL:
        path = text.tag("path", class_=fill, d="M0-5L5 0 0 5-5 0Z")
        parts.append(_at(scale.x(found.mean), middle, path))
    else:
        place = {"cx": scale.x(found.mean), "cy": middle, "r": 4}
        parts.append(text.tag("circle", class_=fill, **place))
    return text.tag("svg", *parts, class_=f"dot {role}", height=height, role="img")


def _beyond(found: Contrast, side: int, height: int) -> Markup:
    """An arrow at the edge, with its number, of a mean that lies beyond."""
    path = "M6-5L0 0 6 5Z" if side < 0 else "M-6-5L0 0-6 5Z"
    number = text.tag(
        "text",
        names.signed(found.mean),
        class_="out",
        x=9 * -side,
        y=4,
        text_anchor="start" if side < 0 else "end",
    )
    arrow = text.tag("path", class_=_fill(found), d=path)
    return _at("0%" if side < 0 else "100%", height / 2, arrow, number)


def _fill(found: Contrast) -> str:
    return "on" if found.excludes_zero else "off"


def _at(x: str, y: float, *parts: Markup) -> Markup:
    return text.tag("svg", *parts, x=x, y=y, overflow="visible")


def _scale(scale: Axis, sign: bool = False) -> Markup:
    parts = []
    ends = {find(scale.ticks, key=abs, default=0.0) for find in (min, max)}
    for value, name in scale.named(sign):
        x = scale.x(value)
        parts.append(text.tag("line", class_="tick", x1=x, x2=x, y1=0, y2=4))
        kind = "" if value in ends else "minor"  # left out on a phone
        place = {"x": x, "y": 16, "text_anchor": "middle", "class_": kind}
        parts.append(text.tag("text", name, **place))
    return text.tag("svg", *parts, class_="scale", height=20, aria_hidden="true")


def _quoted(
    record: Record, columns: Sequence[Column]
) -> list[tuple[str, dict[str, Contrast]]]:
    """The contrasts of all verdicts: (name, column -> contrast)."""
    keys = {column.regime: column.key for column in columns}
    found: dict[str, dict[str, Contrast]] = {}
    for verdict in record.verdicts:
        for each in verdict.contrasts:
            name = _name(record, verdict, each)
            if each.regime in keys and each.n:
                found.setdefault(name, {})[keys[each.regime]] = each
    return list(found.items())


def _name(record: Record, verdict: Verdict, each: Contrast) -> str:
    tested = record.study.tested
    own = names.title(tested[0]) if len(tested) == 1 else "best set"
    name = each.name.replace("tested", own)
    if verdict.key == LABELS and name.startswith(f"{RANDOM}: labels"):
        base = name.removeprefix(f"{RANDOM}: labels − ")
        return f"random: these labels − {base}"
    return name


def legend(grid: Grid, plot: Plot) -> list[tuple[Markup, str]]:
    """Returns (picture, words) for the signs that occur in a plot of gaps."""
    shown = [gap for column in plot.columns for gap in _gaps(grid, column, None)]
    entries: list[tuple[Markup, str]] = []

    def add(words: str, role: str = "", **marks: Any) -> None:
        entries.append((_key(role, **marks), words))

    filled = {_fill(gap) for gap in shown}
    if "on" in filled:
        add("the interval leaves out 0", on=True)
    if "off" in filled:
        add("it holds 0")
    if any(gap.state == SMALL for gap in shown):
        add(f"shown to be smaller than {MARGIN:g} point", diamond=True)
    roles = {grid.role(row, column) for row in grid.rows for column in plot.columns}
    for role, words in (
        (TESTED, _tested(grid)),
        (BEST, "best on validation"),
        (CONTROL, "bad on purpose"),
    ):
        if role in roles:
            add(words, role, on=True, line=True)
    return entries


def below(plot: Plot) -> str:
    """Returns what the signs of the quoted contrasts mean, "" where none is quoted."""
    found = {text.glyph(each) for _, cells in plot.quoted for each in cells.values()}
    meanings = (
        ("●", "shown"),
        ("◆", f"shown, and smaller than {MARGIN:g} point"),
        ("◇", f"smaller than {MARGIN:g} point"),
        ("○", "not decided"),
    )
    signs = [f"{sign} {words}" for sign, words in meanings if sign in found]
    if not signs:
        return ""
    return (
        f"Rows below the axis: {', '.join(signs)}, after Holm over the comparisons of "
        "their answer."
    )


def _tested(grid: Grid) -> str:
    arms = set(grid.tested.values())
    return names.title(arms.pop()) if len(arms) == 1 else "best set on validation"


def _key(
    role: str, on: bool = False, diamond: bool = False, line: bool = False
) -> Markup:
    fill, parts = "on" if on else "off", []
    if line:
        parts.append(text.tag("line", class_="ci", x1=0, x2=18, y1=6, y2=6))
    if diamond:
        parts.append(text.tag("path", class_="off", d="M9 1L14 6 9 11 4 6Z"))
    else:
        parts.append(text.tag("circle", class_=fill, cx=9, cy=6, r=4))
    return text.tag(
        "svg", *parts, class_=f"dot key {role}", width=18, height=12, aria_hidden="true"
    )
