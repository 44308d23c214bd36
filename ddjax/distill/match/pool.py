"""A pool of networks that are trained online, each for a while, and then drawn anew.

Images that are learned through the pool have networks of all ages before them.

Letters: P networks, B images, C classes.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddjax.distill.match.regression import squared_error
from ddjax.models import Network, Variables


class Online(NamedTuple):
    """Networks in training; in a pool, all leaves have a leading axis P.

    Attributes:
      variables: of the network.
      moments: of Adam.
      updates: [] int32, counted from where the pool lets it start.
    """

    variables: Variables
    moments: Any
    updates: jax.Array


@dataclasses.dataclass(frozen=True)
class OnlinePool:
    """Networks and how they are trained; static and hashable.

    Attributes:
      network: whose weights are drawn.
      size: P.
      limit: a network with more updates than this is drawn anew.
      learning_rate: of Adam.

    Source: yongchao97/FRePo, lib/datadistillation/frepo.py. Their pool starts with
    untrained networks whose counters alone are apart, by limit // P; so does this.
    """

    network: Network
    size: int
    limit: int
    learning_rate: float

    @property
    def _adam(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)

    def begin(self, key: jax.Array) -> Online:
        """Returns a pool of untrained networks.

        Args:
          key: a typed PRNG key.
        """
        pool = jax.vmap(self._drawn)(jax.random.split(key, self.size))
        ages = self.limit // self.size * jnp.arange(self.size, dtype=jnp.int32)
        return pool._replace(updates=ages)

    def at(self, pool: Online, place: jax.Array) -> Online:
        """Returns a network of the pool.

        Args:
          pool: all of them.
          place: [] int32.
        """
        del self
        return jax.tree.map(lambda leaf: leaf[place], pool)

    def advance(
        self,
        pool: Online,
        place: jax.Array,
        key: jax.Array,
        images_BHWK: jax.Array,
        labels_BC: jax.Array,
    ) -> Online:
        """Trains a network of the pool for a step, or draws it anew at its limit.

        Args:
          pool: all of them.
          place: [] int32, of the network.
          key: a typed PRNG key.
          images_BHWK: [B,H,W,K] float32, normalised.
          labels_BC: [B,C] float32, what its logits are to be.

        Returns:
          The pool with that network replaced.
        """
        online = self.at(pool, place)
        changed = jax.lax.cond(
            online.updates > self.limit,
            lambda: self._drawn(key),
            lambda: self._trained(online, images_BHWK, labels_BC),
        )
        return jax.tree.map(lambda all, one: all.at[place].set(one), pool, changed)

    def _drawn(self, key):
        variables = self.network.init(key)
        moments = self._adam.init(variables["params"])
        return Online(variables, moments, jnp.zeros((), jnp.int32))

    def _trained(self, online, images_BHWK, labels_BC):
        def loss_of(params):
            variables = online.variables | {"params": params}
            logits_BC, updated = self.network.apply(variables, images_BHWK, train=True)
            return squared_error(logits_BC, labels_BC), updated

        params = online.variables["params"]
        gradients, updated = jax.grad(loss_of, has_aux=True)(params)
        changes, moments = self._adam.update(gradients, online.moments, params)
        params = optax.apply_updates(params, changes)
        return Online(updated | {"params": params}, moments, online.updates + 1)
