"""Subsets: what every method keeps at a budget, and which window a search picks."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING

import numpy as np

from ddjax import scores, select
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence
from ddjax.stations.needs import method_of
from ddjax.stations.students import Member, Students
from ddjax.stations.watching import progress_bar

if TYPE_CHECKING:
    import pandas as pd

_CANDIDATE = "{method}@{start:g}"
_SCORE = "score."


def subsets_station(context: Context, evidence: Evidence) -> Artifact:
    """Returns every method's subset of the pool at a budget, one a seed.

    Args:
      context: the run.
      evidence: what the selections look at.

    Returns:
      An artifact with, for each method, `METHOD` [R,n] int32 positions in the pool (for
      methods that search, one `METHOD@START` a candidate); for each score that a method
      goes by, `score.NAME` [R,N]; and `ids` [N], the stable ids of the positions.
    """
    settings, ipc = context.settings.select, evidence.ipc
    seeds = context.settings.protocol.seeds
    key = dataclasses.asdict(settings) | {"ipc": ipc, "seeds": list(seeds)}
    del key["ipcs"]
    parents = {"data": context.data_digest} | evidence.parents

    def make(folder: pathlib.Path) -> Draft:
        del folder
        chosen, seconds = {}, {}
        methods = {name: method_of(context, name) for name in settings.methods}
        total = len(seeds) * len(methods)
        with progress_bar(f"subsets, IPC {ipc}", total, "subset") as bar:
            for row in range(len(seeds)):
                inputs = evidence.inputs(row)
                for name, method in methods.items():
                    start = time.perf_counter()
                    for entry, ids in _choose(name, method, inputs, ipc):
                        chosen.setdefault(entry, []).append(ids)
                    spent = time.perf_counter() - start
                    seconds[name] = seconds.get(name, 0.0) + spent / len(seeds)
                    bar.update(1)
                for name in dict.fromkeys(m.score for m in methods.values() if m.score):
                    values = scores.SCORES[name].of(inputs)
                    chosen.setdefault(_SCORE + name, []).append(values)
        arrays = {name: np.stack(rows) for name, rows in chosen.items()}
        arrays["ids"] = context.pool.ids
        cost = Cost(seconds=len(seeds) * sum(seconds.values()))
        return Draft(arrays, {"seconds": seconds}, cost)

    return context.station("subsets", f"subsets, IPC {ipc}", key, parents, make)


def _choose(name, method, inputs, ipc):
    """Yields (array's name, ids) of one method and seed."""
    if method.searches:
        for start, ids in method.candidates(inputs, ipc).items():
            yield _CANDIDATE.format(method=name, start=start), ids
    else:
        yield name, method.select(inputs, ipc)


def scores_of(subsets: Artifact, row: int) -> dict[str, np.ndarray]:
    """Returns the scores [N] that a seed's selections went by, by name."""
    return {
        name.removeprefix(_SCORE): array[row]
        for name, array in subsets.arrays.items()
        if name.startswith(_SCORE)
    }


def search_windows(
    context: Context,
    students: Students,
    subsets: Artifact,
    method: str,
    regime: str,
    ipc: int,
    learning_rate: float,
) -> tuple[float, Cost]:
    """Trains a method's candidates together and picks one by accuracy.

    Args:
      context: the run.
      students: what trains.
      subsets: the budget's subsets.
      method: a method that searches.
      regime: the labels the window is chosen for.
      ipc: images a class.
      learning_rate: the regime's at this budget.

    Returns:
      (start of the window with the best mean accuracy over the search seeds, what one
      subset's search cost)
    """
    protocol = context.settings.protocol
    starts = method_of(context, method).tried(context.settings.select.options())
    seeds = protocol.seeds[: protocol.search_seeds]
    members = [
        Member(
            method,
            ipc,
            seed,
            learning_rate,
            subsets.arrays[_CANDIDATE.format(method=method, start=start)][row],
            label=start,
        )
        for start in starts
        for row, seed in enumerate(seeds)
    ]
    before = len(context.costs)
    outcomes = students.train(
        f"search of {method}", regime, members, read_test=protocol.select_on == "test"
    )
    accuracies = {
        start: float(
            np.mean([judged(o, protocol) for o in outcomes if o.member.label == start])
        )
        for start in starts
    }
    best = select.best_window({start: None for start in starts}, accuracies)
    shown = ", ".join(f"{start:g}: {value:.1f}" for start, value in accuracies.items())
    context.say(f"{method}, {regime}, IPC {ipc}: start {best:g} (of {shown})")
    rows = context.costs[before:]
    cost = Cost(
        seconds=sum(row["seconds"] for row in rows),
        train_passes=sum(outcome.image_passes for outcome in outcomes),
        forward_passes=len(outcomes) * len(context.validation),
    )
    return best, cost


def judged(outcome, protocol) -> float:
    """Returns the accuracy that choices look at, -inf for a failed student."""
    read_test = protocol.select_on == "test"
    value = outcome.accuracy if read_test else outcome.val_accuracy
    return value if np.isfinite(value) else -np.inf


def subset_of(
    subsets: Artifact, method: str, row: int, start: float | None
) -> np.ndarray:
    """Returns a method's positions in the pool for one seed; start of a search."""
    name = method if start is None else _CANDIDATE.format(method=method, start=start)
    return subsets.arrays[name][row]


def chosen_start(
    context: Context, members: pd.DataFrame, method: str, regime: str, ipc: int
) -> float | None:
    """Returns the window that a search picked, None for methods without one."""
    if not method_of(context, method).searches:
        return None
    same = members[
        (members["method"] == method)
        & (members["regime"] == regime)
        & (members["ipc"] == ipc)
    ]
    return float(same["window_start"].iloc[0])
