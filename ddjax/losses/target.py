"""One class against the rest: the two halves that DKD and NKD weigh apart."""

import jax
import jax.numpy as jnp

from ddjax.losses.checks import classes_or_probabilities


def target_class(labels: jax.Array, logits: jax.Array) -> jax.Array:
    """[...] integer: the classes themselves, or the most probable (the first of ties).

    Raises:
      InputError: the labels' dtype or shape does not fit logits [..., C].
    """
    labels, classes = classes_or_probabilities(labels, logits)
    return labels if classes else jnp.argmax(labels, axis=-1)


def split(logits: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The target's logit [..., 1] and the others' logits [..., C-1], in order."""
    own = jnp.take_along_axis(logits, target[..., None], axis=-1)
    left, right = logits[..., :-1], logits[..., 1:]
    position = jax.lax.broadcasted_iota(jnp.int32, left.shape, left.ndim - 1)
    return own, jnp.where(position < target[..., None], left, right)


def log_odds(own: jax.Array, others: jax.Array) -> jax.Array:
    """log(p / (1 - p)) [...] of the target, where p is its softmax probability.

    The differences come first: a shift that all logits share cancels exactly, and
    neither p nor 1 - p is formed, so both logarithms stay finite and precise.
    """
    return -jax.nn.logsumexp(others - own, axis=-1)
