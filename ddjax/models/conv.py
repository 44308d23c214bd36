"""Two-dimensional convolution with two lowerings that share their weights.

XLA's convolution is the right instruction on GPU and TPU. On CPU it runs about ten
times slower inside a loop than outside, and `vmap` over weights, which is how a sweep
trains many students, turns it into a slow grouped convolution. Written as shifted
slices of the image and one matrix product it keeps its speed in both places.

Letters: B batch, H W image, Y X output image, C input channels, O output channels,
K = size * size * C.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ddjax.models import initializers

LOWERINGS = ("auto", "patches", "direct")
# From this many channels on, one product a kernel row beats laying all rows side by
# side; below it the products would be too thin.
_WIDE = 8


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
      kernel_HWCO: [size, size, C, O] float.
      stride: step in both directions, at least 1.
      padding: rows and columns of zeros added on each of the four sides.
      lowering: "patches" (shifted slices and one matrix product), "direct" (XLA's
        convolution) or "auto" (patches on CPU, direct elsewhere, decided when traced).

    Returns:
      [B, Y, X, O] float, Y = (H + 2 * padding - size) // stride + 1, X likewise.
    """
    if lowering == "auto":
        lowering = "patches" if jax.default_backend() == "cpu" else "direct"
    if lowering == "patches":
        return _patches(images_BHWC, kernel_HWCO, stride, padding)
    return lax.conv_general_dilated(
        images_BHWC,
        kernel_HWCO,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _patches(images_BHWC, kernel_HWCO, stride, padding):
    if stride == 1:
        return _unit_stride(images_BHWC, kernel_HWCO, padding)
    lines_BHYK = _lines(images_BHWC, kernel_HWCO.shape[0], stride, padding)
    return _product(lines_BHYK, kernel_HWCO, stride)


def _lines(images_BHWC, size, stride, padding):
    """Pads, and puts the columns under the kernel side by side, K = size * C.

    A negative padding crops, which the gradient of a wide padding asks for.
    """
    sides, none = (padding, padding, 0), (0, 0, 0)
    zero = jnp.zeros((), images_BHWC.dtype)
    images_BHWC = lax.pad(images_BHWC, zero, (none, sides, sides, none))
    return jnp.concatenate(_shifts(images_BHWC, size, stride, axis=2), axis=-1)


def _product(lines_BHYK, kernel_HWCO, stride):
    """Sums the products of the kernel's rows with the lines under them."""
    size, _, channels, outputs = kernel_HWCO.shape
    rows = _shifts(lines_BHYK, size, stride, axis=1)
    kernel_HKO = kernel_HWCO.reshape(size, size * channels, outputs)
    if channels < _WIDE:
        rows = [jnp.concatenate(rows, axis=-1)]
        kernel_HKO = kernel_HKO.reshape(1, -1, outputs)
    products = (
        row.reshape(-1, row.shape[-1]) @ kernel_KO
        for row, kernel_KO in zip(rows, kernel_HKO, strict=True)
    )
    return sum(products).reshape(*rows[0].shape[:3], outputs)


# Left to itself, the gradient of a slice is a padded copy a shift and a sum over all of
# them, which costs more than the products. The gradient with respect to the images is
# instead a convolution of the same kind, with the kernel turned round.
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _unit_stride(images_BHWC, kernel_HWCO, padding):
    return _forward(images_BHWC, kernel_HWCO, padding)[0]


def _forward(images_BHWC, kernel_HWCO, padding):
    lines_BHYK = _lines(images_BHWC, kernel_HWCO.shape[0], 1, padding)
    return _product(lines_BHYK, kernel_HWCO, 1), (lines_BHYK, kernel_HWCO)


def _backward(padding, residuals, grad_BYXO):
    lines_BHYK, kernel_HWCO = residuals
    size, _, _, outputs = kernel_HWCO.shape
    turned_HWOC = kernel_HWCO[::-1, ::-1].swapaxes(2, 3)
    images_grad, _ = _forward(grad_BYXO, turned_HWOC, size - 1 - padding)
    rows = _shifts(lines_BHYK, size, 1, axis=1)
    grad = grad_BYXO.reshape(-1, outputs)
    kernel_grad = [row.reshape(-1, row.shape[-1]).T @ grad for row in rows]
    return images_grad, jnp.stack(kernel_grad).reshape(kernel_HWCO.shape)


_unit_stride.defvjp(_forward, _backward)


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
      padding: zeros added on each side.
      use_bias: adds one learned number per output channel.
      lowering: see `conv`; the parameters do not depend on it.
      kernel_init: initialiser of the kernel; the bias is PyTorch's default.
    """

    features: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    use_bias: bool = True
    lowering: str = "auto"
    kernel_init: nn.initializers.Initializer = initializers.torch_kernel

    @nn.compact
    def __call__(self, images_BHWC: jax.Array) -> jax.Array:
        channels = images_BHWC.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        result = conv(images_BHWC, kernel, self.stride, self.padding, self.lowering)
        if self.use_bias:
            bias_init = initializers.torch_bias(self.size * self.size * channels)
            bias = self.param("bias", bias_init, (self.features,))
            result += bias.reshape(1, 1, 1, -1)
        return result
