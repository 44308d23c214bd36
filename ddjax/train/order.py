"""In which order a student sees its subset: a pure function of (seed, epoch, id).

Letters: n examples of the subset, L presentations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_ORDER = 0x0D0E


class Order(NamedTuple):
    """A stretch of a student's presentations.

    Attributes:
      positions: [L] int32, which example of the pool.
      partners: [L] int32, which example CutMix pastes in: the one that follows in the
        epoch's permutation (the last one's is the first).
      epochs: [L] int32, the pass over the subset that the presentation belongs to.
    """

    positions: jax.Array
    partners: jax.Array
    epochs: jax.Array


def presentations(
    seed: jax.Array,
    positions_n: jax.Array,
    ids_n: jax.Array,
    first: jax.Array,
    length: int,
) -> Order:
    """Returns presentations first .. first + length - 1 of an endless training.

    Presentation p belongs to epoch p // n; every epoch is a permutation of the subset,
    and a batch may span two epochs, so a student spends exactly steps x batch image
    passes at any subset size. An example's rank in an epoch comes from random bits
    keyed by (seed, epoch, example id): it does not depend on which others are kept.

    Args:
      seed: [] int32.
      positions_n: [n] int32, the subset as positions in the pool.
      ids_n: [n] int32, the stable example ids of the same examples.
      first: [] int32, the first presentation.
      length: L, static.

    Returns:
      The stretch, arrays [L].
    """
    size = positions_n.shape[0]
    epochs = first // size + jnp.arange((length - 1) // size + 2)
    key = jax.random.fold_in(jax.random.key(seed), _ORDER)

    def permutation(epoch):
        epoch_key = jax.random.fold_in(key, epoch)
        bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(epoch_key, i)))
        return jnp.argsort(bits(ids_n))

    ranks = jax.vmap(permutation)(epochs)

    def stretch(table):
        flat = jnp.broadcast_to(table, ranks.shape).reshape(-1)
        return jax.lax.dynamic_slice(flat, (first % size,), (length,))

    return Order(
        stretch(positions_n[ranks]),
        stretch(positions_n[jnp.roll(ranks, -1, axis=1)]),
        stretch(epochs[:, None]).astype(jnp.int32),
    )
