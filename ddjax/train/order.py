"""The order of a student's presentations, a pure function of (seed, epoch, id).

Letters: n examples of the subset, L presentations, P epochs of a pool of views.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddjax import keys
from ddjax.train.supervision import Supervision

_ORDER = 0x0D0E


class Order(NamedTuple):
    """A stretch of a student's presentations.

    Attributes:
      positions: [L] int32, which example of the pool.
      partners: [L] int32, which example CutMix pastes in: the one that follows in the
        view's epoch's permutation (the last one's is the first).
      epochs: [L] int32, the epoch of the view: the pass over the subset that the
        presentation belongs to, or one of a pool of views.
      passes: [L] int32, the pass over the subset.
    """

    positions: jax.Array
    partners: jax.Array
    epochs: jax.Array
    passes: jax.Array


def presentations(
    seed: jax.Array,
    positions_n: jax.Array,
    ids_n: jax.Array,
    first: jax.Array,
    length: int,
    supervision: Supervision | None = None,
) -> Order:
    """Returns presentations first .. first + length - 1 of an endless training.

    Presentation p belongs to pass p // n; every pass is a permutation of the subset,
    and a batch may span two passes, so a student spends exactly steps x batch image
    passes at any subset size. An example's rank in an epoch comes from random bits
    keyed by (seed, epoch, example id): it does not depend on which others are kept.

    Args:
      seed: [] int32.
      positions_n: [n] int32, the subset as positions in the pool.
      ids_n: [n] int32, the stable example ids of the same examples.
      first: [] int32, the first presentation.
      length: L, static.
      supervision: which epochs' views are used; None: every pass has its own.

    Returns:
      The stretch, arrays [L].
    """
    supervision = supervision or Supervision()
    size = positions_n.shape[0]
    passes = first // size + jnp.arange((length - 1) // size + 2)
    key = jax.random.fold_in(keys.key(seed), _ORDER)

    def permutations(epochs):
        # Drawn in one dimension, which compiles several times faster than in two.
        epoch_keys = jax.vmap(lambda epoch: jax.random.fold_in(key, epoch))(epochs)
        draw = jax.vmap(lambda key, i: jax.random.bits(jax.random.fold_in(key, i)))
        bits = draw(jnp.repeat(epoch_keys, size), jnp.tile(ids_n, len(epochs)))
        return jnp.argsort(bits.reshape(-1, size), axis=1)

    own = supervision.pool > 0 and supervision.by_label
    epochs = passes if own else supervision.view_epochs(seed, passes)
    ranks = permutations(epochs)

    def stretch(table):
        flat = jnp.broadcast_to(table, ranks.shape).reshape(-1)
        return jax.lax.dynamic_slice(flat, (first % size,), (length,))

    order = Order(
        stretch(positions_n[ranks]),
        stretch(positions_n[jnp.roll(ranks, -1, axis=1)]),
        stretch(epochs[:, None]).astype(jnp.int32),
        stretch(passes[:, None]).astype(jnp.int32),
    )
    if not own:
        return order
    # Each example's view comes from an epoch of its own, with that epoch's partner.
    rows = stretch(ranks)
    drawn = supervision.label_epochs(seed, order.passes, ids_n[rows])
    pool_ranks = permutations(jnp.arange(supervision.pool))
    followers = (
        jnp.zeros_like(pool_ranks)
        .at[jnp.arange(supervision.pool)[:, None], pool_ranks]
        .set(jnp.roll(pool_ranks, -1, axis=1))
    )
    pooled = drawn < supervision.pool
    partner = followers[jnp.where(pooled, drawn, 0), rows]
    partners = jnp.where(pooled, positions_n[partner], order.partners)
    return Order(order.positions, partners, drawn, order.passes)
