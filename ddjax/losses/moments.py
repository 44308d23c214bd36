"""Centring and norms that stay precise and differentiable on constant rows."""

import jax
import jax.numpy as jnp


def centred(values: jax.Array) -> jax.Array:
    """Values [..., D] minus their mean over D; exactly 0 where they are all equal."""
    # The mean of equal floats can miss them by a rounding, the mean of zeros cannot.
    values = values - jax.lax.stop_gradient(values[..., :1])
    return values - jnp.mean(values, axis=-1, keepdims=True)


def norm(values: jax.Array) -> jax.Array:
    """Euclidean norm [..., 1] of [..., D]; 0 has the gradient 0."""
    square = jnp.sum(jnp.square(values), axis=-1, keepdims=True)
    # Twice, because the derivative of the branch not taken would be 0 * inf.
    positive = square > jnp.finfo(square.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
