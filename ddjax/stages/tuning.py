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
from ddjax.stages.rates import Rates
from ddjax.stages.requirements import selection_of, tries
from ddjax.stages.stage import Plan, Stage
from ddjax.stages.students import Member, Outcome, Students, training_plan
from ddjax.stages.subsets import subset_of


def tuning_stage(problem: Problem, students: Stage, regime: str, ipc: int) -> Stage:
    """The stage of a regime's `Rates` at a budget, of random subsets and the full data.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it.
      regime: the labels.
      ipc: the budget.
    """
    plain, tried = problem.labels(regime).plain, _tried(problem)

    def make(run: Run, students: Students) -> Rates:
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

    name = _name("tuning", problem, regime, ipc)
    return Stage(name, {"students": students}, make, plan, counts=tried > 0)


def arms_tuning_stage(
    problem: Problem,
    students: Stage,
    subsets: Stage,
    windows: dict[str, Stage],
    tuning: Stage,
    regime: str,
    ipc: int,
) -> Stage:
    """The stage of `Rates` that every selection has for itself.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      students: what trains it.
      subsets: of the budget.
      windows: selections that search -> their windows under the regime.
      tuning: of the regime and budget.
      regime: the labels.
      ipc: the budget.
    """
    methods = [name for name in problem.settings.select.methods if name != RANDOM]
    tried = _tried(problem) * len(methods)

    def make(run: Run, students, subsets, windows, rates: Rates) -> Rates:
        seeds = _search_seeds(problem)
        arms = {}
        for name in methods:
            start, _ = windows.get(name, (None, None))
            arms[name] = {
                seed: subset_of(subsets, name, row, start)
                for row, seed in enumerate(seeds)
            }
        own = _best_rates(run, students, "tuning of arms", arms, regime, ipc)
        return Rates(rates.by_method | own.by_method, (*rates.notes, *own.notes))

    def plan() -> Plan:
        return training_plan(
            problem,
            regime,
            ipc,
            tried,
            row=f"tuning of arms, {regime}, IPC {ipc}",
            images=_images_of_choices(problem),
        )

    parents = {
        "students": students,
        "subsets": subsets,
        "windows": windows,
        "rates": tuning,
    }
    name = _name("tuning of arms", problem, regime, ipc)
    return Stage(name, parents, make, plan, counts=tried > 0)


def _name(what: str, problem: Problem, regime: str, ipc: int) -> str:
    who = f", {problem.transfer}" if problem.transfer else ""
    return f"{what}{who}, {regime}, IPC {ipc}"


def _search_seeds(problem: Problem) -> tuple[int, ...]:
    protocol = problem.settings.protocol
    return protocol.seeds[: protocol.search_seeds]


def _tried(problem: Problem) -> int:
    """Students that an arm's rates are tried on, without those beyond the grid."""
    rates = problem.settings.student.learning_rates
    return len(rates) * len(_search_seeds(problem)) if len(rates) > 1 else 0


def _images_of_choices(problem: Problem) -> int:
    """Images that a student is evaluated on where something is chosen."""
    on_test = problem.settings.protocol.select_on == "test"
    return len(problem.validation) + on_test * len(problem.test)


def _tune(run: Run, students: Students, regime: str, ipc: int) -> Rates:
    problem = students.problem
    plain, seeds = problem.labels(regime).plain, _search_seeds(problem)
    arms = {
        RANDOM: {
            seed: select.random(subset_key(seed, ipc), problem.pool.labels, ipc)
            for seed in seeds
        }
    }
    if plain:
        whole = np.arange(len(problem.pool), dtype=np.int32)
        arms[FULL] = dict.fromkeys(seeds, whole)
    return _best_rates(run, students, "tuning", arms, regime, ipc)


def _best_rates(
    run: Run,
    students: Students,
    label: str,
    arms: dict[str, dict[int, np.ndarray]],
    regime: str,
    ipc: int,
) -> Rates:
    """Trains arms at every rate, and at further ones while the best is the last.

    Args:
      run: where.
      students: what trains.
      label: what for.
      arms: name -> seed -> positions in the pool.
      regime: the labels.
      ipc: the budget.
    """
    problem, protocol = students.problem, students.problem.settings.protocol
    grid = sorted(problem.settings.student.learning_rates)
    if len(grid) == 1:
        return Rates(dict.fromkeys(arms, grid[0]))
    found: dict[str, dict[float, float]] = {name: {} for name in arms}
    wanted = dict.fromkeys(arms, grid)
    for turn in range(1 + protocol.widen):
        members = [
            Member(name, ipc, seed, rate, positions)
            for name, rates in wanted.items()
            for seed, positions in arms[name].items()
            for rate in rates
        ]
        outcomes = students.train(
            f"{label}, wider" if turn else label,
            regime,
            members,
            read_test=protocol.select_on == "test",
        )
        for name, rates in wanted.items():
            found[name] |= {r: _mean(outcomes, name, r, protocol) for r in rates}
        wanted = {
            name: [further]
            for name, means in found.items()
            if (further := _further(means, grid)) is not None
        }
        if not wanted:
            break
    section, chosen, notes = problem.student_section, {}, []
    for name, means in found.items():
        chosen[name] = _middle_of_best(means)
        if not np.isfinite(means[chosen[name]]):
            raise InputError(
                f"{section}.learning_rates: found {tuple(grid)}, with all of which "
                f"training diverged ({name}, {regime}, IPC {ipc}); offer smaller ones"
            )
        shown = ", ".join(f"{r:g}: {means[r]:.1f}" for r in sorted(means))
        run.say(
            f"learning rate, {section}, {regime}, IPC {ipc}, {name}: "
            f"{chosen[name]:g} (of {shown})"
        )
        if name in wanted:
            notes.append(
                f"The learning rate {chosen[name]:g} chosen for {name} under {regime} "
                f"labels{_with(problem)} at IPC {ipc} lies at the end of those that "
                "were tried; a further one may do better."
            )
    return Rates(chosen, tuple(notes))


def _with(problem: Problem) -> str:
    return f" with {problem.transfer}" if problem.transfer else ""


def _middle_of_best(means: dict[float, float]) -> float:
    """Returns the middle one of equally good rates."""
    best = max(means.values())
    ties = sorted(rate for rate, mean in means.items() if mean == best)
    return ties[len(ties) // 2]


def _further(means: dict[float, float], grid: list[float]) -> float | None:
    """Returns the next rate beyond the end that is the best so far, None if inside."""
    tried, best = sorted(means), _middle_of_best(means)
    if not np.isfinite(means[best]) or best not in (tried[0], tried[-1]):
        return None
    ratio = grid[0] / grid[1] if best == tried[0] else grid[-1] / grid[-2]
    return float(f"{best * ratio:.3g}")


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

    def make(run: Run, students: Students, subsets: Artifact, rates: Rates) -> Any:
        rate = rates.of(RANDOM)
        return _search(run, students, subsets, method, regime, ipc, rate)

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
    seeds = _search_seeds(problem)
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
