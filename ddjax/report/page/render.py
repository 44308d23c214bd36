"""The page itself: a record becomes report.html and verdicts.json."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ddjax.artifacts import write_file
from ddjax.report.contrasts import LEVEL, MARGIN, SMALL
from ddjax.report.page import charts, facts, forest, text
from ddjax.report.page.cautions import cautions, intervals, notes
from ddjax.report.page.glossary import glossary
from ddjax.report.page.grid import Cell, Grid
from ddjax.report.page.record import Figure, Record, read
from ddjax.report.statistics import FULL
from ddjax.report.verdicts import SHOWN, UNDECIDED, Verdict, as_json

if TYPE_CHECKING:
    import jinja2

PAGE, VERDICTS = "report.html", "verdicts.json"
EMBEDDED = 2_400_000  # bytes of PNG files inside a page; further ones are linked
_GAPS = 1500  # of pictures a seed, from which only the largest budget is drawn
_PILLS = 4  # kinds of labels that are named one by one
_TINTS = (1.0, 3.0, 10.0)  # points at which a cell gets darker
# Kinds of PNG figures -> heading, in the order of a page.
_KINDS = {
    "images": "Images",
    "architectures": "Other networks",
    "dynamics": "How students learn",
    "difficulty": "Difficulty of the selected images",
    "set_difficulty": "Difficulty for the teacher",
    "tsne": "Sets among the real images",
    "overlap": "Images that selections share",
    "correlation": "Scores that rank alike",
    "dcs": "What correlates with the test loss",
    "teachers": "Learning curves of the teachers",
}
_CLASSES = "classes"  # the kind of the thumbnails in the heading


@dataclasses.dataclass(frozen=True)
class Shown:
    """Figures of a kind.

    Attributes:
      heading: of them.
      key: for anchors.
      figures: (caption or "", source of the image, budget), the first one stands open.
    """

    heading: str
    key: str
    figures: list[tuple[str, str, int | None]]


def render(folder: str | os.PathLike, embed: bool = True) -> pathlib.Path:
    """Writes the page and the verdicts of a results folder again; trains nothing.

    Args:
      folder: of a run, or some of its files: manifest.json, members.jsonl, PNG files.
      embed: of `write_page`.

    Returns:
      Where the page is.

    Raises:
      InputError: a file is missing or damaged.
    """
    record = read(folder)
    if record.compares:
        write_verdicts(record)
    return write_page(record, embed)


def write_verdicts(record: Record) -> pathlib.Path:
    """Writes verdicts.json, atomically, into the record's folder.

    It has `verdicts` (see `verdicts.as_json`), `why_none` where there is none, `level`
    and `margin` of their tests, and what their `intervals` include and exclude.
    """
    found = {
        "verdicts": [as_json(verdict) for verdict in record.verdicts],
        "why_none": record.no_verdict,
        "level": LEVEL,
        "margin": MARGIN,
        "intervals": intervals(record),
    }
    path = record.folder / VERDICTS
    text_ = json.dumps(_finite(found), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, (text_ + "\n").encode())
    return path


def write_page(record: Record, embed: bool = True) -> pathlib.Path:
    """Writes report.html, atomically, into the record's folder.

    Args:
      record: what the run left.
      embed: whether PNG files are inside of the page, up to 2.4 MB; others are linked.
    """
    shown = _figures(record, EMBEDDED if embed else 0)
    named = next((f for f in record.figures if f.kind == _CLASSES), None)
    found: dict[str, Any] = {
        "record": record,
        "title": facts.title(record),
        "name": record.settings.get("name", ""),
        "thumbnails": (facts.image(record.folder / named.file), named.caption)
        if named
        else None,
        "facts": facts.facts(record),
        "figures": shown,
        "command": facts.command(record),
        "provenance": facts.provenance(record),
        "files": facts.files(record),
        "stages": facts.stages(record.manifest.get("costs", ())),
        "settings": text.flat(record.settings),
        "environment": text.flat(record.manifest.get("environment", {})),
    }
    if record.compares:
        found |= _of_students(record)
        template = "study.html.j2"
    else:
        found["notes"] = notes(record.manifest.get("notes", ()))
        template = "teachers.html.j2"
    page = environment().get_template(template).render(found)
    path = record.folder / PAGE
    write_file(path, page.encode())
    return path


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the templates of pages; what they are given is escaped."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("ddjax.report.page", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "plus_minus": text.plus_minus,
        "of_contrast": text.of_contrast,
        "glyph": text.glyph,
        "meaning": text.meaning,
        "quantity": text.quantity,
        "signed": text.signed,
        "mark": mark,
        "tint": tint,
        "pills": pills,
    }
    return found


def mark(cell: Cell) -> str:
    """Returns ▲ or ▼ where an interval leaves out 0, two of it after Holm."""
    gap = cell.gap
    if gap is None or not gap.excludes_zero:
        return ""
    judged = gap.sign and cell.row.role != FULL  # which is no member of the column
    return ("▲" if gap.mean > 0 else "▼") * (2 if judged else 1)


def tint(cell: Cell) -> str:
    """Returns the class of a cell: how far from the base, where that is clear."""
    if cell.gap is None or not mark(cell):
        return ""
    level = sum(abs(cell.gap.mean) >= least for least in _TINTS)
    return f"{'u' if cell.gap.mean > 0 else 'd'}{level}"


def pills(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Returns (state, sign, words) of a verdict's states."""
    found = []
    for state, sign, words in (
        (SHOWN, "●", "shown"),
        (SMALL, "◆", f"smaller than {MARGIN:g} point"),
        (UNDECIDED, "○", "not decided"),
    ):
        regimes = [name for name, own in verdict.states.items() if own == state]
        if len(regimes) > _PILLS:
            regimes = [f"{len(regimes)} kinds of labels"]
        if regimes:
            found.append((state, sign, f"{words}: {', '.join(regimes)}"))
    return found


def _of_students(record: Record) -> dict[str, Any]:
    grid = Grid(record)
    largest = grid.budgets[-1]
    picture = forest.hero(record, grid)
    many = len(grid.rows) * min(len(grid.columns), forest.PANELS) * len(grid.budgets)
    budgets = grid.budgets[::-1] if many <= _GAPS else [largest]
    compared = any(grid.gap(row, grid.columns[0]) for row in grid.rows)
    draw = charts.sizes if grid.of_labels else charts.costs
    priced = [(ipc, draw(grid, ipc)) for ipc in budgets]
    failed = record.students[record.students["status"] == "failed"]  # type: ignore[index]
    kept = ["network", "method", "ipc", "regime", "seed", "learning_rate"]
    published = record.manifest.get("published") or {}
    return {
        "grid": grid,
        "panels": forest.PANELS,
        "verdicts": record.verdicts,
        "no_verdict": record.no_verdict,
        "hero": picture,
        "legend": forest.legend(grid, picture) if picture.zero else [],
        "below": forest.below(picture),
        "cautions": cautions(record, grid),
        "seeds": [(ipc, forest.by_seed(grid, ipc)) for ipc in budgets]
        if compared
        else [],
        "growth": charts.budgets(grid),
        "costs": [(ipc, chart) for ipc, chart in priced if chart],
        "best": _best(grid),
        "protocol": facts.protocol(record),
        "glossary": glossary(record, grid),
        "embedded": facts.embedded(record),
        "failures": failed[[name for name in kept if name in failed]].to_dict(
            "records"
        ),
        "published": published,
        "recommended": record.manifest.get("recommended", ""),
    }


def _best(grid: Grid) -> set[tuple[str, str, int | None]]:
    """The (row, column, budget) with the highest mean accuracy of their column."""
    found = set()
    for column in grid.columns:
        for ipc in (*grid.budgets, None):
            cells = [grid.cell(r, column, ipc) for r in grid.rows if r.role != FULL]
            values = {
                cell.row.key: cell.accuracy
                if ipc is not None
                else (cell.gap.mean if cell.gap and cell.gap.n else 0.0)
                for cell in cells
                if cell is not None and (ipc is None or cell.n)
            }
            if len(values) > 1:
                best = max(values, key=lambda key: values[key])
                found.add((best, column.key, ipc))
    return found


def _figures(record: Record, embed: int) -> list[Shown]:
    """The figures of a record by kind; the thumbnails left out."""
    found: dict[str, list[Figure]] = {kind: [] for kind in _KINDS}
    for figure in record.figures:
        if figure.kind != _CLASSES:
            found.setdefault(figure.kind, []).append(figure)
    shown, room = [], embed
    kinds = {
        kind: sorted(figures, key=lambda figure: figure.ipc or 0)
        for kind, figures in found.items()
        if figures
    }
    inside = set()
    for figure in _first_ones_first(kinds.values()):
        size = (record.folder / figure.file).stat().st_size * 4 // 3
        if size <= room:
            room -= size
            inside.add(figure.file)
    for kind, figures in kinds.items():
        heading = _KINDS.get(kind, kind.replace("_", " ").capitalize())
        rows = []
        for figure in figures:
            path = record.folder / figure.file
            source = facts.image(path) if figure.file in inside else quote(figure.file)
            rows.append((figure.caption, source, figure.ipc))
        shown.append(Shown(heading, kind, rows))
    return shown


def _first_ones_first(kinds: Iterable[list[Figure]]) -> list[Figure]:
    groups = list(kinds)
    return [g[0] for g in groups] + [figure for g in groups for figure in g[1:]]


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value != value:
        return None
    return value
