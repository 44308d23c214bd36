"""Losses of distillation methods, of every subset and every set of a budget.

Letters: R seeds, D draws, M images of a set.
"""

from __future__ import annotations

import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import distill, keys
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.distill.match.loop import Matching, losses
from ddjax.problem import Problem
from ddjax.process import ending
from ddjax.run import Run, progress_bar
from ddjax.stages.experts import Trajectories
from ddjax.stages.requirements import tries
from ddjax.stages.stage import Plan, Stage, Stored, Work
from ddjax.stages.subsets import positions_in
from ddjax.stages.synthetic import SyntheticSets, outline_of, task_of
from ddjax.train.batches import normalise

_SEED = 1_000_000_007  # of the draws, far from those of students and experts


def losses_stage(
    problem: Problem,
    name: str,
    ipc: int,
    subsets: Stage,
    sets: dict[str, Stage],
    experts: Stage | None,
) -> Stage:
    """The stage of what an entry's loss is of all that students of a budget train on.

    The artifact has, for each array of subsets and each entry of `distill`, `NAME`
    [R,D] float32: the loss of a seed's images in each draw of networks and real images.
    All have the same draws. What has not `ipc` images of every class is left out.

    Args:
      problem: the problem.
      name: of the entry of `distill`.
      ipc: the budget.
      subsets: of the budget.
      sets: of the budget, by entry.
      experts: whose trajectories its method reads; None: it reads none.
    """
    label = f"losses of {name}, IPC {ipc}"

    def make(run: Run, subsets: Artifact, sets, experts) -> Artifact:
        entry = problem.settings.distill[name]
        settings = {"method": entry.method, "ipc": ipc, "draws": entry.losses}
        settings |= {"options": repr(_method(problem, name).options(entry))}
        parents = {"subsets": subsets.address}
        for each, found in sets.items():
            parents[f"set {each}"] = found.problem.data_digest
        if experts is not None:
            parents["experts"] = experts.address
        draft = functools.partial(
            _measure, problem, name, ipc, label, subsets, sets, experts
        )
        return run.artifact("losses", label, settings, parents, draft)

    parents = {"subsets": subsets, "sets": sets, "experts": experts}
    plan = functools.partial(_plan, problem, name, ipc, label, len(sets))
    return Stage(label, parents, make, plan)


def _method(problem: Problem, name: str) -> Matching:
    method = distill.METHODS[problem.settings.distill[name].method]
    assert isinstance(method, Matching)  # of the settings' check
    return method


def _plan(problem: Problem, name: str, ipc: int, label: str, sets: int) -> Plan:
    entry, seeds = problem.settings.distill[name], len(problem.seeds)
    each = sum(tries(problem, one) or 1 for one in problem.settings.select.methods)
    count = (each + sets) * seeds * entry.losses
    outline = outline_of(problem, name)
    cost = _method(problem, name).measuring(outline, entry, ipc)
    passes = count * cost.forward_passes, count * cost.train_passes
    stored = Stored(label, f"losses {{}} x [{seeds},{entry.losses}]", each + sets, 4.0)
    work = Work(label, *passes, lambda: count * cost.flops)
    return Plan((work,), stored=(stored,))


def _measure(
    problem: Problem,
    name: str,
    ipc: int,
    label: str,
    subsets: Artifact,
    sets: dict[str, SyntheticSets],
    experts: Trajectories | None,
    folder: pathlib.Path,
) -> Draft:
    del folder
    entry, method = problem.settings.distill[name], _method(problem, name)

    def key() -> jax.Array:
        return jax.random.fold_in(keys.key(_SEED), ipc)

    task = task_of(problem, ipc, key(), experts=experts and experts.weights)
    step = method.step(task.outline(), entry, ipc).probe()
    real, draws = step.given(task), entry.losses
    everything = [
        (each, problem.pool, list(rows)) for each, rows in positions_in(subsets).items()
    ]
    everything += [
        (each, found.problem.pool, [found.positions[seed] for seed in problem.seeds])
        for each, found in sets.items()
    ]
    arrays: dict[str, np.ndarray] = {}
    count, began = 0, time.perf_counter()
    with progress_bar(label, len(everything) * len(problem.seeds), "set") as bar:
        for each, pool, rows in everything:
            known: dict[bytes, np.ndarray] = {}
            for positions in rows:
                ending.stop_if_requested()
                bar.update(1)
                images = _images(task, pool, positions)
                if images is None:
                    break
                if positions.tobytes() not in known:
                    found = losses(step, images, real, key(), draws)
                    known[positions.tobytes()] = np.asarray(found)
                    count += draws
            else:
                arrays[each] = np.stack([known[row.tobytes()] for row in rows])
    seconds = time.perf_counter() - began
    one = method.measuring(task.outline(), entry, ipc)
    cost = Cost(
        seconds=seconds,
        forward_passes=count * one.forward_passes,
        train_passes=count * one.train_passes,
        flops=count * one.flops,
    )
    return Draft(arrays, {}, cost)


def _images(task: distill.Task, pool: Any, positions: np.ndarray):
    """Returns images as networks take them, class after class, None without balance."""
    labels = pool.labels[positions]
    order = np.argsort(labels, kind="stable")
    if not np.array_equal(labels[order], task.slot_labels):
        return None
    return normalise(jnp.asarray(pool.images[positions[order]]), task.mean, task.std)
