"""Two-dimensional convolution with several lowerings that share their weights.

XLA's convolution is the right instruction on GPU and TPU. On CPU it runs about ten
times slower inside a loop than outside, and `vmap` over weights, which is how a sweep
trains many students, turns it into a slow grouped convolution. Written as shifted
slices of the image and one matrix product it keeps its speed in both places. Where
there are many channels, 3x3 kernels take a quarter of the products, see `winograd`.

Letters: B batch, H W image, Y X output image, C input channels, O output channels,
K = size * size * C.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ddjax.models import initializers
from ddjax.models.winograd import conv3x3

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
        there; patches where the kernel is not 3x3, the stride not 1 or the numbers
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


# As with `_patches` below, the gradient is written as sums of shifted images too.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(images_BHWC, kernel_HW1C, stride, padding):
    sides = (padding, padding, 0)
    padded = lax.pad(images_BHWC, _zero(images_BHWC), (_NONE, sides, sides, _NONE))
    return sum(
        shifted * kernel_HW1C[i, j].reshape(1, 1, 1, -1)
        for (i, j), shifted in _taps(padded, len(kernel_HW1C), stride)
    )


def _depthwise_forward(images_BHWC, kernel_HW1C, stride, padding):
    result = _depthwise(images_BHWC, kernel_HW1C, stride, padding)
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
    images_grad = _depthwise(spread, kernel_HW1C[::-1, ::-1], 1, 0)
    sides = (padding, padding, 0)
    padded = lax.pad(images_BHWC, _zero(images_BHWC), (_NONE, sides, sides, _NONE))

    # Image by image: what all places of the kernel look at then stays in the cache.
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


class Conv(nn.Module):
    """A convolution layer; its kernel is stored as [size, size, C, O].

    Attributes:
      features: output channels.
      size: height and width of the kernel.
      stride: step in both directions.
      padding: zeros added on each side; None: half the kernel, which keeps the size of
        the image at stride 1.
      use_bias: adds one learned number per output channel.
      depthwise: each channel has a kernel of its own, stored as [size, size, 1, O];
        `features` equals the channels.
      dtype: in which it computes, "float32" or "bfloat16".
      lowering: see `conv`; the parameters do not depend on it.
      kernel_init, bias_init: initialisers; a bias of None is PyTorch's default.
    """

    features: int
    size: int = 3
    stride: int = 1
    padding: int | None = None
    use_bias: bool = True
    depthwise: bool = False
    dtype: str = "float32"
    lowering: str = "auto"
    kernel_init: nn.initializers.Initializer = initializers.torch_kernel
    bias_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, images_BHWC: jax.Array) -> jax.Array:
        channels = 1 if self.depthwise else images_BHWC.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        result = conv(
            images_BHWC.astype(self.dtype),
            kernel.astype(self.dtype),
            self.stride,
            self.size // 2 if self.padding is None else self.padding,
            self.lowering,
        )
        if self.use_bias:
            fan_in = self.size * self.size * channels
            bias_init = self.bias_init or initializers.torch_bias(fan_in)
            bias = self.param("bias", bias_init, (self.features,))
            result += bias.reshape(1, 1, 1, -1).astype(self.dtype)
        return result
