"""3x3 convolution of stride 1 with a quarter of the products: Winograd's F(4x4, 3x3).

Tiles of 6x6 pixels that overlap by 2 and the kernels are transformed, multiplied
frequency by frequency, and transformed back to 4x4 pixels. A tile costs 36 products a
pair of channels where the sum over the kernel costs 144. The transforms are products
with constant matrices too, so that nothing but matrix products and copies is left,
which run well on a CPU, in loops and under `vmap`.

Rounding is that of float32 times ten or so: about 1e-5 of the largest result.

Letters: B batch, H W image, C input channels, O output channels, T U tiles down and
across, F the 36 frequencies, P the 36 pixels of a tile, Q its 16 results, K the 9
numbers of a kernel.

Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
(arXiv 1509.09308), interpolation points 0, 1, -1, 2, -2.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TILE, _STEP = 6, 4
_IMAGE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array(
    [
        [6, 0, 0],
        [-4, -4, -4],
        [-4, 4, -4],
        [1, 2, 4],
        [1, -2, 4],
        [0, 0, 24],
    ]
)
_RESULT = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)
# Both axes at once.
_IMAGE_FP = np.kron(_IMAGE, _IMAGE).astype(np.float32)
_KERNEL_FK = (np.kron(_KERNEL, _KERNEL) / 24**2).astype(np.float32)
_RESULT_QF = np.kron(_RESULT, _RESULT).astype(np.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv3x3(images_BHWC: jax.Array, kernel_HWCO: jax.Array, padding: int) -> jax.Array:
    """Cross-correlates images with a 3x3 kernel at stride 1.

    Args:
      images_BHWC: [B, H, W, C] float32.
      kernel_HWCO: [3, 3, C, O] float32.
      padding: rows and columns of zeros added on each side.

    Returns:
      [B, H + 2 * padding - 2, W + 2 * padding - 2, O] float32.
    """
    return _forward(images_BHWC, kernel_HWCO, padding)[0]


def _forward(images_BHWC, kernel_HWCO, padding):
    batch, height, width, channels = images_BHWC.shape
    rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
    down, across = -(-rows // _STEP), -(-columns // _STEP)
    outputs = kernel_HWCO.shape[3]

    last = [_STEP * n + 2 - padding for n in (down, across)]
    sides = (padding, last[0] - height, 0), (padding, last[1] - width, 0)
    zero = jnp.zeros((), images_BHWC.dtype)
    padded = lax.pad(images_BHWC, zero, ((0, 0, 0), *sides, (0, 0, 0)))
    tiles = _every_fourth(_every_fourth(padded, down, 1), across, 3)
    image_FNC = (_IMAGE_FP @ tiles.reshape(36, -1)).reshape(36, -1, channels)
    kernel_FCO = _of_kernel(kernel_HWCO)
    product_FNO = jnp.einsum("fnc,fco->fno", image_FNC, kernel_FCO)
    result = (_RESULT_QF @ product_FNO.reshape(36, -1)).reshape(
        _STEP, _STEP, batch, down, across, outputs
    )
    result = result.transpose(2, 3, 1, 4, 0, 5)
    result = result.reshape(batch, _STEP * down, _STEP * across, outputs)
    return result[:, :rows, :columns], (image_FNC, kernel_HWCO, height, width)


def _every_fourth(x, count, axis):
    """Puts the 6 rows of `count` overlapping tiles in front."""
    return jnp.stack(
        [
            lax.slice_in_dim(x, i, i + _STEP * (count - 1) + 1, _STEP, axis)
            for i in range(_TILE)
        ]
    )


def _of_kernel(kernel_HWCO):
    """The kernel's frequencies; like those of tiles, across is the outer axis."""
    _, _, channels, outputs = kernel_HWCO.shape
    flat_KN = kernel_HWCO.swapaxes(0, 1).reshape(9, -1)
    return (_KERNEL_FK @ flat_KN).reshape(36, channels, outputs)


def _backward(padding, residuals, grad_BYXO):
    image_FNC, kernel_HWCO, height, width = residuals
    _, _, channels, outputs = kernel_HWCO.shape
    batch, rows, columns, _ = grad_BYXO.shape
    down, across = -(-rows // _STEP), -(-columns // _STEP)

    zero = jnp.zeros((), grad_BYXO.dtype)
    sides = (0, _STEP * down - rows, 0), (0, _STEP * across - columns, 0)
    grad = lax.pad(grad_BYXO, zero, ((0, 0, 0), *sides, (0, 0, 0)))
    grad = grad.reshape(batch, down, _STEP, across, _STEP, outputs)
    grad_QN = grad.transpose(4, 2, 0, 1, 3, 5).reshape(16, -1)
    grad_FNO = (_RESULT_QF.T @ grad_QN).reshape(36, -1, outputs)

    kernel_FCO = jnp.einsum("fnc,fno->fco", image_FNC, grad_FNO)
    kernel_grad = _KERNEL_FK.T @ kernel_FCO.reshape(36, -1)
    kernel_grad = kernel_grad.reshape(3, 3, channels, outputs).swapaxes(0, 1)

    tiles_FNC = jnp.einsum("fno,fco->fnc", grad_FNO, _of_kernel(kernel_HWCO))
    tiles = (_IMAGE_FP.T @ tiles_FNC.reshape(36, -1)).reshape(
        _TILE, _TILE, batch, down, across, channels
    )
    image = _overlapped(_overlapped(tiles, 0, 4), 1, 3)
    image = image.transpose(2, 3, 1, 4, 0, 5).reshape(
        batch, _STEP * (down + 1), _STEP * (across + 1), channels
    )
    return image[:, padding : padding + height, padding : padding + width], kernel_grad


def _overlapped(tiles, pixel, tile):
    """Adds what overlaps: a tile's last 2 pixels are the first 2 of the next tile.

    Args:
      tiles: an array with an axis of 6 pixels and one of n tiles.
      pixel, tile: these axes.

    Returns:
      The array with 4 pixels and n + 1 tiles.
    """
    zero = jnp.zeros((), tiles.dtype)

    def placed(first, stop, front):
        part = lax.slice_in_dim(tiles, first, stop, 1, pixel)
        sides = [(0, 0, 0)] * tiles.ndim
        sides[pixel] = (0, _STEP - (stop - first), 0)
        sides[tile] = (front, 1 - front, 0)
        return lax.pad(part, zero, sides)

    return placed(0, _STEP, 0) + placed(_STEP, _TILE, 1)


conv3x3.defvjp(_forward, _backward)
