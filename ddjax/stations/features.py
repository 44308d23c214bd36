"""What trained models say about the pool: features, last-layer gradients, GraNd.

Letters: R rows, one a seed; N images of the pool, M of validation, C classes, D
features.
"""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import losses, scores
from ddjax.artifacts import Artifact, Cost, Draft
from ddjax.models import Network
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.trace import trace_weights
from ddjax.stations.watching import progress_bar
from ddjax.train import evaluate
from ddjax.train.batches import normalise


def first_runs(context: Context) -> range:
    """Returns, for each seed, its first scoring run; features are not averaged."""
    runs = context.settings.select.runs
    return range(0, runs * len(context.settings.protocol.seeds), runs)


def last_layer_station(context: Context, ipc: int, trace: Artifact) -> Artifact:
    """Returns what the last dense layer of the scoring runs sees and says.

    Args:
      context: the run.
      ipc: the budget.
      trace: its scoring runs with hard labels; of each seed the first is asked.

    Returns:
      An artifact with `features` [R,N,D] and `logits` [R,N,C] of the pool, and
      `held_out_features` [R,M,D] and `held_out_logits` [R,M,C] of validation.
    """

    def make(folder: pathlib.Path) -> Draft:
        del folder
        start, found = time.perf_counter(), {}
        for run in first_runs(context):
            variables = trace_weights(context, trace, run)
            for prefix, split in (
                ("", context.pool),
                ("held_out_", context.validation),
            ):
                logits, features = _represent(
                    context, context.student_network, variables, split.images
                )
                found.setdefault(f"{prefix}logits", []).append(logits)
                found.setdefault(f"{prefix}features", []).append(features)
        rows = len(found["logits"])
        cost = Cost(
            seconds=time.perf_counter() - start,
            forward_passes=rows * (len(context.pool) + len(context.validation)),
        )
        return Draft({name: np.stack(a) for name, a in found.items()}, {}, cost)

    parents = {"trace": trace.address}
    label = f"last layer, IPC {ipc}"
    return context.station("last_layer", label, {}, parents, make)


def features_station(
    context: Context, ipc: int, trace: Artifact | None, teacher: Teacher | None
) -> Artifact:
    """Returns the pool's features in a named layer, or as the teacher sees them.

    Args:
      context: the run; its `select.features` and `select.layer` say which.
      ipc: the budget.
      trace: the budget's scoring runs, where they are asked.
      teacher: the teacher, where it is asked.

    Returns:
      An artifact with `features` [R,N,D], R = 1 for the teacher.
    """
    layer = context.settings.select.layer
    if teacher is not None:
        models = [(teacher.network, teacher.variables)]
        parents, label = {"teacher": teacher.address}, "features, teacher"
    else:
        models = [
            (context.student_network, trace_weights(context, trace, run))
            for run in first_runs(context)
        ]
        parents, label = {"trace": trace.address}, f"features, IPC {ipc}"

    def make(folder: pathlib.Path) -> Draft:
        del folder
        start = time.perf_counter()
        found = [
            _represent(context, *model, context.pool.images, layer)[1]
            for model in models
        ]
        cost = Cost(
            seconds=time.perf_counter() - start,
            forward_passes=len(models) * len(context.pool),
        )
        return Draft({"features": np.stack(found)}, {}, cost)

    parents |= {"data": context.data_digest}
    return context.station("features", label, {"layer": layer}, parents, make)


def _represent(context: Context, network: Network, variables, images, layer=""):
    return evaluate.represent(
        network, variables, images, context.mean, context.std, layer
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


def grand_station(context: Context, ipc: int, trace: Artifact) -> Artifact:
    """Returns the gradient norms of the pool at the end of every scoring run.

    Args:
      context: the run.
      ipc: the budget.
      trace: its scoring runs with hard labels.

    Returns:
      An artifact with `grand` [R,N], the mean over a seed's runs. The published score
      is taken early in a long training; a compute-aligned run is short as a whole.
    """
    runs = context.settings.select.runs

    def make(folder: pathlib.Path) -> Draft:
        del folder
        pool, start = context.pool, time.perf_counter()
        total = runs * len(context.settings.protocol.seeds)
        source = context.source
        loss = Loss(context.student_network, tuple(source.mean), tuple(source.std))
        found = []
        with progress_bar(f"GraNd, IPC {ipc}", total, "run") as bar:
            for run in range(total):
                variables = trace_weights(context, trace, run)
                found.append(scores.grand(loss, variables, pool.images, pool.labels))
                bar.update(1)
        rows = np.stack(found).reshape(-1, runs, len(pool)).mean(1, dtype=np.float64)
        cost = Cost(seconds=time.perf_counter() - start, train_passes=total * len(pool))
        return Draft({"grand": rows.astype(np.float32)}, {}, cost)

    parents = {"trace": trace.address}
    return context.station("grand", f"GraNd, IPC {ipc}", {}, parents, make)
