"""What is chosen on the validation split: learning rates, and windows of difficulty."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddjax import select
from ddjax.artifacts import Artifact, Cost
from ddjax.errors import InputError
from ddjax.problem import Problem
from ddjax.report.statistics import FULL, RANDOM
from ddjax.run import Run
from ddjax.stages.inputs import subset_key
from ddjax.stages.requirements import selection_of, tries
from ddjax.stages.stage import Plan, Stage
from ddjax.stages.students import Member, Outcome, Students, training_plan
from ddjax.stages.subsets import subset_of


def tuning_stage(problem: Problem, students: Stage, regime: str, ipc: int) -> Stage:
    """The stage of a regime's learning rates at a budget: {RANDOM: rate, FULL: rate}.

    RANDOM's rate is used for every subset and synthetic set; FULL's is there only under
    a plain regime (`Labels.plain`), as students of the full data are.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it.
      regime: the labels.
      ipc: the budget.
    """
    settings, plain = problem.settings, problem.labels(regime).plain
    rates, searches = settings.student.learning_rates, settings.protocol.search_seeds
    tried = (len(rates) if len(rates) > 1 else 0) * searches

    def make(run: Run, students: Students) -> dict[str, float]:
        return _tune(run, students, regime, ipc)

    def plan() -> Plan:
        return training_plan(
            problem,
            regime,
            ipc,
            tried * (1 + plain),
            row=f"tuning, {regime}, IPC {ipc}",
            images=_images_of_choices(problem),
            whole=tried * plain,
        )

    who = f", {problem.transfer}" if problem.transfer else ""
    name = f"tuning{who}, {regime}, IPC {ipc}"
    return Stage(name, {"students": students}, make, plan, counts=tried > 0)


def _images_of_choices(problem: Problem) -> int:
    """Images that a student is evaluated on where something is chosen."""
    on_test = problem.settings.protocol.select_on == "test"
    return len(problem.validation) + on_test * len(problem.test)


def _tune(run: Run, students: Students, regime: str, ipc: int) -> dict[str, float]:
    problem, settings = students.problem, students.problem.settings
    protocol, rates = settings.protocol, settings.student.learning_rates
    methods = (RANDOM, FULL) if problem.labels(regime).plain else (RANDOM,)
    section = problem.student_section
    if len(rates) == 1:
        return dict.fromkeys(methods, rates[0])
    seeds = protocol.seeds[: protocol.search_seeds]
    whole = np.arange(len(problem.pool), dtype=np.int32)
    members = []
    for seed in seeds:
        key = subset_key(seed, ipc)
        positions = select.random(key, problem.pool.labels, ipc)
        for rate in rates:
            members.append(Member(RANDOM, ipc, seed, rate, positions))
            if FULL in methods:
                members.append(Member(FULL, ipc, seed, rate, whole))
    outcomes = students.train(
        "tuning", regime, members, read_test=protocol.select_on == "test"
    )
    chosen = {}
    for method in methods:
        means = {rate: _mean(outcomes, method, rate, protocol) for rate in rates}
        best = max(means.values())
        ties = sorted(rate for rate in rates if means[rate] == best)
        chosen[method] = ties[len(ties) // 2]  # the middle of equally good ones
        if not np.isfinite(means[chosen[method]]):
            raise InputError(
                f"{section}.learning_rates: found {rates}, with all of which training "
                f"diverged ({method}, {regime}, IPC {ipc}); offer smaller ones"
            )
        shown = ", ".join(f"{rate:g}: {value:.1f}" for rate, value in means.items())
        run.say(
            f"learning rate, {section}, {regime}, IPC {ipc}, {method}: "
            f"{chosen[method]:g} (of {shown})"
        )
    return chosen


def _mean(outcomes: list[Outcome], method: str, rate: float, protocol) -> float:
    return float(
        np.mean(
            [
                chosen_accuracy(o, protocol)
                for o in outcomes
                if o.member.method == method and o.member.learning_rate == rate
            ]
        )
    )


def windows_stage(
    problem: Problem,
    students: Stage,
    subsets: Stage,
    tuning: Stage,
    method: str,
    regime: str,
    ipc: int,
) -> Stage:
    """The stage of a selection's best window: (its start, what one search cost).

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it.
      subsets: of the budget.
      tuning: of the regime and budget.
      method: a selection that searches.
      regime: the labels that the window is chosen for.
      ipc: the budget.
    """
    settings = problem.settings
    tried, seeds = tries(problem, method), settings.protocol.search_seeds

    def make(run: Run, students: Students, subsets: Artifact, rates: dict) -> Any:
        return _search(run, students, subsets, method, regime, ipc, rates[RANDOM])

    def plan() -> Plan:
        return training_plan(
            problem,
            regime,
            ipc,
            tried * seeds,
            row=f"students, {settings.student.network.name}, {regime}, IPC {ipc}",
            images=_images_of_choices(problem),
            stores=(tried - 1) * seeds,  # the chosen window's are the comparison's
        )

    name = f"search of {method}, {regime}, IPC {ipc}"
    parents = {"students": students, "subsets": subsets, "rates": tuning}
    return Stage(name, parents, make, plan)


def _search(
    run: Run,
    students: Students,
    subsets: Artifact,
    method: str,
    regime: str,
    ipc: int,
    learning_rate: float,
) -> tuple[float, Cost]:
    """Trains a selection's candidates together and picks one by mean accuracy."""
    problem = students.problem
    protocol = problem.settings.protocol
    selection = selection_of(problem, method)
    starts = selection.tried(problem.settings.select.options())
    seeds = protocol.seeds[: protocol.search_seeds]
    members = [
        Member(
            method,
            ipc,
            seed,
            learning_rate,
            subset_of(subsets, method, row, start),
            label=start,
        )
        for start in starts
        for row, seed in enumerate(seeds)
    ]
    before = len(run.costs)
    outcomes = students.train(
        f"search of {method}", regime, members, read_test=protocol.select_on == "test"
    )
    accuracies = {
        start: float(
            np.mean(
                [
                    chosen_accuracy(o, protocol)
                    for o in outcomes
                    if o.member.label == start
                ]
            )
        )
        for start in starts
    }
    finite = {start: value for start, value in accuracies.items() if np.isfinite(value)}
    if not finite:
        raise InputError(
            f"{problem.student_section}.learning_rates: training diverged at every "
            f"window of {method} ({regime}, IPC {ipc}, rate {learning_rate:g}); offer "
            "smaller ones"
        )
    best = select.best_window(finite, finite)
    shown = ", ".join(f"{start:g}: {value:.1f}" for start, value in accuracies.items())
    run.say(f"{method}, {regime}, IPC {ipc}: start {best:g} (of {shown})")
    rows = run.costs[before:]
    cost = Cost(
        seconds=sum(row["seconds"] for row in rows),
        train_passes=sum(outcome.image_passes for outcome in outcomes),
        forward_passes=len(outcomes) * len(problem.validation),
    )
    return best, cost


def chosen_accuracy(outcome, protocol) -> float:
    """Returns the accuracy by which choices are made, -inf for a failed student."""
    read_test = protocol.select_on == "test"
    value = outcome.accuracy if read_test else outcome.val_accuracy
    return value if np.isfinite(value) else -np.inf
