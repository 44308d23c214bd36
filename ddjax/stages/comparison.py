"""The comparison: students of every subset and synthetic set, one row a student."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ddjax import artifacts
from ddjax.artifacts import Artifact, Cost
from ddjax.problem import Problem
from ddjax.report.statistics import FULL
from ddjax.run import Run
from ddjax.stages.inputs import SelectionInputs
from ddjax.stages.rates import Rates
from ddjax.stages.requirements import selection_of
from ddjax.stages.stage import Plan, Stage
from ddjax.stages.students import Member, Outcome, Students, training_plan
from ddjax.stages.subsets import subset_of
from ddjax.stages.synthetic import SyntheticSets, number_of_images

Rows = list[dict[str, Any]]


class Candidate(NamedTuple):
    """What is compared: a selection's subsets, an entry's synthetic sets, all data.

    Attributes:
      method: the selection, the entry, or FULL.
      start: where its window starts, None without one.
      positions: seed -> positions in the pool.
      found: what one of its sets cost to find.
      rates: seed -> a learning rate of its own, where there is one.
    """

    method: str
    start: float | None
    positions: dict[int, np.ndarray]
    found: Cost
    rates: Mapping[int, float] = MappingProxyType({})


def subsets_comparison(
    problem: Problem,
    students: Stage,
    tuning: Stage,
    inputs: Stage,
    subsets: Stage,
    windows: dict[str, Stage],
    regime: str,
    ipc: int,
) -> Stage:
    """The stage of students of all selections and of the full data: their rows.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it on the source's images.
      tuning: its learning rates.
      inputs: of the selections of the budget.
      subsets: of the budget.
      windows: selections that search -> their windows under the regime.
      regime: the students' labels.
      ipc: the budget.
    """

    def make(run: Run, students, rates, inputs, subsets, windows) -> Rows:
        del run
        found = _selected(problem, inputs, subsets, windows, regime)
        return _compare("students", students, regime, ipc, rates, list(found))

    plain, seeds = problem.labels(regime).plain, len(problem.seeds)
    count = len(problem.settings.select.methods) * seeds
    plan = functools.partial(
        _plan,
        problem,
        regime,
        ipc,
        count + plain * seeds,
        stores=count,
        whole=plain * seeds,
    )
    parents = {
        "students": students,
        "rates": tuning,
        "inputs": inputs,
        "subsets": subsets,
        "windows": windows,
    }
    return Stage(_name("students", problem, regime, ipc), parents, make, plan)


def sets_comparison(
    problem: Problem,
    students: Stage,
    tuning: Stage,
    sets: Stage,
    name: str,
    regime: str,
    ipc: int,
) -> Stage:
    """The stage of students of an entry's synthetic sets: their rows.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it on the sets.
      tuning: its learning rates, found on the source's images.
      sets: the synthetic sets.
      name: of the entry, or `synthetic.READ`.
      regime: the students' labels.
      ipc: the budget.
    """

    def make(run: Run, students, rates, sets: SyntheticSets) -> Rows:
        del run
        entry = problem.settings.distill.get(name)
        rates_of_sets = sets.rates if entry is not None and entry.own_rate else {}
        found = [Candidate(name, None, sets.positions, sets.cost, rates_of_sets)]
        return _compare(f"students of {name}", students, regime, ipc, rates, found)

    seeds = len(problem.seeds)
    held = number_of_images(problem, name, ipc)
    plan = functools.partial(
        _plan, problem, regime, ipc, seeds, stores=seeds, held=held
    )
    parents = {"students": students, "rates": tuning, "sets": sets}
    label = _name(f"students of {name}", problem, regime, ipc)
    return Stage(label, parents, make, plan)


def _name(what: str, problem: Problem, regime: str, ipc: int) -> str:
    who = f", {problem.transfer}" if problem.transfer else ""
    return f"{what}{who}, {regime}, IPC {ipc}"


def _plan(problem: Problem, regime: str, ipc: int, count: int, **numbers: int) -> Plan:
    who = problem.transfer or problem.settings.student.network.name
    images = len(problem.validation) + len(problem.test)
    row = f"students, {who}, {regime}, IPC {ipc}"
    return training_plan(problem, regime, ipc, count, row=row, images=images, **numbers)


def _selected(
    problem: Problem,
    inputs: SelectionInputs,
    subsets: Artifact,
    windows: dict[str, tuple[float, Cost]],
    regime: str,
) -> Iterator[Candidate]:
    """Yields the subsets of every selection, and the full data beside plain labels."""
    for name in problem.settings.select.methods:
        start, spent = windows.get(name, (None, Cost()))
        picked = Cost(seconds=subsets.info["seconds"][name])
        positions = {
            seed: subset_of(subsets, name, row, start)
            for row, seed in enumerate(problem.seeds)
        }
        found = inputs.cost(selection_of(problem, name).requirements) + picked + spent
        yield Candidate(name, start, positions, found)
    if problem.labels(regime).plain:
        whole = np.arange(len(problem.pool), dtype=np.int32)
        yield Candidate(FULL, None, dict.fromkeys(problem.seeds, whole), Cost())


def _compare(
    label: str,
    students: Students,
    regime: str,
    ipc: int,
    rates: Rates,
    candidates: list[Candidate],
) -> Rows:
    """Trains all candidates' students of a regime and budget; one row a student."""
    members = [
        Member(
            each.method,
            ipc,
            seed,
            each.rates.get(seed) or rates.of(each.method),
            positions,
            each.start,
        )
        for each in candidates
        for seed, positions in each.positions.items()
    ]
    found = {each.method: each.found for each in candidates}
    outcomes = students.train(label, regime, members, read_test=True)
    return [
        member_row(students.problem, regime, outcome, found[outcome.member.method])
        for outcome in outcomes
    ]


def member_row(
    problem: Problem, regime: str, outcome: Outcome, found: Cost
) -> dict[str, Any]:
    """Returns the line of `members.jsonl` for one student.

    Args:
      problem: with the network and the pool.
      regime: the student's labels.
      outcome: what became of it.
      found: what its subset cost to find.
    """
    member = outcome.member
    subset = artifacts.digest(problem.pool.ids[member.positions])
    return {
        "network": problem.transfer or problem.settings.student.network.name,
        "method": member.method,
        "ipc": member.ipc,
        "regime": regime,
        "seed": member.seed,
        "status": "failed" if outcome.failed else "ok",
        "accuracy": outcome.accuracy,
        "val_accuracy": outcome.val_accuracy,
        "test_loss": outcome.test_loss,
        "loss": _last(outcome.curve),
        "learning_rate": member.learning_rate,
        "window_start": member.label,
        "steps": outcome.steps,
        "image_passes": outcome.image_passes,
        "find_passes": found.forward_passes + found.train_passes,
        "find_seconds": found.seconds,
        "find_flops": found.flops,
        "train_seconds": outcome.train_seconds,
        "select_on": problem.settings.protocol.select_on,
        "label_bytes": outcome.label_bytes,
        "label_disk_bytes": outcome.label_disk_bytes,
        "images": len(member.positions),
        "subset": artifacts.digest([*problem.synthetic, subset])
        if problem.synthetic
        else subset,
        "curve": _rounded(outcome.curve, 5),
        "train_curve": _rounded(outcome.train_curve, 3),
        "test_curve": _rounded(outcome.test_curve, 3),
        "curve_steps": [int(step) for step in outcome.curve_steps],
    }


def _rounded(values: np.ndarray, decimals: int) -> list[float]:
    return [round(float(value), decimals) for value in values]


def _last(curve: np.ndarray) -> float:
    """Returns the last recorded loss; a short run leaves points of its curve empty."""
    recorded = curve[np.isfinite(curve)]
    return float(recorded[-1]) if len(recorded) else float("nan")
