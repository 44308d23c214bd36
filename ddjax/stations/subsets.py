"""Subsets: what every method keeps at a budget, and which window a search picks."""

import pathlib
import time

import jax
import numpy as np

from ddjax import select
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.stations.context import Context
from ddjax.stations.students import Member, Students
from ddjax.stations.trace import select_settings, trace_of

_CANDIDATE = "{method}@{start:g}"


def subsets_station(context: Context, ipc: int, trace: Artifact | None) -> Artifact:
    """Returns every method's subset of the pool at a budget, one a seed.

    Args:
      context: the run.
      ipc: images a class.
      trace: the budget's scoring runs, if any method needs them; run r serves seed r.

    Returns:
      An artifact with, for each method, `METHOD` [R,n] int32 positions in the pool (for
      methods that search, one `METHOD@START` a candidate), `METHOD.score` [R,N] for
      those that rank by difficulty, and `ids` [N], the stable ids of the positions.
    """
    settings = context.settings.select
    seeds = context.settings.protocol.seeds
    key = {
        "ipc": ipc,
        "methods": list(settings.methods),
        "seeds": list(seeds),
        "window_starts": list(settings.window_starts),
        **{
            name: getattr(settings, name)
            for name in (
                "cad_span",
                "cad_windows",
                "cad_quantity",
                "cad_keep",
                "never_learned",
            )
        },
    }
    parents = {"data": context.data_digest}
    if trace is not None:
        parents["trace"] = trace.address

    def make(folder: pathlib.Path) -> Draft:
        del folder
        chosen, seconds = {}, {}
        for row, seed in enumerate(seeds):
            inputs = select.Inputs(
                key=subset_key(seed, ipc),
                labels=context.pool.labels,
                trace=None if trace is None else trace_of(trace, row),
                features=None if trace is None else trace.arrays["features"][row],
                settings=select_settings(settings),
            )
            for name in settings.methods:
                start = time.perf_counter()
                for entry, ids in _choose(name, inputs, ipc, settings.window_starts):
                    chosen.setdefault(entry, []).append(ids)
                spent = time.perf_counter() - start
                seconds[name] = seconds.get(name, 0.0) + spent / len(seeds)
        arrays = {name: np.stack(rows) for name, rows in chosen.items()}
        arrays["ids"] = context.pool.ids
        cost = Cost(seconds=len(seeds) * sum(seconds.values()))
        return Draft(arrays, {"seconds": seconds}, cost)

    return context.station("subsets", f"subsets, IPC {ipc}", key, parents, make)


def subset_key(seed: int, ipc: int) -> jax.Array:
    """Returns the key of a seed's selections at a budget."""
    return jax.random.fold_in(jax.random.key(seed), ipc)


def _choose(name, inputs, ipc, starts):
    """Yields (array's name, array) of one method and seed."""
    method = select.METHODS[name]
    if method.searches:
        for start, ids in method.candidates(inputs, ipc, starts).items():
            yield _CANDIDATE.format(method=name, start=start), ids
    else:
        yield name, method.select(inputs, ipc)
    if method.score is not None:
        yield f"{name}.score", np.asarray(method.score(inputs), np.float32)


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
    starts = context.settings.select.window_starts
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
