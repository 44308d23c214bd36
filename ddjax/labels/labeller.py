"""Teachers' answers to every augmented view of a subset, epoch by epoch, into a store.

Letters: n examples of the subset, B images of a block, C classes.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment import Recipe
from ddjax.labels.committee import committee_logits
from ddjax.labels.store import LabelStore
from ddjax.models import Network
from ddjax.train import order, student

BLOCK = 128
# Epochs whose answers wait for the disk while the device computes the next ones.
_WAITING = 2


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is compiled in, see `Labeller`; equal ones share an executable."""

    networks: tuple[Network, ...]
    recipe: Recipe
    batch_norm: str
    committee_mean: str
    committee_weights: tuple[float, ...]


_order = jax.jit(order.presentations, static_argnames="length")
_plan = jax.jit(student.make_plan, static_argnums=(0, 1))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _answer(asked: _Asked, encode, variables, pool, plan) -> jax.Array:
    """Encoded labels [B,...] of a block of views."""
    inputs = student.make_batch(asked.recipe, pool, plan).inputs
    logits = [
        network.apply(v, inputs, train=asked.batch_norm == "batch")[0]
        for network, v in zip(asked.networks, variables, strict=True)
    ]
    return encode(
        committee_logits(
            jnp.stack(logits), asked.committee_mean, asked.committee_weights
        )
    )


class Labeller:
    """Shows teachers the views that a student of a seed and subset will see.

    Epochs follow the student's order. So with `batch_norm="batch"` a block is a random
    batch of the subset, as in the relabelling of CV-DD ("BSSL"); the last block of an
    epoch then overlaps the one before it, whose answers stand.
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
        """Keeps what all epochs share.

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
        self.pool, self.seed = pool, np.int32(seed)
        self.positions = np.asarray(positions, np.int32)
        self.ids = np.asarray(pool.ids)[self.positions]
        self.block = min(block, len(self.positions))
        self._variables = tuple(variables)
        self._asked = _Asked(
            tuple(networks), recipe, batch_norm, committee_mean, committee_weights
        )

    def epoch(
        self, epoch: int, encode: Callable[[jax.Array], jax.Array] = jnp.asarray
    ) -> tuple[np.ndarray, list[jax.Array]]:
        """Starts to compute an epoch's labels; does not wait for the device.

        Args:
          epoch: which views, 0 or more.
          encode: a codec's; functions that compare equal are compiled once.

        Returns:
          (positions in the subset of the labels, blocks of encoded labels [b,...])
        """
        count = len(self.positions)
        rows = np.arange(count, dtype=np.int32)
        presented = _order(
            self.seed, rows, self.ids, np.int32(epoch * count), length=count
        )
        shown = presented._replace(
            positions=self.positions[np.asarray(presented.positions)],
            partners=self.positions[np.asarray(presented.partners)],
        )
        recipe, shape = self._asked.recipe, self._asked.networks[0].image_shape
        plan = _plan(recipe, shape, self.pool.ids, self.seed, shown)
        blocks = []
        with jax.default_matmul_precision("highest"):
            for first in range(0, count, self.block):
                start = min(first, count - self.block)
                part = jax.tree.map(lambda a, s=start: a[s : s + self.block], plan)
                labels = _answer(self._asked, encode, self._variables, self.pool, part)
                blocks.append(labels[first - start :])
        return np.asarray(presented.positions), blocks


def sample(labeller: Labeller, epochs: range, count: int) -> np.ndarray:
    """Returns logits [m,C] of at most about `count` views, spread over the epochs."""
    wanted = max(1, min(len(epochs), -(-count // len(labeller.positions))))
    chosen = np.unique(np.linspace(epochs[0], epochs[-1], wanted).astype(int))
    found = [np.asarray(b) for e in chosen for b in labeller.epoch(int(e))[1]]
    return np.concatenate(found)[:count]


def write_labels(
    store: LabelStore,
    labeller: Labeller,
    progress: Callable[[int], None] = lambda labels: None,
) -> int:
    """Computes and writes all labels that a store lacks.

    The device computes an epoch while the one before it is written.

    Args:
      store: made for the labeller's example ids.
      labeller: what answers.
      progress: called with the number of labels that were written.

    Returns:
      How many views the teachers saw.
    """
    encode = store.codec.encode

    def write(epoch, ranks, blocks):
        payload = np.concatenate([np.asarray(block) for block in blocks])
        store.write_payload(epoch, labeller.ids[ranks], payload)
        progress(len(ranks))

    missing = sorted(store.missing())
    with ThreadPoolExecutor(1) as writer:
        waiting = []
        for epoch in missing:
            waiting.append(writer.submit(write, epoch, *labeller.epoch(epoch, encode)))
            while len(waiting) > _WAITING:
                waiting.pop(0).result()
        for future in waiting:
            future.result()
    return len(missing) * len(labeller.positions)


def copy_labels(
    source: LabelStore,
    store: LabelStore,
    progress: Callable[[int], None] = lambda labels: None,
) -> None:
    """Writes all labels that a store lacks from another one with finer codec."""
    for epoch, ids in sorted(store.missing().items()):
        store.write(epoch, ids, source.read(epoch, ids))
        progress(len(ids))


def sample_store(source: LabelStore, epochs: int, ids: np.ndarray, count: int):
    """Returns logits [m,C] of at most about `count` labels, spread over the epochs."""
    wanted = max(1, min(epochs, -(-count // len(ids))))
    chosen = np.unique(np.linspace(0, epochs - 1, wanted).astype(int))
    rows: Iterator = (source.read(int(epoch), ids) for epoch in chosen)
    return np.concatenate(list(rows))[:count]
