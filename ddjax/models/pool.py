"""Pooling of images, as PyTorch does it.

Letters: B batch, H W image, C channels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


@jax.custom_vjp
def average_pool(x_BHWC: jax.Array) -> jax.Array:
    """Averages windows of 2x2, dropping an odd last row or column.

    Args:
      x_BHWC: [B, H, W, C] float, H and W at least 2.

    Returns:
      [B, H // 2, W // 2, C] float.
    """
    # Four slices, and one broadcast as gradient: on CPU faster than a window reduction.
    _, height, width, _ = x_BHWC.shape
    x = x_BHWC[:, : height // 2 * 2, : width // 2 * 2]
    top, bottom = x[:, ::2], x[:, 1::2]
    return 0.25 * (
        (top[:, :, ::2] + top[:, :, 1::2]) + (bottom[:, :, ::2] + bottom[:, :, 1::2])
    )


def _pool_forward(x_BHWC):
    return average_pool(x_BHWC), jnp.zeros((0, *x_BHWC.shape[1:3]))


def _pool_backward(empty_0HW, grad_BHWC):
    batch, height, width, channels = grad_BHWC.shape
    spread = (batch, height, 2, width, 2, channels)
    grad = jnp.broadcast_to(0.25 * grad_BHWC[:, :, None, :, None], spread)
    grad = grad.reshape(batch, 2 * height, 2 * width, channels)
    _, rows, columns = empty_0HW.shape
    odd = (0, rows - 2 * height), (0, columns - 2 * width)
    return (jnp.pad(grad, ((0, 0), *odd, (0, 0))),)


average_pool.defvjp(_pool_forward, _pool_backward)


def max_pool(x_BHWC: jax.Array, size: int, stride: int, padding: int = 0) -> jax.Array:
    """Returns the largest number of each window.

    Args:
      x_BHWC: [B, H, W, C] float.
      size: height and width of the window.
      stride: step in both directions.
      padding: rows and columns added on each side, never chosen; at most size // 2.

    Returns:
      [B, Y, X, C] float, Y = (H + 2 * padding - size) // stride + 1, X likewise.
    """
    sides = (padding, padding)
    return nn.max_pool(x_BHWC, (size, size), (stride, stride), (sides, sides))


def adaptive_average_pool(x_BHWC: jax.Array, side: int) -> jax.Array:
    """Averages windows so that `side` by `side` are left, whatever the size before.

    Args:
      x_BHWC: [B, H, W, C] float.
      side: height and width of the result; larger than H or W repeats.

    Returns:
      [B, side, side, C] float. Window i covers floor(i H / side) to
      ceil((i + 1) H / side), as in `torch.nn.AdaptiveAvgPool2d`.
    """
    weights = [_windows(n, side).astype(x_BHWC.dtype) for n in x_BHWC.shape[1:3]]
    return jnp.einsum("bhwc,yh,xw->byxc", x_BHWC, *weights)


def _windows(length, side):
    """The weights [side, length] of the averages along an axis."""
    place, i = jnp.arange(length)[None], jnp.arange(side)[:, None]
    inside = (place >= i * length // side) & (place < -(-(i + 1) * length // side))
    return inside / inside.sum(1, keepdims=True)
