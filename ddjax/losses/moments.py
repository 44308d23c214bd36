"""Centring and norms that stay precise and differentiable on constant rows."""

import jax
import jax.numpy as jnp


def centred(values: jax.Array, axis: int = -1) -> jax.Array:
    """Values minus their mean over an axis; exactly 0 where they are all equal."""
    # The mean of equal floats can miss them by a rounding, the mean of zeros cannot.
    first = jax.lax.slice_in_dim(values, 0, 1, axis=axis)
    values = values - jax.lax.stop_gradient(first)
    return values - jnp.mean(values, axis=axis, keepdims=True)


def scaled(
    a: jax.Array, b: jax.Array, gap: jax.Array, margin: float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """a / (|a| + margin), b / (|b| + margin) and their difference, [..., D] each.

    Where a and b are close, the difference is taken from gap, which is a - b to more
    digits. Zeros stay zeros.
    """
    length_a, length_b = norm(a), norm(b)
    square = jnp.sum(jnp.square(gap), axis=-1, keepdims=True)
    near = square < length_a * length_b / 4
    both = length_a + length_b
    longer = jnp.sum(gap * (a + b), axis=-1, keepdims=True)
    longer = longer / jnp.where(both > 0, both, 1)
    side_a, side_b = (
        jnp.where(length + margin > 0, length + margin, 1)
        for length in (length_a, length_b)
    )
    scaled_a, scaled_b = a / side_a, b / side_b
    close = (gap - scaled_b * longer) / side_a
    return scaled_a, scaled_b, jnp.where(near, close, scaled_a - scaled_b)


def norm(values: jax.Array, axis: int = -1) -> jax.Array:
    """Euclidean norm over an axis, which stays as 1; 0 has the gradient 0."""
    square = jnp.sum(jnp.square(values), axis=axis, keepdims=True)
    # Twice, because the derivative of the branch not taken would be 0 * inf.
    positive = square > jnp.finfo(square.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
