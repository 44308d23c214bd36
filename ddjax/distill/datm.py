"""DATM: trajectory matching with windows of growing difficulty and learned labels.

Letters: N images of the pool, M synthetic images, C classes, E experts, S snapshots, P
parameters.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill import mtt
from ddjax.distill.match import loop
from ddjax.distill.match.experts import check_weights, unflatten
from ddjax.distill.match.options import again
from ddjax.distill.task import Ipcs, Outline, Task
from ddjax.models import Network
from ddjax.train.batches import normalise
from ddjax.train.programs import forward_flops

_BLOCK = 256  # images through an expert at once


@dataclasses.dataclass(frozen=True)
class Datm(mtt.Unrolled):
    """Trajectory matching with a growing window and learned labels."""

    iterations: int = again("iterations", 10_000)
    steps: int = again("steps", 80, mtt.Unrolled)
    min_start: int = setting(
        0, "Students start from an expert after at least as many epochs.", "[0, 9999]"
    )
    first_max: int = setting(
        0,
        "What `max_start` grows from, above `min_start`; 0: it does not grow.",
        "[0, 10000]",
    )
    expansion: int = setting(
        1000, "Iterations over which `max_start` grows.", "[1, 10000000]"
    )
    label_learning_rate: float = setting(
        2.0, "Of SGD on the logits of the labels; 0: they stay.", "[0, 1e7]"
    )
    label_momentum: float = setting(0.9, "Of SGD on those logits.", "[0, 1)")
    threshold: float = setting(
        1.0, "Largest loss of an iteration that changes the set.", "(0, 1e6]"
    )

    @property
    def first(self) -> int:
        """The first epoch that a student may start from."""
        return self.min_start


class DatmStep(mtt.MttStep):
    """DATM: trajectory matching with windows of growing difficulty and learned labels.

    Students start from epochs `min_start` .. E - 1, where E grows evenly from
    `first_max` to `max_start` over `expansion` iterations. Images start from real ones
    that an expert has right at its end, and labels from the mean logits of those
    experts that have the image right (of all, if none has). Both are learned, the
    labels through a softmax; an iteration whose loss is above `threshold` changes
    nothing.

    Source: Guo et al., "Towards Lossless Dataset Distillation via Difficulty-Aligned
    Trajectory Matching", arXiv 2310.05773; NUS-HPC-AI-Lab/DATM. Deviations: those of
    MTT; experts are trained by plain SGD, where theirs are by GSAM; a class of which
    the expert has too few images right is filled with others of it.
    """

    def start(self, task: Task, key: jax.Array) -> tuple[jax.Array, np.ndarray]:
        if self.options.init == "noise":
            return super().start(task, key)
        options = self.options
        check_weights(task.experts, self.network, options.max_start + options.span)
        expert_key, lots_key = jax.random.split(key)
        expert = int(jax.random.randint(expert_key, (), 0, len(task.experts)))
        weights_P = jnp.asarray(task.experts[expert, -1])
        right = np.concatenate(
            [
                np.asarray(
                    _right(
                        self.network,
                        weights_P,
                        normalise(
                            task.images[first : first + _BLOCK], task.mean, task.std
                        ),
                        task.labels[first : first + _BLOCK],
                    )
                )
                for first in range(0, len(task.labels), _BLOCK)
            ]
        )
        lots = np.asarray(jax.random.bits(lots_key, (len(task.labels),)))
        order = np.lexsort((lots, ~right, task.labels))
        counts = np.bincount(task.labels, minlength=task.num_classes)
        firsts = np.cumsum(counts) - counts
        places = order[(firsts[:, None] + np.arange(task.ipc)).reshape(-1)]
        images = normalise(task.images[places], task.mean, task.std)
        return jnp.asarray(images), task.ids[places, None]

    def given(self, task: Task) -> Any:
        """Returns the snapshots of windows [E,S,P], and the last ones [E,P]."""
        return super().given(task) | {"last": jnp.asarray(task.experts[:, -1])}

    def given_shapes(self, outline: Outline) -> Any:
        found = super().given_shapes(outline)
        experts, _, size = found["weights"].shape
        return found | {"last": jax.ShapeDtypeStruct((experts, size), jnp.float32)}

    def begin(self, key: jax.Array, images_MHWK: jax.Array, given: Any) -> loop.State:
        state = super().begin(key, images_MHWK, given)
        logits_EMC = jax.lax.map(
            lambda flat_P: _logits(self.network, flat_P, images_MHWK), given["last"]
        )
        classes_1M = jnp.repeat(jnp.arange(self.num_classes), self.ipc)[None]
        right_EM = jnp.argmax(logits_EMC, axis=-1) == classes_1M
        nobody_1M = ~right_EM.any(0, keepdims=True)
        weights_EM = (right_EM | nobody_1M).astype(jnp.float32)
        sums_MC = jnp.einsum("em,emc->mc", weights_EM, logits_EMC)
        logits_MC = sums_MC / weights_EM.sum(0)[:, None]
        return state | {
            "logits": logits_MC,
            "logits_velocity": jnp.zeros_like(logits_MC),
        }

    def before(self, iteration: jax.Array) -> int | jax.Array:
        options = self.options
        if not options.first_max:
            return options.max_start
        iteration = jnp.minimum(iteration, options.expansion)
        grown = (options.max_start - options.first_max) * iteration
        return options.first_max + grown // options.expansion

    def leaves(self, state: loop.State) -> tuple[str, ...]:
        return (*super().leaves(state), "logits")

    def labels_of(self, learned: loop.State) -> jax.Array:
        return jax.nn.softmax(learned["logits"])

    def move(self, state: loop.State, gradients, loss: jax.Array) -> loop.State:
        options, moved = self.options, super().move(state, gradients, loss)
        velocity = options.label_momentum * state["logits_velocity"]
        velocity = velocity + gradients["logits"]
        moved |= {
            "logits": state["logits"] - options.label_learning_rate * velocity,
            "logits_velocity": velocity,
        }
        kept = loss > options.threshold
        chosen = {n: jnp.where(kept, state[n], a) for n, a in moved.items()}
        return chosen | {"iteration": moved["iteration"]}

    def learned(self, state: loop.State) -> dict[str, Any]:
        labels = np.asarray(jax.nn.softmax(jnp.asarray(state["logits"])), np.float32)
        return super().learned(state) | {"soft_labels": labels}


@functools.partial(jax.jit, static_argnums=0)
def _right(network: Network, flat_P, images_BHWK, labels_B):
    return jnp.argmax(_logits(network, flat_P, images_BHWK), axis=-1) == labels_B


def _logits(network, flat_P, images_BHWK):
    # Batch norm, if any, takes the moments of these images: its own are no parameters.
    variables = {"params": unflatten(network, flat_P)}
    return network.apply(variables, images_BHWK, train=True)[0]


def _costs(outline: Outline, entry: Any, ipc: int) -> Cost:
    images = outline.experts[0] * outline.num_classes * ipc
    if entry.datm.init != "noise":
        images += outline.size
    flops = images * forward_flops(outline.student)
    return Cost(forward_passes=images, flops=flops)


def _refuse(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    mtt.refuse(outline, entry, key, ipcs, "datm")
    options, place = entry.datm, join(key, "datm")
    allowed = f"less than max_start, {options.max_start}"
    fits = options.min_start < options.max_start
    require(fits, f"{place}.min_start", options.min_start, allowed)
    allowed = (
        f"0, or from {options.min_start + 1}, above min_start, to {options.max_start}, "
        "max_start"
    )
    fits = options.min_start < options.first_max <= options.max_start
    require(
        fits or not options.first_max, f"{place}.first_max", options.first_max, allowed
    )


DATM = mtt.method(DatmStep, "DATM", "datm", Datm, refuses=_refuse, costs=_costs)
