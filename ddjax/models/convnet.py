"""ConvNet-Dn, the small network of the dataset-distillation literature.

Letters: B batch, H W image, C channels, D features.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.conv import LOWERINGS, Conv
from ddjax.models.norm import check_norm, norm_layer


def convnet(
    num_classes: int,
    image_size: int,
    *,
    width: int = 128,
    depth: int = 3,
    norm: str = "instance",
    lowering: str = "auto",
) -> "ConvNet":
    """Returns ConvNet-D`depth` with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px.
      width: channels of every convolution, at least 1; divisible by 4 for group norm.
      depth: number of blocks, at least 1; each halves the image.
      norm: "instance", "batch", "group" or "none".
      lowering: how convolutions are computed: "auto", "patches" or "direct".

    Returns:
      The module.

    Raises:
      InputError: an option is out of range, or the depth leaves no pixel.
    """
    width = options.integer("width", width, 1)
    depth = options.integer("depth", depth, 1)
    norm = check_norm(norm, width)
    lowering = options.choice("lowering", lowering, LOWERINGS)
    deepest = _first_map(image_size).bit_length() - 1
    if depth > deepest:
        raise InputError(
            f"depth: found {depth}, allowed is at most {deepest} for images of "
            f"{image_size} px, since each block halves them"
        )
    return ConvNet(num_classes, image_size, width, depth, norm, lowering)


def _first_padding(image_size):
    return 3 if image_size == 28 else 1


def _first_map(image_size):
    """Height and width after the first convolution."""
    return image_size + 2 * (_first_padding(image_size) - 1)


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


class ConvNet(nn.Module):
    """`depth` x [3x3 convolution with bias, norm, ReLU, 2x2 average pool], linear.

    Images of 28 px are padded by 3 in the first convolution, so that the maps are
    32, 16, 8, 4 as in the literature; all other convolutions pad by 1. Weights and
    biases start as PyTorch's default, which the published numbers use. The features
    are the last map, flattened in the order H, W, C.

    Attributes:
      num_classes, image_size, width, depth, norm, lowering: see `convnet`.
    """

    num_classes: int
    image_size: int
    width: int = 128
    depth: int = 3
    norm: str = "instance"
    lowering: str = "auto"

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        x = images_BHWC
        for i in range(self.depth):
            conv = Conv(
                self.width,
                padding=1 if i else _first_padding(self.image_size),
                lowering=self.lowering,
                name=f"conv{i}",
            )
            norm = norm_layer(self.norm, train, f"norm{i}")
            x = average_pool(nn.relu(norm(conv(x))))
        x_BD = x.reshape(x.shape[0], -1)
        head = initializers.torch_dense(self.num_classes, x_BD.shape[1], "head")
        logits = head(x_BD)
        return (logits, x_BD) if features else logits
