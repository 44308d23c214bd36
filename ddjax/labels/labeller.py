"""Teachers' logits of every augmented view of a subset, epoch by epoch, into a store.

Letters: n examples of the subset, B images of a block, C classes.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ddjax import mesh
from ddjax.data.augment import Recipe
from ddjax.errors import InputError
from ddjax.labels import codecs
from ddjax.labels.ensemble import Ensemble
from ddjax.labels.store import LabelStore
from ddjax.process import ending
from ddjax.train import batches
from ddjax.train.micro_batch import images_in_cache
from ddjax.train.order import presentations

_BLOCK = 128
# Views that a device labels at once, in whole epochs, at least.
_VIEWS = 2048
_LOGITS = codecs.parse("fp32")
# Groups of epochs that are computed while one is written.
_AHEAD = 2
# What is computed in that time is written at once: writing into a file rewrites it.
_WRITE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class _Static:
    """What is compiled in, see `Labeller`; equal ones share an executable."""

    ensemble: Ensemble
    recipe: Recipe
    batch_norm: str
    block: int


def _epoch(static: _Static, codec, epoch, seed, positions, pool, variables):
    """(positions [n], encoded labels [n,...], whether all logits are finite)."""
    size, block = positions.shape[0], static.block
    ids = pool.ids[positions]
    order = presentations(seed, positions, ids, epoch * size, size)
    shape = static.ensemble.networks[0].image_shape
    plan = batches.make_plan(static.recipe, shape, pool.ids, seed, order)

    def label(start):
        part = jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, start, block), plan
        )
        inputs = batches.make_batch(static.recipe, pool, part).inputs
        train = static.batch_norm == "batch"
        logits = static.ensemble.logits(variables, inputs, train)
        return codec.encode(logits), jnp.isfinite(logits).all()

    starts = np.minimum(np.arange(0, size, block), size - block)
    blocks, finite = jax.lax.map(label, starts)
    # The last block overlaps the one before it, whose labels stand.
    whole = blocks[:-1].reshape(-1, *blocks.shape[2:])
    rest = blocks[-1, len(starts) * block - size :]
    return plan.positions, jnp.concatenate([whole, rest]), finite.all()


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _epochs(static: _Static, codec, onto: Mesh, epochs, *shared):
    """`_epoch` of epochs [G] int32, spread over the devices, of which G is a multiple.

    `shared`, what `_epoch` takes behind the epoch, is whole on every device.
    """

    def of_device(epochs, *shared):
        return jax.lax.map(lambda e: _epoch(static, codec, e, *shared), epochs)

    return jax.shard_map(
        of_device,
        mesh=onto,
        in_specs=(mesh.EVERYWHERE, *(mesh.WHOLE for _ in shared)),
        out_specs=mesh.EVERYWHERE,
        check_vma=False,
    )(epochs, *shared)


class Labeller:
    """Labels the views that a student of a seed and subset is trained on.

    Epochs follow the student's order. So with `batch_norm="batch"` a block is a random
    batch of the subset, as in the relabelling of CV-DD ("BSSL"); the last block of an
    epoch then overlaps the one before it, whose labels stand. Epochs are spread over
    the devices of all processes.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        variables: tuple[Any, ...],
        pool: batches.Pool,
        recipe: Recipe,
        seed: int,
        positions: np.ndarray,
        batch_norm: str = "eval",
        block: int | None = None,
    ):
        """Keeps what all epochs share, on every device.

        Args:
          ensemble: one or more teachers.
          variables: of their networks.
          pool: the examples.
          recipe: the augmentation.
          seed: the student's.
          positions: [n] int32, the subset as positions in the pool.
          batch_norm: "eval", the running statistics; "batch", those of the block.
          block: B, images of one forward pass, cut to n; None: as many as are fastest.
        """
        self.count = len(positions)
        block = block or min(images_in_cache(net, _BLOCK) for net in ensemble.networks)
        self.ids = np.asarray(pool.ids)
        self._static = _Static(ensemble, recipe, batch_norm, min(block, self.count))
        self._mesh, self._seed = mesh.mesh_of(jax.device_count(), 1), seed
        shared = np.int32(seed), np.asarray(positions, np.int32), pool, tuple(variables)
        self._shared = mesh.place(shared, self._mesh)

    def labels(
        self, epochs: Sequence[int], codec: codecs.Codec = _LOGITS, own: bool = True
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Computes the labels of some epochs, ahead of their use.

        Args:
          epochs: which views, 0 or more.
          codec: how the labels are encoded; those that compare equal are compiled
            once.
          own: whether each of several processes, which must all pass the same epochs,
            gets only those that its devices computed.

        Yields:
          (epoch, example ids [n], encoded labels [n,...]).

        Raises:
          InputError: a teacher's logits are not finite.
        """
        waiting: collections.deque = collections.deque()
        devices = self._mesh.size
        # A device gets several epochs at once where one of them is over too soon.
        share = max(1, -(-len(epochs) // devices))
        size = min(-(-_VIEWS // self.count), share) * devices
        rows = mesh.own_rows(size, self._mesh, mesh.EVERYWHERE) if own else slice(None)
        read = mesh.own_part if own else mesh.fetch
        for start in range(0, len(epochs), size):
            ending.stop_if_requested()
            group = list(epochs[start : start + size])
            padded = np.resize(np.asarray(group, np.int32), size)
            with jax.default_matmul_precision("highest"):
                padded = mesh.place(padded, self._mesh, mesh.EVERYWHERE)
                found = _epochs(self._static, codec, self._mesh, padded, *self._shared)
            waiting.append((group[rows], found))
            if len(waiting) > _AHEAD:
                group, found = waiting.popleft()
                yield from self._finished(group, map(read, found))
        for group, found in waiting:
            yield from self._finished(group, map(read, found))

    def _finished(self, group, found):
        positions, labels, finite = found
        # The last group may be padded.
        if not finite[: len(group)].all():
            epoch = group[np.flatnonzero(~finite)[0]]
            raise InputError(
                f"teacher: its logits of the views of epoch {epoch}, seed {self._seed} "
                "are not finite; train it again, with a smaller learning rate"
            )
        return zip(group, self.ids[positions], labels, strict=False)


def sample(epochs: int, each: int, count: int) -> list[int]:
    """Returns epochs, evenly spread, that have at least `count` labels together.

    Args:
      epochs: how many there are; all of them where that is too few.
      each: labels of an epoch.
      count: labels wanted.
    """
    wanted = min(epochs, -(-count // each))
    return np.unique(np.linspace(0, epochs - 1, wanted).astype(int)).tolist()


def write_labels(
    store: LabelStore,
    labeller: Labeller,
    progress: Callable[[int], None] = lambda labels: None,
) -> int:
    """Computes and writes all labels that a store lacks; all processes take part.

    The devices compute epochs while those before them are written.

    Args:
      store: of the labeller's example ids.
      labeller: what computes them.
      progress: called with the number of labels that were written.

    Returns:
      How many views were labelled; those that only fill up a group are not counted.
    """
    missing = mesh.first(lambda: sorted(store.missing()))
    batch, started, writing = [], time.monotonic(), None

    def write(batch):
        epochs, ids, payloads = zip(*batch, strict=True)
        store.write_payload(
            np.repeat(epochs, labeller.count),
            np.concatenate(ids),
            np.concatenate(payloads),
        )
        progress(len(batch) * labeller.count * jax.process_count())

    with ThreadPoolExecutor(1) as writer:
        for labels in labeller.labels(missing, store.codec):
            batch.append(labels)
            if time.monotonic() - started >= _WRITE_SECONDS:
                if writing is not None:
                    writing.result()
                writing = writer.submit(write, batch)
                batch, started = [], time.monotonic()
        if writing is not None:
            writing.result()
        if batch:
            write(batch)
    return len(missing) * labeller.count


def copy_labels(
    source: LabelStore,
    store: LabelStore,
    progress: Callable[[int], None] = lambda labels: None,
) -> None:
    """Writes all labels that a store lacks from another one with finer codec.

    All processes take part.
    """
    missing = store.missing()
    epochs = mesh.first(lambda: sorted(missing))
    for epoch in epochs[jax.process_index() :: jax.process_count()]:
        ids = missing[epoch]
        store.write(epoch, ids, source.read(epoch, ids))
        progress(len(ids) * jax.process_count())
