"""Subsets: the ids that every selection keeps at a budget, one subset a seed.

Letters: R seeds, n images of a subset, N of the pool.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from typing import TYPE_CHECKING

import numpy as np

from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.problem import Problem
from ddjax.run import Run, progress_bar
from ddjax.select import Selection
from ddjax.stages.inputs import SelectionInputs
from ddjax.stages.requirements import selection_of, tries
from ddjax.stages.stage import Plan, Stage, Stored

if TYPE_CHECKING:
    import pandas as pd

_CANDIDATE = "{method}@{start:g}"
_SCORE = "score."


def subsets_stage(problem: Problem, inputs: Stage, ipc: int) -> Stage:
    """The stage of every selection's subset of the pool at a budget, one a seed.

    The artifact has, for each selection, `NAME` [R,n] int32 positions in the pool (for
    those that search, one `NAME@START` a candidate); for each score that a selection
    reads, `score.NAME` [R,N] (a variant's by the variant's name); and `ids` [N], the
    stable ids of the positions.

    Args:
      problem: the problem.
      inputs: of the budget.
      ipc: the budget.
    """
    label = f"subsets, IPC {ipc}"

    def make(run: Run, inputs: SelectionInputs) -> Artifact:
        seeds = list(problem.seeds)
        settings = dataclasses.asdict(problem.settings.select)
        settings |= {"ipc": ipc, "seeds": seeds}
        del settings["ipcs"]
        parents = {"data": problem.data_digest} | inputs.parents
        draft = functools.partial(_select, problem, label, inputs)
        return run.artifact("subsets", label, settings, parents, draft)

    return Stage(label, {"inputs": inputs}, make, lambda: _plan(problem, label, ipc))


def _plan(problem: Problem, label: str, ipc: int) -> Plan:
    settings, count = problem.settings.select, len(problem.pool)
    seeds, images = len(problem.seeds), ipc * problem.num_classes
    methods = {name: selection_of(problem, name) for name in settings.methods}
    subsets = sum(tries(problem, name) or 1 for name in settings.methods)
    scores = len(_read(methods))
    size = 4 * (seeds * (subsets * images + scores * count) + count)
    holds = f"subsets {subsets} x [{seeds},{images}]"
    holds += f", scores {scores} x [{seeds},{count}]" if scores else ""
    return Plan(stored=(Stored(label, holds, 1, size),))


def _select(
    problem: Problem, label: str, found: SelectionInputs, folder: pathlib.Path
) -> Draft:
    del folder
    settings, seeds = problem.settings.select, problem.seeds
    chosen: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    methods = {name: selection_of(problem, name) for name in settings.methods}
    read = _read(methods)
    with progress_bar(label, len(seeds) * len(methods), "subset") as bar:
        for row in range(len(seeds)):
            inputs = found.inputs(row)
            for name, method in methods.items():
                start = time.perf_counter()
                for entry, ids in _choose(name, method, inputs, found.ipc):
                    chosen.setdefault(entry, []).append(ids)
                spent = time.perf_counter() - start
                seconds[name] = seconds.get(name, 0.0) + spent / len(seeds)
                bar.update(1)
            for name, method in read.items():
                chosen.setdefault(_SCORE + name, []).extend(method.values(inputs))
    arrays = {name: np.stack(rows) for name, rows in chosen.items()}
    arrays["ids"] = problem.pool.ids
    cost = Cost(seconds=len(seeds) * sum(seconds.values()))
    return Draft(arrays, {"seconds": seconds}, cost)


def _read(methods: dict[str, Selection]) -> dict[str, Selection]:
    """Name of a score, or of a variant with a score of its own -> what reads it."""
    return {m.score if not m.own else n: m for n, m in methods.items() if m.score}


def _choose(name, method, inputs, ipc):
    """Yields (array's name, ids) of one method and seed."""
    if method.searches:
        for start, ids in method.candidates(inputs, ipc).items():
            yield _CANDIDATE.format(method=name, start=start), ids
    else:
        yield name, method.select(inputs, ipc)


def scores_of(subsets: Artifact, row: int) -> dict[str, np.ndarray]:
    """Returns the scores [N] that a seed's selections read, by name."""
    return {
        name.removeprefix(_SCORE): array[row]
        for name, array in subsets.arrays.items()
        if name.startswith(_SCORE)
    }


def subset_of(
    subsets: Artifact, method: str, row: int, start: float | None
) -> np.ndarray:
    """Returns a method's positions in the pool for one seed; start of a search."""
    return subsets.arrays[array_name(method, start)][row]


def array_name(method: str, start: float | None) -> str:
    """Returns the name of a method's array in the artifact; start of a search."""
    return method if start is None else _CANDIDATE.format(method=method, start=start)


def positions_in(subsets: Artifact) -> dict[str, np.ndarray]:
    """Returns the positions [R,n] of every array of subsets, by its name."""
    return {
        name: array
        for name, array in subsets.arrays.items()
        if not name.startswith(_SCORE) and name != "ids"
    }


def chosen_start(
    problem: Problem, members: pd.DataFrame, method: str, regime: str, ipc: int
) -> float | None:
    """Returns the window that a search picked, None for methods without one."""
    if not selection_of(problem, method).searches:
        return None
    same = members[
        (members["method"] == method)
        & (members["regime"] == regime)
        & (members["ipc"] == ipc)
    ]
    return float(same["window_start"].iloc[0])
