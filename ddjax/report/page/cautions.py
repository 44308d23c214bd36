"""What a reader has to know before quoting a study: only what applies to it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ddjax.report import names
from ddjax.report.contrasts import LEVEL
from ddjax.report.page import text
from ddjax.report.page.grid import Grid
from ddjax.report.page.record import Record
from ddjax.report.statistics import CHOSEN_ON_TEST, FULL, RANDOM

_FEW_SEEDS = 10
_COARSE = 0.1  # points an image from which the test set's grain is worth a word
_MANY = 20  # intervals from which some leave out 0 by luck
_NAMED = 4
_WHO = {RANDOM: "random images", FULL: "the full data"}
_EDGE = re.compile(
    r"The learning rate \S+ chosen for (?P<who>.+) under (?P<regime>\S+) labels "
    r"(?P<with>with \S+ )?at IPC (?P<ipc>\d+) lies at the (edge|end) of "
)


def intervals(record: Record) -> dict[str, list[str]]:
    """Returns what the seeds of a study vary, and what they do not.

    Returns:
      "include" and "exclude": lists of nouns. What is neither, such as the teacher of
      a study without one, is in none.
    """
    settings = record.settings
    methods = set(record.members["method"])
    kinds = settings.get("labels", {})
    regimes = [kinds.get(name, {}).get("regime", name) for name in record.study.regimes]
    include = ["first weights", "order of the images", "augmentation"]
    if RANDOM in methods:
        include.append("random subset")
    if methods - {RANDOM, FULL, *record.study.sets}:
        include.append("scoring run")
    varied = ["pool", "validation split"]
    if set(regimes) - {"hard"}:
        varied.insert(1, "teacher")
    if settings.get("protocol", {}).get("resample"):
        return {"include": include + varied, "exclude": []}
    return {"include": include, "exclude": varied}


def cautions(record: Record, grid: Grid) -> list[str]:
    """Returns sentences, the most important first."""
    found = [
        *_seeds(record),
        *_intervals(record),
        *_same_images(record),
        *_luck(record, grid),
        *_changing(grid),
        *_grain(record),
        *_failures(record),
        *_on_test(record),
    ]
    return [*found, *notes(record.manifest.get("notes", ()))]


def notes(found: Any) -> list[str]:
    """Returns remarks, those on the edges of grids put together."""
    edges: Mapping[str, dict[str, list[str]]] = defaultdict(dict)
    kept = []
    for note in found:
        match = _EDGE.match(note)
        if match:
            arm = match["who"]
            who = _WHO.get(arm) or names.published_name(arm) or arm
            who = f"{who} {match['with'] or ''}".strip()
            edges[who].setdefault(match["regime"], []).append(match["ipc"])
        else:
            kept.append(note)
    clauses = []
    for who, regimes in edges.items():
        places = [f"{name} at IPC {', '.join(ipcs)}" for name, ipcs in regimes.items()]
        more = len(places) - _NAMED
        if more > 0:
            places = [*places[: _NAMED - 1], f"{more + 1} more kinds of labels"]
        clauses.append(f"{who} under {text.listed(places)}")
    if clauses:
        kept.append(
            "Learning rates at an end of those that were tried, where a further one "
            f"may do better: {'; '.join(clauses)}."
        )
    return kept


def _seeds(record: Record) -> list[str]:
    if record.seeds == 1:
        return ["One seed: means have no interval, and nothing is shown."]
    if record.seeds >= _FEW_SEEDS:
        return []
    free = text.counted(record.seeds - 1, "degree")
    return [
        f"{record.seeds} seeds leave {free} of freedom: intervals are wide, and “not "
        "decided” does not mean equal."
    ]


def _intervals(record: Record) -> list[str]:
    if record.seeds < 2:
        return []
    found = intervals(record)
    words = f"Intervals include what a seed varies: {text.listed(found['include'])}."
    if found["exclude"]:
        *first, last = found["exclude"]
        words += f" They do not include another {', '.join(first)} or {last}."
    return [words]


def _same_images(record: Record) -> list[str]:
    """Arms whose students of all seeds have the same images."""
    members = record.members
    if record.seeds < 2 or "subset" not in members:
        return []
    own = members[(members["method"] != FULL) & members["subset"].notna()]
    groups = own.groupby(["method", "regime", "ipc"], sort=False)["subset"]
    same = (groups.nunique() == 1) & (groups.size() > 1)
    arms = [name for name, all_same in same.groupby("method").all().items() if all_same]
    if not arms:
        return []
    who = names.title(str(arms[0])) if len(arms) == 1 else f"{len(arms)} arms"
    return [
        f"One set for all seeds: the intervals of {who} leave out what another "
        "selection or synthesis would give."
    ]


def _luck(record: Record, grid: Grid) -> list[str]:
    if record.seeds < 2:
        return []
    gaps = [
        gap
        for row in grid.rows
        for column in grid.columns
        for ipc in grid.budgets
        if row.role != FULL and (gap := grid.gap(row, column, ipc)) and gap.n > 1
    ]
    if len(gaps) < _MANY:
        return []
    out = sum(gap.excludes_zero for gap in gaps)
    return [
        f"Of {len(gaps)} intervals of gaps about {LEVEL * len(gaps):.0f} would leave "
        f"out 0 by luck alone; {out} do, {sum(gap.sign != 0 for gap in gaps)} after "
        "Holm within their column."
    ]


def _changing(grid: Grid) -> list[str]:
    """Gaps whose intervals lie above 0 at one budget and below it at another."""
    found = []
    for column in grid.columns:
        for row in grid.rows:
            gaps = [grid.gap(row, column, ipc) for ipc in grid.budgets]
            sides = {
                gap.mean > 0 for gap in gaps if gap is not None and gap.excludes_zero
            }
            if len(sides) == 2 and row.role != FULL:
                under = "" if grid.of_labels else f" under {column.title}"
                found.append(f"{row.title}{under}")
    if not found:
        return []
    more = len(found) - _NAMED
    shown = [*found[:_NAMED], *([f"{more} more"] if more > 0 else [])]
    return [
        f"The mean over budgets hides gaps that change sides: {text.listed(shown)}."
    ]


def _grain(record: Record) -> list[str]:
    grain = record.study.grain
    if grain < _COARSE:
        return []
    return [
        f"{record.source['test']:,} test images: one is worth {grain:.2f} points, and "
        "smaller differences mean nothing."
    ]


def _failures(record: Record) -> list[str]:
    assert record.students is not None
    failed = int((record.students["status"] == "failed").sum())
    if not failed:
        return []
    return [f"{text.counted(failed, 'student')} failed and are left out of all means."]


def _on_test(record: Record) -> list[str]:
    if not (record.summary["note"] == CHOSEN_ON_TEST).any():
        return []
    return ["Settings were chosen on the test split: accuracies are optimistic."]
