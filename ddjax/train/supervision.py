"""When students train on teacher labels and when on classes, and of which views.

Letters: L presentations.
"""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax import keys

_POOL = 0x9001


@dataclasses.dataclass(frozen=True)
class Supervision:
    """A label schedule and the views that have teacher labels; static and hashable.

    Attributes:
      schedule: "constant", every epoch is soft (or hard, by the objective);
        "mix", every epoch is soft plus `hard_weight` times hard; "hald", soft - hard -
        soft; "soft_hard", "hard_soft"; "alternate", the soft epochs spread evenly.
      epochs: of the training, over the subset.
      soft_epochs: how many of them are soft under a schedule with stages.
      hard_weight: of "mix".
      pool: views of soft epochs come from the first `pool` epochs, drawn with
        replacement; 0: every epoch has its own.
      by_label: whether each label is drawn from the pool by itself instead of an
        epoch as a whole.

    Source: HALD (arXiv 2512.15647) for "hald": floor(soft / 2) soft epochs, all hard
      ones, the rest of the soft ones; soft only where `soft_epochs` are all. LPLD for
      the pool, whose batches become epochs here: a view is known by (epoch, id).
    """

    schedule: str = "constant"
    epochs: int = 0
    soft_epochs: int = 0
    hard_weight: float = 0.0
    pool: int = 0
    by_label: bool = False

    @property
    def mixes(self) -> bool:
        """Whether a training has hard and soft losses."""
        return self.schedule != "constant"

    def is_soft(self, epochs: jax.Array) -> jax.Array:
        """Returns which epochs have teacher labels; int32 -> bool, any shape."""
        if self.schedule in ("constant", "mix") or self.soft_epochs >= self.epochs:
            return jnp.ones(epochs.shape, bool)
        soft, hard = self.soft_epochs, self.epochs - self.soft_epochs
        if self.schedule == "hald":
            return (epochs < soft // 2) | (epochs >= soft // 2 + hard)
        if self.schedule == "soft_hard":
            return epochs < soft
        if self.schedule == "hard_soft":
            return epochs >= hard
        return (epochs + 1) * soft // self.epochs > epochs * soft // self.epochs

    def weights(self, epochs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the weights of the soft and of the hard loss, float32."""
        if self.schedule == "mix":
            return jnp.ones(epochs.shape), jnp.full(epochs.shape, self.hard_weight)
        soft = self.is_soft(epochs).astype(jnp.float32)
        return soft, 1.0 - soft

    def view_epochs(self, seed: jax.Array, epochs: jax.Array) -> jax.Array:
        """Returns the epoch whose order and views each epoch takes; any shape.

        A hard epoch takes views that no soft epoch of the pool takes.
        """
        if not self.pool:
            return epochs
        return jnp.where(
            self.is_soft(epochs), self._drawn(seed, epochs), self.pool + epochs
        )

    def label_epochs(
        self, seed: jax.Array, epochs: jax.Array, ids: jax.Array
    ) -> jax.Array:
        """Returns the epoch whose view each presentation takes, arrays [L].

        Args:
          seed: [] int32.
          epochs: [L] int32, of the training.
          ids: [L] int32, example ids.
        """
        drawn = jax.vmap(lambda epoch, i: self._drawn(seed, epoch, i))(epochs, ids)
        return jnp.where(self.is_soft(epochs), drawn, self.pool + epochs)

    def _drawn(self, seed: jax.Array, *numbers: jax.Array) -> jax.Array:
        """A number in 0 .. pool-1, a pure function of the seed and the numbers."""

        def one(*numbers):
            key = jax.random.fold_in(keys.key(seed), _POOL)
            for number in numbers:
                key = jax.random.fold_in(key, number)
            return jax.random.randint(key, (), 0, self.pool, jnp.int32)

        for _ in range(numbers[0].ndim):
            one = jax.vmap(one)
        return one(*numbers)
