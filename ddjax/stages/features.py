"""Features, last-layer gradients and GraNd of the pool, by trained networks.

Letters: R rows, one a seed; N images of the pool, M of validation, C classes, D
features.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import losses, scores
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.models import Network
from ddjax.problem import Problem
from ddjax.run import Run, progress_bar
from ddjax.stages.bundle import Teacher
from ddjax.stages.stage import Plan, Stage, Stored, Work
from ddjax.stages.teacher import planned_network
from ddjax.stages.trace import trace_weights
from ddjax.train import evaluate
from ddjax.train.batches import normalise
from ddjax.train.programs import forward_flops, native, variables_of


def last_layer_stage(problem: Problem, ipc: int, trace: Stage) -> Stage:
    """The stage of the last dense layer of the scoring runs: its inputs and logits.

    The artifact has `features` [R,N,D] and `logits` [R,N,C] of the pool, and
    `held_out_features` [R,M,D] and `held_out_logits` [R,M,C] of validation, by the
    first scoring run of each seed.

    Args:
      problem: the problem.
      ipc: the budget.
      trace: of the scoring runs with hard labels.
    """
    label = f"last layer, IPC {ipc}"

    def make(run: Run, trace: Artifact) -> Artifact:
        draft = functools.partial(_last_layer, problem, trace)
        return run.artifact("last_layer", label, {}, {"trace": trace.address}, draft)

    def plan() -> Plan:
        network = native(problem.student_network)
        seeds, total = len(problem.seeds), len(problem.pool) + len(problem.validation)
        both = _width(network, "") + problem.num_classes
        stored = Stored(label, f"[{seeds},{total},{both}]", 1, 4 * seeds * total * both)
        return Plan((_forward(ipc, seeds * total, network),), stored=(stored,))

    return Stage(label, {"trace": trace}, make, plan)


def _last_layer(problem: Problem, trace: Artifact, folder: pathlib.Path) -> Draft:
    del folder
    start, found = time.perf_counter(), {}
    for row in first_runs(problem):
        variables = trace_weights(problem, trace, row)
        for prefix, split in (("", problem.pool), ("held_out_", problem.validation)):
            logits, features = _represent(
                problem, problem.student_network, variables, split.images
            )
            found.setdefault(f"{prefix}logits", []).append(logits)
            found.setdefault(f"{prefix}features", []).append(features)
    rows = len(found["logits"])
    cost = Cost(
        seconds=time.perf_counter() - start,
        forward_passes=rows * (len(problem.pool) + len(problem.validation)),
    )
    return Draft({name: np.stack(a) for name, a in found.items()}, {}, cost)


def features_stage(
    problem: Problem, ipc: int, trace: Stage | None, teacher: Stage | None
) -> Stage:
    """The stage of the pool's features `features` [R,N,D] in a layer of a network.

    Args:
      problem: the problem; its `select.layer` names the layer.
      ipc: the budget.
      trace: of the scoring runs with hard labels, whose features they are; None: they
        are the teacher's, R = 1, and serve all budgets.
      teacher: the teacher, where the features are its own.
    """
    layer = problem.settings.select.layer
    label = f"features, IPC {ipc}" if trace else "features, teacher"

    def make(run: Run, network: Any) -> Artifact:
        parents = {"trace" if trace else "teacher": network.address}
        draft = functools.partial(_features, problem, layer, network)
        parents |= {"data": problem.data_digest}
        return run.artifact("features", label, {"layer": layer}, parents, draft)

    def plan() -> Plan:
        network = native(problem.student_network)
        if teacher:
            network = planned_network(problem, "teacher")
        rows, count = len(problem.seeds) if trace else 1, len(problem.pool)
        width = _width(network, layer)
        stored = Stored(label, f"[{rows},{count},{width}]", 1, 4 * rows * count * width)
        if teacher and ipc != problem.settings.select.ipcs[0]:
            return Plan()
        return Plan((_forward(ipc, rows * count, network),), stored=(stored,))

    name = label if trace else f"{label}, IPC {ipc}"
    return Stage(name, {"network": trace or teacher}, make, plan)


def _features(
    problem: Problem, layer: str, found: Artifact | Teacher, folder: pathlib.Path
) -> Draft:
    del folder
    start = time.perf_counter()
    if isinstance(found, Teacher):
        networks = [(found.network, found.variables)]
    else:
        networks = [
            (problem.student_network, trace_weights(problem, found, row))
            for row in first_runs(problem)
        ]
    features = [
        _represent(problem, *network, problem.pool.images, layer)[1]
        for network in networks
    ]
    cost = Cost(
        seconds=time.perf_counter() - start,
        forward_passes=len(networks) * len(problem.pool),
    )
    return Draft({"features": np.stack(features)}, {}, cost)


def grand_stage(problem: Problem, ipc: int, trace: Stage) -> Stage:
    """The stage of the pool's gradient norms `grand` [R,N], means over a seed's runs.

    They are taken at the end of every scoring run. The published score is taken early
    in a long training; a compute-aligned run is short as a whole.

    Args:
      problem: the problem.
      ipc: the budget.
      trace: of the scoring runs with hard labels.
    """
    label = f"GraNd, IPC {ipc}"

    def make(run: Run, trace: Artifact) -> Artifact:
        draft = functools.partial(_grand, problem, label, trace)
        return run.artifact("grand", label, {}, {"trace": trace.address}, draft)

    def plan() -> Plan:
        network = native(problem.student_network)
        seeds, count = len(problem.seeds), len(problem.pool)
        trained = seeds * problem.settings.select.runs * count
        work = Work(
            f"gradients and features, IPC {ipc}",
            0,
            trained,
            lambda: trained * 3 * forward_flops(network),
        )
        stored = Stored(label, f"[{seeds},{count}]", 1, 4 * seeds * count)
        return Plan((work,), stored=(stored,))

    return Stage(label, {"trace": trace}, make, plan)


def _grand(
    problem: Problem, label: str, trace: Artifact, folder: pathlib.Path
) -> Draft:
    del folder
    pool, start, source = problem.pool, time.perf_counter(), problem.source
    runs = problem.settings.select.runs
    total = runs * len(problem.seeds)
    loss = Loss(problem.student_network, tuple(source.mean), tuple(source.std))
    found = []
    with progress_bar(label, total, "run") as bar:
        for row in range(total):
            variables = trace_weights(problem, trace, row)
            found.append(scores.grand(loss, variables, pool.images, pool.labels))
            bar.update(1)
    rows = np.stack(found).reshape(-1, runs, len(pool)).mean(1, dtype=np.float64)
    cost = Cost(seconds=time.perf_counter() - start, train_passes=total * len(pool))
    return Draft({"grand": rows.astype(np.float32)}, {}, cost)


def first_runs(problem: Problem) -> range:
    """Returns, for each seed, its first scoring run; features are not averaged."""
    runs = problem.settings.select.runs
    return range(0, runs * len(problem.seeds), runs)


def _forward(ipc: int, images: int, network: Network) -> Work:
    row = f"gradients and features, IPC {ipc}"
    return Work(row, images, flops=lambda: images * forward_flops(network))


def _width(network: Network, layer: str) -> int:
    """Returns D, the length of a feature."""
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    seen = jax.eval_shape(
        lambda variables, image: network.features(variables, image, layer),
        variables_of(network),
        image,
    )
    return seen.shape[-1]


def _represent(problem: Problem, network: Network, variables, images, layer=""):
    return evaluate.represent(
        network, variables, images, problem.mean, problem.std, layer
    )


@dataclasses.dataclass(frozen=True)
class Loss:
    """Cross-entropy of one image, a function of (variables, image, label).

    Attributes:
      network: whose loss it is, in evaluation mode.
      mean, std: of the channels.
    """

    network: Network
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, variables: Any, image: jax.Array, label: jax.Array) -> jax.Array:
        # The statistics of batch norm are no parameters: they get no gradient.
        fixed = jax.lax.stop_gradient(variables) | {"params": variables["params"]}
        shown = normalise(image[None], jnp.array(self.mean), jnp.array(self.std))
        logits, _ = self.network.apply(fixed, shown)
        return losses.cross_entropy(logits[0], label)
