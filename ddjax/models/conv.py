"""Two-dimensional convolution with several lowerings that share their weights.

XLA's convolution is the right instruction on GPU and TPU. On CPU it runs about ten
times slower inside a loop than outside, and `vmap` over weights, which is how a sweep
trains many students, turns it into a slow grouped convolution. Written as shifted
slices of the image and one matrix product it keeps its speed in both places. Where
there are many channels, 3x3 kernels take a quarter of the products, see `conv3x3`.

Letters: B batch, H W image, Y X output image, C input channels, O output channels,
K = size * size * C; of `conv3x3` N images and tiles together, F the 36 frequencies, P
the 36 pixels of a tile, Q its 16 results, K the 9 numbers of a kernel.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LOWERINGS = ("auto", "winograd", "patches", "direct")
# From this many channels on, one product a kernel row beats laying all rows side by
# side; below it the products would be too thin.
_WIDE = 8
# From this many input and output channels on, products saved outweigh transforms.
_VERY_WIDE = 16


def conv(
    images_BHWC: jax.Array,
    kernel_HWCO: jax.Array,
    stride: int,
    padding: int,
    lowering: str = "auto",
) -> jax.Array:
    """Cross-correlates images with a square kernel.

    Args:
      images_BHWC: [B, H, W, C] float.
      kernel_HWCO: [size, size, C, O] float, or [size, size, 1, C] for a kernel a
        channel.
      stride: step in both directions, at least 1.
      padding: rows and columns of zeros added on each of the four sides.
      lowering: "patches" (shifted slices and one matrix product), "winograd" (see
        `conv3x3`; patches where the kernel is not 3x3, the stride not 1 or the numbers
        not float32), "direct" (XLA's convolution) or "auto" (direct but on CPU, where
        it is winograd for many channels, else patches; decided when traced).

    Returns:
      [B, Y, X, O] float, Y = (H + 2 * padding - size) // stride + 1, X likewise.
    """
    size, _, channels, outputs = kernel_HWCO.shape
    depthwise = images_BHWC.shape[-1] != channels
    if lowering == "auto":
        wide = min(channels, outputs) >= _VERY_WIDE
        on_cpu = "winograd" if wide else "patches"
        lowering = on_cpu if jax.default_backend() == "cpu" else "direct"
    if lowering == "direct":
        return _direct(images_BHWC, kernel_HWCO, stride, padding, depthwise)
    if depthwise:
        return _depthwise(images_BHWC, kernel_HWCO, stride, padding)
    exact = images_BHWC.dtype == jnp.float32
    if lowering == "winograd" and size == 3 and stride == 1 and exact:
        return conv3x3(images_BHWC, kernel_HWCO, padding)
    return _patches(images_BHWC, kernel_HWCO, stride, padding, images_BHWC.shape[1:3])


def _direct(images_BHWC, kernel_HWCO, stride, padding, depthwise):
    return lax.conv_general_dilated(
        images_BHWC,
        kernel_HWCO,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=images_BHWC.shape[-1] if depthwise else 1,
    )


# As with `_patches` below, the gradient is written as sums of shifted images too. It
# and the forward rule call `_depthwise_sum`: a rule that called a `custom_vjp` function
# could not be differentiated in forward mode.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(images_BHWC, kernel_HW1C, stride, padding):
    return _depthwise_sum(images_BHWC, kernel_HW1C, stride, padding)


def _depthwise_sum(images_BHWC, kernel_HW1C, stride, padding):
    sides = (padding, padding, 0)
    padded = lax.pad(images_BHWC, _zero(images_BHWC), (_NONE, sides, sides, _NONE))
    return sum(
        shifted * kernel_HW1C[i, j].reshape(1, 1, 1, -1)
        for (i, j), shifted in _taps(padded, len(kernel_HW1C), stride)
    )


def _depthwise_forward(images_BHWC, kernel_HW1C, stride, padding):
    result = _depthwise_sum(images_BHWC, kernel_HW1C, stride, padding)
    return result, (images_BHWC, kernel_HW1C)


def _depthwise_backward(stride, padding, residuals, grad_BYXC):
    images_BHWC, kernel_HW1C = residuals
    size = len(kernel_HW1C)
    # With zeros between them, gradients at a stride are those at stride 1.
    low = size - 1 - padding
    sides = [
        (low, low + (n + 2 * padding - size) % stride, stride - 1)
        for n in images_BHWC.shape[1:3]
    ]
    spread = lax.pad(grad_BYXC, _zero(grad_BYXC), (_NONE, *sides, _NONE))
    images_grad = _depthwise_sum(spread, kernel_HW1C[::-1, ::-1], 1, 0)
    sides = (padding, padding, 0)
    padded = lax.pad(images_BHWC, _zero(images_BHWC), (_NONE, sides, sides, _NONE))

    # Image by image: what all places of the kernel read then stays in the cache.
    def add(sums, image):
        padded_HWC, grad_YXC = image
        products = [
            (shifted * grad_YXC[None]).sum((0, 1, 2))
            for _, shifted in _taps(padded_HWC[None], size, stride)
        ]
        return sums + jnp.stack(products).reshape(sums.shape), None

    zeros = jnp.zeros_like(kernel_HW1C)
    kernel_grad, _ = lax.scan(add, zeros, (padded, grad_BYXC))
    return images_grad, kernel_grad


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _taps(padded_BHWC, size, stride):
    """Yields (row, column) of a kernel and the images that it is multiplied with."""
    for i, row in enumerate(_shifts(padded_BHWC, size, stride, axis=1)):
        for j, shifted in enumerate(_shifts(row, size, stride, axis=2)):
            yield (i, j), shifted


def _lines(images_BHWC, width, stride, rows, columns):
    """Pads, and puts the columns under the kernel side by side, K = width * C.

    Rows and columns are padded by (before, after); a negative number crops.
    """
    sides = (_NONE, (*rows, 0), (*columns, 0), _NONE)
    padded_BHWC = lax.pad(images_BHWC, _zero(images_BHWC), sides)
    return jnp.concatenate(_shifts(padded_BHWC, width, stride, axis=2), axis=-1)


def _product(lines_BHYK, kernel_HWCO, stride):
    """Sums the products of the kernel's rows with the lines under them."""
    height, width, channels, outputs = kernel_HWCO.shape
    rows = _shifts(lines_BHYK, height, stride, axis=1)
    kernel_HKO = kernel_HWCO.reshape(height, width * channels, outputs)
    if channels < _WIDE:
        rows = [jnp.concatenate(rows, axis=-1)]
        kernel_HKO = kernel_HKO.reshape(1, -1, outputs)
    products = (
        row.reshape(-1, row.shape[-1]) @ kernel_KO
        for row, kernel_KO in zip(rows, kernel_HKO, strict=True)
    )
    return sum(products).reshape(*rows[0].shape[:3], outputs)


# Left to itself, the gradient of a slice is a padded copy a shift and a sum over all of
# them, which costs more than the products. `_images_grad` is convolutions instead.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _patches(images_BHWC, kernel_HWCO, stride, padding, sides):
    """`sides` are the height and width of the images, which the gradient needs."""
    return _patches_forward(images_BHWC, kernel_HWCO, stride, padding, sides)[0]


def _patches_forward(images_BHWC, kernel_HWCO, stride, padding, sides):
    del sides
    pads = (padding, padding)
    lines_BHYK = _lines(images_BHWC, len(kernel_HWCO), stride, pads, pads)
    return _product(lines_BHYK, kernel_HWCO, stride), (lines_BHYK, kernel_HWCO)


def _patches_backward(stride, padding, sides, residuals, grad_BYXO):
    lines_BHYK, kernel_HWCO = residuals
    rows = _shifts(lines_BHYK, len(kernel_HWCO), stride, axis=1)
    grad = grad_BYXO.reshape(-1, grad_BYXO.shape[-1])
    kernel_grad = [row.reshape(-1, row.shape[-1]).T @ grad for row in rows]
    images_grad = _images_grad(grad_BYXO, kernel_HWCO, stride, padding, sides)
    return images_grad, jnp.stack(kernel_grad).reshape(kernel_HWCO.shape)


_patches.defvjp(_patches_forward, _patches_backward)


def _images_grad(grad_BYXO, kernel_HWCO, stride, padding, sides):
    """Returns the gradient with respect to images [B, H, W, C] of `sides` (H, W).

    Pixels whose row and column leave the same remainders when divided by the stride
    meet the same part of the kernel, so each such part is a convolution at stride 1.
    """
    height, width = (-(-side // stride) for side in sides)

    def part(remainder, length, outputs):
        """Where the part starts in the kernel, and how far to pad the gradient."""
        first, start = divmod(remainder + padding, stride)
        taps = len(range(start, len(kernel_HWCO), stride))
        return start, (taps - 1 - first, first + length - outputs)

    def convolve(i, j):
        top, rows = part(i, height, grad_BYXO.shape[1])
        left, columns = part(j, width, grad_BYXO.shape[2])
        turned = kernel_HWCO[top::stride, left::stride][::-1, ::-1].swapaxes(2, 3)
        if turned.size == 0:  # a kernel smaller than the stride skips these pixels
            shape = (len(grad_BYXO), height, width, turned.shape[3])
            return jnp.zeros(shape, grad_BYXO.dtype)
        return _product(_lines(grad_BYXO, turned.shape[1], 1, rows, columns), turned, 1)

    if stride == 1:
        return convolve(0, 0)
    rows = [
        jnp.stack([convolve(i, j) for j in range(stride)], axis=3)
        for i in range(stride)
    ]
    whole_BHiWjC = jnp.stack(rows, axis=2)
    shape = (len(grad_BYXO), height * stride, width * stride, -1)
    return whole_BHiWjC.reshape(shape)[:, : sides[0], : sides[1]]


_NONE = (0, 0, 0)  # no padding along an axis


def _zero(array):
    return jnp.zeros((), array.dtype)


def _shifts(images_BHWC, size, stride, axis):
    """Returns the `size` copies of images that are shifted along an axis."""
    last = images_BHWC.shape[axis] - size
    return [
        lax.slice_in_dim(images_BHWC, i, i + last + 1, stride, axis)
        for i in range(size)
    ]


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
    """Cross-correlates images with a 3x3 kernel at stride 1, by Winograd's F(4x4, 3x3).

    Tiles of 6x6 pixels that overlap by 2 and the kernels are transformed, multiplied
    frequency by frequency, and transformed back to 4x4 pixels. A tile costs 36 products
    a pair of channels where the sum over the kernel costs 144. The transforms are
    products with constant matrices too, so that nothing but matrix products and copies
    is left, which run well on a CPU, in loops and under `vmap`. Rounding is that of
    float32 times ten or so: about 1e-5 of the largest result.

    Args:
      images_BHWC: [B, H, W, C] float32.
      kernel_HWCO: [3, 3, C, O] float32.
      padding: rows and columns of zeros added on each side.

    Returns:
      [B, H + 2 * padding - 2, W + 2 * padding - 2, O] float32.

    Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks"
    (arXiv 1509.09308), interpolation points 0, 1, -1, 2, -2.
    """
    return _winograd(images_BHWC, kernel_HWCO, padding)[0]


def _winograd(images_BHWC, kernel_HWCO, padding):
    batch, height, width, channels = images_BHWC.shape
    rows, columns = height + 2 * padding - 2, width + 2 * padding - 2
    down, across = -(-rows // _STEP), -(-columns // _STEP)
    outputs = kernel_HWCO.shape[3]

    last = [_STEP * n + 2 - padding for n in (down, across)]
    sides = (padding, last[0] - height, 0), (padding, last[1] - width, 0)
    padded = lax.pad(images_BHWC, _zero(images_BHWC), ((0, 0, 0), *sides, (0, 0, 0)))
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


def _winograd_backward(padding, residuals, grad_BYXO):
    image_FNC, kernel_HWCO, height, width = residuals
    _, _, channels, outputs = kernel_HWCO.shape
    batch, rows, columns, _ = grad_BYXO.shape
    down, across = -(-rows // _STEP), -(-columns // _STEP)

    sides = (0, _STEP * down - rows, 0), (0, _STEP * across - columns, 0)
    grad = lax.pad(grad_BYXO, _zero(grad_BYXO), ((0, 0, 0), *sides, (0, 0, 0)))
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

    def placed(first, stop, front):
        part = lax.slice_in_dim(tiles, first, stop, 1, pixel)
        sides = [(0, 0, 0)] * tiles.ndim
        sides[pixel] = (0, _STEP - (stop - first), 0)
        sides[tile] = (front, 1 - front, 0)
        return lax.pad(part, _zero(tiles), sides)

    return placed(0, _STEP, 0) + placed(_STEP, _TILE, 1)


conv3x3.defvjp(_winograd, _winograd_backward)
