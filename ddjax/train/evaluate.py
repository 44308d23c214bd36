"""Networks evaluated on many images, in constant memory.

Letters: N images, B batch, C classes.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from ddjax import losses, mesh
from ddjax.models import Network
from ddjax.process import ending
from ddjax.train.batches import normalise

BATCH = 128
_ON_A_DEVICE = 1024  # images, at most, of a device in one call


def represent(
    network: Network,
    variables: Any,
    images: Any,
    mean: np.ndarray,
    std: np.ndarray,
    layer: str | None = None,
) -> tuple[np.ndarray, ...]:
    """Returns logits [N,C] and, with a layer, features [N,D] of un-augmented images.

    At the highest matrix precision, so that they do not depend on an accelerator's fast
    path; blocks of images are spread over all devices.

    Args:
      network: the network.
      variables: its variables.
      images: [N,H,W,K] uint8, an array or a stream.
      mean, std: [K] float32.
      layer: see `Network.features`; None: no features.
    """
    return over_blocks(_Representation(network, layer), images, variables, mean, std)


@dataclasses.dataclass(frozen=True)
class _Representation:
    """Logits and features of a batch; equal ones share an executable."""

    network: Network
    layer: str | None

    def __call__(self, images, variables, mean, std):
        shown = normalise(images, mean, std)
        logits, _ = self.network.apply(variables, shown)
        if self.layer is None:
            return (logits,)
        return logits, self.network.features(variables, shown, self.layer)


def over_blocks(function: Callable, images: Any, *shared: Any) -> Any:
    """Maps (images [B,...], *shared) -> pytree of [B,...] over many images.

    Args:
      function: hashable; what compares equal is compiled once.
      images: [N,...], an array or a stream.
      *shared: pytrees of arrays.

    Returns:
      NumPy arrays [N,...] in every process.
    """
    onto, total = mesh.grid(1), len(images)
    calls = -(-total // (_ON_A_DEVICE * onto.size))
    each = -(-total // (calls * onto.size))
    size = onto.size * (each + -each % min(BATCH, each))
    shared = mesh.place(shared, onto)
    own, found = mesh.own_rows(size, onto, mesh.EVERYWHERE), []
    for first, block in blocks(size, own, images):
        ending.stop_if_requested()
        placed = [mesh.place_own(a, onto, mesh.EVERYWHERE) for a in block]
        with jax.default_matmul_precision("highest"):
            results = mesh.fetch(_spread(function, onto, *placed, *shared))
        found.append(jax.tree.map(lambda a, n=total - first: a[:n], results))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)


def blocks(
    size: int, own: slice, *arrays: Any
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Yields (first, rows of arrays) of blocks of a size, the next one read ahead.

    The last block is filled up with the last row.

    Args:
      size: rows of a block.
      own: which of them are wanted.
      *arrays: [N,...], arrays or streams.
    """
    total = len(arrays[0])

    def read(first):
        rows = np.minimum(np.arange(first, first + size)[own], total - 1)
        return tuple(array[rows] for array in arrays)

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for first in range(0, total, size):
            block = ahead.result()
            if first + size < total:
                ahead = reader.submit(read, first + size)
            yield first, block


@functools.partial(jax.jit, static_argnums=(0, 1))
def _spread(function, onto, images, *shared):
    """`function` of [B,...] images, each device's share in batches."""

    def device(images, *shared):
        count = images.shape[0]
        size = min(BATCH, count)
        batches = images.reshape(-1, size, *images.shape[1:])
        results = jax.lax.map(lambda batch: function(batch, *shared), batches)
        return jax.tree.map(lambda a: a.reshape(count, *a.shape[2:]), results)

    same = (PartitionSpec(),) * len(shared)
    return jax.shard_map(
        device,
        mesh=onto,
        in_specs=(mesh.EVERYWHERE, *same),
        out_specs=mesh.EVERYWHERE,
        check_vma=False,
    )(images, *shared)


@jax.jit
def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns top-1 accuracy in percent; NaN where a logit is not finite.

    Args:
      logits: [N,C] float.
      labels: [N] int.
    """
    correct = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
    return jnp.where(jnp.isfinite(logits).all(), 100.0 * correct, jnp.nan)


def correct_and_loss(
    network: Network, variables: Any, images: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
    """Returns the cross-entropy of images and whether they are right, [B] each.

    Args:
      network: the network.
      variables: its variables.
      images: [B,H,W,K] float32, normalised.
      labels: [B] int32.
    """
    logits, _ = network.apply(variables, images)
    return {
        "loss": losses.cross_entropy(logits, labels),
        "correct": jnp.argmax(logits, axis=-1) == labels,
    }
