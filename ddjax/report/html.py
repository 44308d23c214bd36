"""One self-contained HTML file per run: the answer first, then what it rests on.

No script, no network: figures are embedded as data URIs and the style is inline.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddjax.artifacts import write_file
from ddjax.errors import InputError
from ddjax.report.published import COLUMNS, EXPLANATION
from ddjax.report.statistics import students
from ddjax.report.table import (
    answer,
    effect_lines,
    legend,
    plus_minus,
    regime_tables,
)

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

_COSTS = {
    "stage": "stage",
    "seconds": "time without compiling",
    "compile_seconds": "time compiling",
    "forward_passes": "image passes, forward only",
    "train_passes": "image passes, training",
    "flops": "FLOPs",
    "bytes": "bytes stored",
    "reused": "reused",
}
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def write_html(
    path: str | os.PathLike,
    *,
    title: str,
    summary: pd.DataFrame,
    figures: Sequence[tuple[str, str | os.PathLike]],
    settings: Mapping[str, object],
    costs: Sequence[Mapping[str, object]],
    environment: Mapping[str, object],
    failures: Sequence[Mapping[str, object]],
    notes: Sequence[str],
    published: pd.DataFrame | None = None,
    recommended: str = "",
) -> None:
    """Write the report of a study as one self-contained file, atomically.

    Args:
        path: file to create or replace; its folder must exist.
        title: heading of the report.
        summary: result of `statistics.with_label_effect` (or of `summarise`).
        figures: (caption, path of a PNG file) in the order to show.
        settings: the study's settings, nested mappings and sequences allowed.
        costs: one mapping per stage with any of stage (its name), seconds (without
            compilation), compile_seconds, forward_passes (images, without training),
            train_passes (images), flops, bytes, reused (bool).
        environment: versions, devices and the like, nested mappings allowed.
        failures: one mapping per failed student, any keys.
        notes: remarks on the validity of the results, shown beside the answer.
        published: the result of `published.beside`, shown where it has a row.
        recommended: which subset to train on, in plain words; "": there is none.

    Raises:
        InputError: if a figure's file is missing.
    """
    tables = regime_tables(summary)
    names = list(dict.fromkeys(name for row in failures for name in row))
    text = template("report.html.j2").render(
        title=title,
        answer=answer(summary),
        recommended=recommended,
        notes=notes,
        tables=tables,
        legend=legend(tables) if tables else [],
        effects=effect_lines(summary),
        published=[] if published is None else published.to_numpy().tolist(),
        published_names=COLUMNS,
        published_note=EXPLANATION,
        figures=[(caption, _embedded(png)) for caption, png in figures],
        students=_student_rows(summary),
        **_cost_table(costs),
        settings=_flat(settings),
        environment=_flat(environment),
        failure_names=names,
        failures=[[str(row.get(name, "")) for name in names] for row in failures],
    )
    write_file(path, text.encode())


def write_teachers_html(
    path: str | os.PathLike,
    *,
    title: str,
    table: pd.DataFrame,
    figures: Sequence[tuple[str, str | os.PathLike]],
    settings: Mapping[str, object],
    costs: Sequence[Mapping[str, object]],
    environment: Mapping[str, object],
    notes: Sequence[str],
) -> None:
    """Write the page of a run that only trains teachers, atomically.

    Args:
        path: file to create or replace; its folder must exist.
        title: heading of the page.
        table: one row per teacher and snapshot; shown as it is.
        figures, settings, costs, environment, notes: see `write_html`.

    Raises:
        InputError: if a figure's file is missing.
    """
    text = template("teachers.html.j2").render(
        title=title,
        notes=notes,
        names=list(table.columns),
        rows=[[_plain(value) for value in row] for row in table.to_numpy(object)],
        figures=[(caption, _embedded(png)) for caption, png in figures],
        **_cost_table(costs),
        settings=_flat(settings),
        environment=_flat(environment),
    )
    write_file(path, text.encode())


def template(name: str) -> jinja2.Template:
    """The template of this package with a name."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("ddjax.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def _cost_table(costs: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The parts of the table of costs, by the names that templates use."""
    return {
        "cost_names": list(_COSTS.values()),
        "costs": [[_cost(name, row.get(name)) for name in _COSTS] for row in costs],
        "total": _total(costs),
    }


def _embedded(png: str | os.PathLike) -> str:
    """A PNG file as a data URI."""
    try:
        data = Path(png).read_bytes()
    except FileNotFoundError:
        raise InputError(f"figures: {str(png)!r} does not exist") from None
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _student_rows(summary: pd.DataFrame) -> list[list[str]]:
    """All numbers per method, budget and regime, as text."""
    import pandas as pd

    return [
        [
            row.regime,
            str(row.ipc),
            row.method,
            f"{row.n}" + (f" ({row.failed} failed)" if row.failed else ""),
            "–" if row.n == 0 else plus_minus(row.accuracy, row.ci95),
            "–" if pd.isna(row.val_accuracy) else f"{row.val_accuracy:.1f}",
            _gap(row),
            row.learning_rate,
            _quantity(row.find_passes),
            _quantity(row.train_passes),
            _seconds(row.find_seconds),
            _seconds(row.train_seconds),
            row.note,
        ]
        for row in students(summary).itertuples()
    ]


def _plain(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _gap(row) -> str:
    if row.gap_n == 0:
        return "–"
    return f"{plus_minus(row.gap, row.gap_ci95, sign=True)} ({row.gap_n} pairs)"


def _cost(name: str, value: object) -> str:
    if name == "reused":
        return "yes" if value else "no"
    if name == "stage":
        return str(value)
    if name in ("seconds", "compile_seconds"):
        return _seconds(value)
    return _quantity(value)


def _total(costs: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the time of all stages and of the reused ones."""
    taken = saved = 0.0
    for row in costs:
        times = [row.get("seconds"), row.get("compile_seconds")]
        total = sum(value for value in times if value is not None)
        if row.get("reused"):
            saved += total
        else:
            taken += total
    text = f"This run took {_seconds(taken)}"
    if saved == 0:
        return f"{text}, compilation included."
    return f"{text}, compilation included, and reused what had taken {_seconds(saved)}."


def _seconds(value: Any) -> str:
    """Seconds as text: "0.04 s", "42.3 s", "12 min", "3.4 h"."""
    if value is None or math.isnan(value):
        return "–"
    if value < 1:
        return f"{value:.2g} s"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _quantity(value: Any) -> str:
    """A large number with a decimal prefix: "0", "640", "3.00 M"."""
    if value is None or math.isnan(value):
        return "–"
    value, step = float(value), 0
    while abs(value) >= 999.5 and step < len(_PREFIXES) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.3g} {_PREFIXES[step]}".strip()


def _flat(tree: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, value) pairs."""
    if not isinstance(tree, Mapping):
        return [(prefix, str(tree))]
    return [
        pair
        for name, value in tree.items()
        for pair in _flat(value, f"{prefix}.{name}" if prefix else str(name))
    ]
