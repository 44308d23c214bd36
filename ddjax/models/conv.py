"""Two-dimensional convolution with two lowerings that share their weights.

XLA's convolution is the right instruction on GPU and TPU. On CPU it runs about ten
times slower inside a loop than outside, and `vmap` over weights, which is how a sweep
trains many students, turns it into a slow grouped convolution. Written as shifted
slices of the image and one matrix product it keeps its speed in both places.

Letters: B batch, H W image, Y X output image, C input channels, O output channels,
K = size * size * C.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from ddjax.models import initializers

LOWERINGS = ("auto", "patches", "direct")


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
    size, _, _, outputs = kernel_HWCO.shape
    sides = (padding, padding)
    images_BHWC = jnp.pad(images_BHWC, ((0, 0), sides, sides, (0, 0)))
    # Columns first, then rows: the gradient then adds size + size shifted copies
    # instead of size * size.
    patches_BYXK = _shifts(_shifts(images_BHWC, size, stride, 2), size, stride, 1)
    *image, k = patches_BYXK.shape
    result = patches_BYXK.reshape(-1, k) @ kernel_HWCO.reshape(k, outputs)
    return result.reshape(*image, outputs)


def _shifts(images_BHWC, size, stride, axis):
    """Puts the `size` shifted copies along an axis side by side on the channels."""
    last = images_BHWC.shape[axis] - size
    return jnp.concatenate(
        [
            lax.slice_in_dim(images_BHWC, i, i + last + 1, stride, axis)
            for i in range(size)
        ],
        axis=-1,
    )


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
