"""Teachers' answers to every augmented view of a subset, epoch by epoch, into a store.

Letters: n examples of the subset, B images of a block, C classes.
"""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment import Recipe
from ddjax.labels import codecs
from ddjax.labels.committee import committee_logits
from ddjax.labels.store import LabelStore
from ddjax.models import Network
from ddjax.train import student
from ddjax.train.order import presentations

BLOCK = 128
_LOGITS = codecs.parse("fp32")
# Epochs a device that are computed or wait for the disk.
_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is compiled in, see `Labeller`; equal ones share an executable."""

    networks: tuple[Network, ...]
    recipe: Recipe
    batch_norm: str
    committee_mean: str
    committee_weights: tuple[float, ...]
    block: int


@functools.partial(jax.jit, static_argnums=0)
def _plan(asked: _Asked, seed, positions, ids, epoch) -> student.Plan:
    """An epoch's presentations, arrays [n]."""
    size = positions.shape[0]
    order = presentations(seed, positions, ids[positions], epoch * size, size)
    shape = asked.networks[0].image_shape
    return student.make_plan(asked.recipe, shape, ids, seed, order)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _answer(asked: _Asked, codec, variables, pool, plan, start) -> jax.Array:
    """Encoded labels [B,...] of a block of an epoch's views."""
    part = jax.tree.map(
        lambda a: jax.lax.dynamic_slice_in_dim(a, start, asked.block), plan
    )
    inputs = student.make_batch(asked.recipe, pool, part).inputs
    logits = [
        network.apply(v, inputs, train=asked.batch_norm == "batch")[0]
        for network, v in zip(asked.networks, variables, strict=True)
    ]
    one = committee_logits(
        jnp.stack(logits), asked.committee_mean, asked.committee_weights
    )
    return codec.encode(one)


class Labeller:
    """Shows teachers the views that a student of a seed and subset will see.

    Epochs follow the student's order. So with `batch_norm="batch"` a block is a random
    batch of the subset, as in the relabelling of CV-DD ("BSSL"); the last block of an
    epoch then overlaps the one before it, whose answers stand. Epochs take turns on
    the process's devices.
    """

    def __init__(
        self,
        networks: tuple[Network, ...],
        variables: tuple[Any, ...],
        pool: student.Pool,
        recipe: Recipe,
        seed: int,
        positions: np.ndarray,
        batch_norm: str = "eval",
        committee_mean: str = "plain",
        committee_weights: tuple[float, ...] = (),
        block: int = BLOCK,
    ):
        """Keeps what all epochs share, on every device.

        Args:
          networks, variables: of the teachers, one or more.
          pool: the examples.
          recipe: the augmentation.
          seed: the student's.
          positions: [n] int32, the subset as positions in the pool.
          batch_norm: "eval", the running statistics; "batch", those of the block.
          committee_mean, committee_weights: see `committee_logits`.
          block: B, images that the teachers see at once, cut to n.
        """
        self.count = len(positions)
        self.ids = np.asarray(pool.ids)
        self._asked = _Asked(
            tuple(networks),
            recipe,
            batch_norm,
            committee_mean,
            committee_weights,
            min(block, self.count),
        )
        shared = np.int32(seed), np.asarray(positions, np.int32), pool, tuple(variables)
        self._shared = [jax.device_put(shared, d) for d in jax.local_devices()]

    @property
    def devices(self) -> int:
        """How many epochs are computed at a time."""
        return len(self._shared)

    def epoch(
        self, epoch: int, codec: codecs.Codec = _LOGITS
    ) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Starts to compute an epoch's labels; does not wait for the device.

        Args:
          epoch: which views, 0 or more.
          codec: how the labels are encoded; those that compare equal are compiled
            once.

        Returns:
          A function that waits and returns (example ids [n], encoded labels [n,...]).
        """
        seed, positions, pool, variables = self._shared[epoch % self.devices]
        block = self._asked.block
        starts = [min(i, self.count - block) for i in range(0, self.count, block)]
        with jax.default_matmul_precision("highest"):
            plan = _plan(self._asked, seed, positions, pool.ids, np.int32(epoch))
            blocks = [
                _answer(self._asked, codec, variables, pool, plan, np.int32(start))
                for start in starts
            ]

        def wait():
            parts = [
                np.asarray(labels)[index * block - start :]
                for index, (start, labels) in enumerate(
                    zip(starts, blocks, strict=True)
                )
            ]
            return self.ids[np.asarray(plan.positions)], np.concatenate(parts)

        return wait


def sample(
    read: Callable[[int], np.ndarray], epochs: int, each: int, count: int
) -> np.ndarray:
    """Returns logits [m,C] of at most `count` views, spread over the epochs.

    Args:
      read: epoch -> logits [each,C].
      epochs: how many there are.
      each: labels of an epoch.
      count: labels wanted.
    """
    wanted = min(epochs, -(-count // each))
    chosen = np.unique(np.linspace(0, epochs - 1, wanted).astype(int))
    return np.concatenate([read(int(epoch)) for epoch in chosen])[:count]


def write_labels(
    store: LabelStore,
    labeller: Labeller,
    progress: Callable[[int], None] = lambda labels: None,
) -> int:
    """Computes and writes all labels that a store lacks.

    The devices compute epochs while those before them are written.

    Args:
      store: made for the labeller's example ids.
      labeller: what answers.
      progress: called with the number of labels that were written.

    Returns:
      How many views the teachers saw.
    """
    codec = store.codec

    def write(epoch, wait):
        ids, payload = wait()
        store.write_payload(epoch, ids, payload)
        progress(len(ids))

    missing = sorted(store.missing())
    with ThreadPoolExecutor(1) as writer:
        waiting = []
        for epoch in missing:
            waiting.append(writer.submit(write, epoch, labeller.epoch(epoch, codec)))
            while len(waiting) > _AHEAD * labeller.devices:
                waiting.pop(0).result()
        for future in waiting:
            future.result()
    return len(missing) * labeller.count


def copy_labels(
    source: LabelStore,
    store: LabelStore,
    progress: Callable[[int], None] = lambda labels: None,
) -> None:
    """Writes all labels that a store lacks from another one with finer codec."""
    for epoch, ids in sorted(store.missing().items()):
        store.write(epoch, ids, source.read(epoch, ids))
        progress(len(ids))
