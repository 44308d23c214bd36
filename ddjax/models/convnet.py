"""ConvNet-Dn, the small network of the dataset-distillation literature.

Letters: B batch, H W image, C channels, D features.
"""

from collections.abc import Callable

import jax
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.layers import Layers, answer, check_layers, flatten
from ddjax.models.pool import average_pool


def convnet(depth: int) -> Callable[..., "ConvNet"]:
    """Returns the function that builds ConvNet-D`depth`."""

    def build(
        num_classes: int,
        image_size: int,
        *,
        width: int = 128,
        norm: str = "instance",
        dtype: str = "float32",
        lowering: str = "auto",
    ) -> ConvNet:
        """Returns a ConvNet with checked options.

        Args:
          num_classes: number of logits.
          image_size: height and width of the images, px.
          width: channels of every convolution, at least 1; divisible by 4 for group
            norm.
          norm: "instance" (DC, DSA, DM, MTT), "batch" (RDED, CV-DD, G-VBSM), "group"
            or "none".
          dtype, lowering: see `Layers`.

        Returns:
          The module.

        Raises:
          InputError: an option is out of range, or the depth leaves no pixel.
        """
        width = options.integer("width", width, 1)
        layers = check_layers(norm, width, dtype, lowering)
        deepest = _first_map(image_size).bit_length() - 1
        if depth > deepest:
            raise InputError(
                f"image_size: found {image_size}, allowed is at least {2**depth} px, "
                f"since each of the {depth} blocks halves the image"
            )
        return ConvNet(num_classes, image_size, width, depth, layers)

    return build


def _first_padding(image_size):
    return 3 if image_size == 28 else 1


def _first_map(image_size):
    """Height and width after the first convolution."""
    return image_size + 2 * (_first_padding(image_size) - 1)


class ConvNet(nn.Module):
    """`depth` x [3x3 convolution with bias, norm, ReLU, 2x2 average pool], linear.

    Images of 28 px are padded by 3 in the first convolution, so that the maps are
    32, 16, 8, 4 as in the literature; all other convolutions pad by 1. Weights and
    biases start as PyTorch's default, which the published numbers use. The features
    are the last map, flattened in PyTorch's order C, H, W.

    Attributes:
      num_classes, image_size, width, layers: see `convnet`.
      depth: number of blocks.
    """

    num_classes: int
    image_size: int
    width: int
    depth: int
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        # A block has a convolution, a norm if there is one, ReLU and pooling, which
        # PyTorch numbers in a row.
        stride = 3 if layers.norm == "none" else 4
        for i in range(self.depth):
            conv = layers.conv(
                self.width,
                3,
                f"features.{stride * i}",
                padding=1 if i else _first_padding(self.image_size),
                use_bias=True,
                kernel_init=initializers.torch_kernel,
            )
            norm = layers.normalise(train, f"features.{stride * i + 1}")
            x = average_pool(nn.relu(norm(conv(x))))
        x_BD = flatten(x)
        head = layers.dense(self.num_classes, x_BD.shape[1], "classifier")
        return answer(head(x_BD), x_BD, features)
