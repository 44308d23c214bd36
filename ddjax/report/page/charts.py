"""Charts of a page: accuracy against budget, gains against cost, bytes of labels.

A chart has a panel a column of the grid. Places along its width are in percent, places
along its height in pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from ddjax.report.contrasts import contrast, corrected
from ddjax.report.names import signed
from ddjax.report.page import axis, text
from ddjax.report.page.axis import Axis, Log
from ddjax.report.page.forest import PANELS
from ddjax.report.page.grid import BASE, BEST, REST, TESTED, Cell, Column, Grid, Row
from ddjax.report.statistics import FULL

_HEIGHT = 250
_TOP, _BOTTOM = 10, 24
_LINE, _SPACE = 13, 3  # pixels of a line of a name, and between names
_NAMED = 6  # rows up to which all are named
_LEFT, _RIGHT = 8.0, 56.0  # percent of the width where points lie; names follow


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
      panels: (column's key, title, picture).
      caption: what it shows.
      y: what its vertical axis is.
      x: what its horizontal axis is.
    """

    panels: list[tuple[str, str, Markup]]
    caption: str
    y: str
    x: str


def budgets(grid: Grid) -> Chart | None:
    """Returns test accuracy against budget; None with a single budget."""
    if len(grid.budgets) < 2:
        return None
    panels = []
    for column in grid.columns[:PANELS]:
        curves = [
            (row, [grid.cell(row, column, ipc) for ipc in grid.budgets])
            for row in grid.rows
        ]
        known = [each for each in curves if sum(map(_measured, each[1])) > 1]
        if known:
            panels.append((column.key, column.title, _curves(grid, column, known)))
    if not panels:
        return None
    return Chart(panels, _growth(grid), "test accuracy, %", "images per class")


def costs(grid: Grid, ipc: int) -> Chart | None:
    """Returns gaps to random against image passes; None where costs are not known."""
    if grid.of_labels:
        return None
    panels = []
    for column in grid.columns[:PANELS]:
        points = []
        for row in grid.rows:
            cell = None if row.role in (BASE, FULL) else grid.cell(row, column, ipc)
            gap = cell.gap if cell else None
            if cell and gap and gap.n and math.isfinite(cell.passes):
                half = 0.0 if math.isnan(gap.half_width) else gap.half_width
                on = gap.excludes_zero
                points.append((row, cell.passes, gap.mean, half, on))
        if len(points) > 1 and any(passes > 0 for _, passes, _, _, _ in points):
            ends = [g + s * h for _, _, g, h, _ in points for s in (-1, 1)]
            scale = axis.of_gaps([g for _, _, g, _, _ in points], ends)
            picture = _points(grid, column, points, scale, sign=True, unit="")
            panels.append((column.key, column.title, picture))
    if not panels:
        return None
    return Chart(
        panels,
        _cheapest(grid, ipc),
        f"points above random, IPC {ipc}",
        "image passes to select or synthesise the set; nearly equal costs stand side "
        "by side",
    )


def sizes(grid: Grid, ipc: int) -> Chart | None:
    """Returns accuracy against bytes of labels; None where none are stored."""
    if not grid.of_labels:
        return None
    (column,) = grid.columns
    points = []
    for row in grid.rows:
        cell = None if row.role == FULL else grid.cell(row, column, ipc)
        if cell and cell.n and math.isfinite(cell.bytes) and cell.bytes > 0:
            half = 0.0 if math.isnan(cell.ci95) else cell.ci95
            on = cell.gap is None or cell.gap.excludes_zero
            points.append((row, cell.bytes, cell.accuracy, half, on))
    if len(points) < 2:
        return None
    ends = [a + s * h for _, _, a, h, _ in points for s in (-1, 1)]
    picture = _points(grid, column, points, axis.linear(ends), sign=False, unit="B")
    best = max(points, key=lambda point: point[2])
    caption = (
        f"Of the stored labels {best[0].title} has the highest mean, "
        f"{text.plus_minus(best[2], best[3])} % for {text.quantity(best[1], 'B')}."
    )
    return Chart(
        [(column.key, "", picture)],
        caption,
        f"test accuracy, %, IPC {ipc}",
        "bytes of one student's labels, codebooks included",
    )


def _measured(cell: Cell | None) -> bool:
    return cell is not None and cell.n > 0


def _y(scale: Axis, value: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - scale.share(value))


def _frame(scale: Axis, sign: bool) -> list[Markup]:
    """Lines across at round numbers, with the numbers at their left ends."""
    parts = []
    for value, name in scale.named(sign):
        y = _y(scale, value)
        kind = "zero" if sign and value == 0 else "grid"
        place = {"x1": "0", "x2": text.percent(_RIGHT + 3), "y1": y, "y2": y}
        line = text.tag("line", class_=kind, **place)
        parts += [line, text.tag("text", name, x=0, y=y - 3)]
    return parts


def _curves(
    grid: Grid, column: Column, curves: list[tuple[Row, list[Cell | None]]]
) -> Markup:
    step = (_RIGHT - _LEFT) / (len(grid.budgets) - 1)
    places = [_LEFT + step * index for index in range(len(grid.budgets))]
    named = _named(grid, column, [row for row, _ in curves])
    loud = [cells for row, cells in curves if row.key in named]
    scale = axis.linear(c.accuracy for cells in loud for c in cells if c and c.n)
    parts = _frame(scale, sign=False)
    for x, ipc in zip(places, grid.budgets, strict=True):
        place = {"x": text.percent(x), "y": _HEIGHT - 6, "text_anchor": "middle"}
        parts.append(text.tag("text", f"{ipc:,}", **place))
    ends, drawn = [], []
    for row, cells in sorted(curves, key=lambda each: each[0].key in named):
        role = grid.role(row, column) if row.key in named else "pale"
        known = [(x, c) for x, c in zip(places, cells, strict=True) if c and c.n]
        title = text.tag("title", row.title)
        lines = []
        for (x1, one), (x2, other) in zip(known, known[1:], strict=False):
            y1, y2 = _y(scale, one.accuracy), _y(scale, other.accuracy)
            ends_of = {"x1": text.percent(x1), "x2": text.percent(x2)}
            lines.append(text.tag("line", **ends_of, y1=y1, y2=y2))
        if row.key in named:
            lines += [
                text.tag("circle", cx=text.percent(x), cy=_y(scale, c.accuracy), r=3)
                for x, c in known
            ]
            ends.append((_y(scale, known[-1][1].accuracy), known[-1][0], row, role))
        drawn.append(text.tag("g", title, *lines, class_=f"curve {role}"))
    return _svg([*parts, _clipped(drawn), *_tags(ends)], column.title)


def _points(
    grid: Grid,
    column: Column,
    points: Sequence[tuple[Row, float, float, float, bool]],
    scale: Axis,
    sign: bool,
    unit: str,
) -> Markup:
    """A dot a row: (row, cost, mean, half width, whether its gap is shown)."""
    costs = axis.logarithmic([point[1] for point in points], _LEFT + 2, _RIGHT)
    named = _named(grid, column, [row for row, _, _, _, _ in points])
    parts = _frame(scale, sign)
    for value in costs.named():
        place = {"x": text.percent(costs.x(value)), "y": _HEIGHT - 6}
        name = text.quantity(value, unit)
        parts.append(text.tag("text", name, text_anchor="middle", **place))
    ends, drawn = [], []
    for x, (row, _, mean, half, on) in _apart(costs, points):
        role = grid.role(row, column)
        where, y = text.percent(x), _y(scale, mean)
        number = signed(mean) if sign else f"{mean:.1f}"
        title = text.tag("title", f"{row.title}: {number}")
        fill = f"{'on' if on else 'off'} {role}"
        if not scale.inside(mean):
            parts.append(_beyond(where, mean < scale.low, fill, title))
            continue
        low, high = _y(scale, mean - half), _y(scale, mean + half)
        line = {"x1": where, "x2": where, "y1": low, "y2": high}
        drawn.append(text.tag("line", class_=f"ci {role}", **line))
        drawn.append(text.tag("circle", title, class_=fill, cx=where, cy=y, r=4))
        if row.key in named:
            ends.append((y, x, row, role))
    return _svg([*parts, _clipped(drawn), *_tags(ends)], column.title)


def _clipped(parts: list[Markup]) -> Markup:
    """The inside of a chart, without what lies beyond its axis."""
    return text.tag("svg", *parts, width="100%", height=_HEIGHT - _BOTTOM + 4)


def _beyond(where: str, below: bool, fill: str, title: Markup) -> Markup:
    path = "M-4-6L4-6 0 0Z" if below else "M-4 6L4 6 0 0Z"
    arrow = text.tag("path", title, class_=fill, d=path)
    y = _HEIGHT - _BOTTOM + 2 if below else 2
    return text.tag("svg", arrow, x=where, y=y, overflow="visible")


def _apart(
    costs: Log, points: Sequence[tuple[Row, float, float, float, bool]]
) -> list[tuple[float, tuple[Row, float, float, float, bool]]]:
    """Places of points, of which those of nearly equal cost stand side by side."""
    placed, start = [], 0
    ordered = sorted(points, key=lambda point: (point[1], -point[2]))
    places = [costs.x(cost) for _, cost, _, _, _ in ordered]
    while start < len(ordered):
        stop = start
        while stop < len(ordered) and places[stop] - places[start] < 1.5:
            stop += 1
        width = min(1.4 * (stop - start - 1), 12.0)
        middle = min(places[start], _RIGHT - width / 2)
        step = width / max(stop - start - 1, 1)
        for index in range(start, stop):
            placed.append((middle - width / 2 + step * (index - start), ordered[index]))
        start = stop
    return placed


def _named(grid: Grid, column: Column, rows: list[Row]) -> set[str]:
    """Which rows have their names written: few all, else those that matter."""
    if len(rows) <= _NAMED:
        return {row.key for row in rows}
    wanted = (BASE, TESTED, BEST, FULL)
    found = [row.key for row in rows if grid.role(row, column) in wanted]
    plain = [row.key for row in rows if row.role == REST]
    return {*found[:_NAMED], *plain[: max(_NAMED - 1 - len(found), 0)], *plain[:1]}


def _tags(ends: list[tuple[float, float, Row, str]]) -> list[Markup]:
    """Names at the right, moved apart until none covers another: (y, x, row, role)."""
    ends = sorted(ends, key=lambda end: end[0])
    names = [text.wrapped(row.title) for _, _, row, _ in ends]
    places, end = [], -math.inf
    for (y, _, _, _), lines in zip(ends, names, strict=True):
        places.append(max(y, end))
        end = places[-1] + _LINE * len(lines) + _SPACE
    end = _HEIGHT - _BOTTOM + _LINE
    for index in range(len(places) - 1, -1, -1):  # those below the end move up
        end -= _LINE * len(names[index])
        places[index] = min(places[index], end)
        end -= _SPACE
    parts = []
    for (y, x, _, role), lines, at in zip(ends, names, places, strict=True):
        line = {"x1": text.percent(x + 1.5), "x2": text.percent(_RIGHT + 4)}
        parts.append(text.tag("line", class_="lead", **line, y1=y, y2=at))
        for index, words in enumerate(lines):
            place = {"x": text.percent(_RIGHT + 5), "y": at + 4 + _LINE * index}
            parts.append(text.tag("text", words, class_=f"tag {role}", **place))
    return parts


def _svg(parts: list[Markup], label: str) -> Markup:
    return text.tag(
        "svg", *parts, class_="chart", height=_HEIGHT, role="img", aria_label=label
    )


def _growth(grid: Grid) -> str:
    """What more images bring to the base, where it is shown."""
    base = next((row for row in grid.rows if row.role == BASE), None)
    least, most = grid.budgets[0], grid.budgets[-1]
    family = []
    for column in grid.columns:
        if base is not None:
            low, high = (grid.seeds(base, column, ipc) for ipc in (least, most))
            name = base.regime or column.title
            family.append(contrast(name, name, high - low))
    shown = [each for each in corrected(family) if each.sign]
    if not shown:
        return "Mean test accuracy at each budget."
    parts = [f"{text.of_contrast(each)} under {each.name} labels" for each in shown[:4]]
    return f"From IPC {least} to {most} random images gain {text.listed(parts)}."


def _cheapest(grid: Grid, ipc: int) -> str:
    """The cheapest gain that is shown in the first column."""
    column = grid.columns[0]
    found = [
        cell
        for row in grid.rows
        if row.role != FULL
        and (cell := grid.cell(row, column, ipc)) is not None
        and cell.gap is not None
        and cell.gap.sign > 0
        and math.isfinite(cell.passes)
    ]
    if not found:
        return (
            f"Under {column.title} labels no gain over random is shown, whatever it "
            "costs."
        )
    best = min(found, key=lambda cell: cell.passes)
    assert best.gap is not None
    return (
        f"Under {column.title} labels {best.row.title} is the cheapest with a gain "
        f"over random that is shown: {text.of_contrast(best.gap)} points for "
        f"{text.quantity(best.passes)} image passes."
    )
