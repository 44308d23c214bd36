"""ResNetAP-10, a ResNet whose maps shrink by average pooling alone.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import options
from ddjax.models.layers import Layers, answer, check_layers
from ddjax.models.pool import average_pool
from ddjax.models.resnet import Block

_SMALLEST = 8
_LARGEST_SMALL = 64
_LARGEST_MIDDLE = 128


def resnet_ap10(
    num_classes: int,
    image_size: int,
    *,
    width: int = 64,
    norm: str = "instance",
    dtype: str = "float32",
    lowering: str = "auto",
) -> "ResNetAP10":
    """Returns a ResNetAP-10 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px, at least 8; it decides the stem.
      width: channels of the first stage, at least 1; the later ones have 2, 4 and 8
        times as many. IDC has 32 for CIFAR and 64 for all other data. Divisible by 4
        for group norm.
      norm: "instance" (IDC, Minimax), "batch", "group" or "none", which gives
        convolutions a bias.
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range, or images are too small.
    """
    width = options.integer("width", width, 1)
    if image_size < _SMALLEST:
        raise InputError(
            f"image_size: found {image_size}, allowed is at least {_SMALLEST} px, "
            "since three stages halve the image"
        )
    layers = check_layers(norm, width, dtype, lowering)
    return ResNetAP10(num_classes, image_size, width, layers)


class ResNetAP10(nn.Module):
    """A stem, four stages of one block, the mean over the last map, linear.

    Up to 64 px the stem is a 3x3 convolution, up to 128 px one that is followed by 2x2
    average pooling, and above a 7x7 convolution and 4x4 pooling, all of stride 1.
    Kernels start as Kaiming normal by fan-out, the scales of all norms as 1, biases and
    the linear layer as PyTorch's default. The features are the mean, 8 * width numbers.

    Source: Kim et al., "Dataset Condensation via Efficient Synthetic-Data
    Parameterization" (IDC), 2022, `ResNetAP` of depth 10, whose names the layers bear.

    Attributes:
      num_classes, image_size, width, layers: see `resnet_ap10`.
    """

    num_classes: int
    image_size: int
    width: int
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        conv = layers.conv(
            self.width,
            7 if self.image_size > _LARGEST_MIDDLE else 3,
            "layer0.conv1",
            use_bias=layers.norm == "none",
        )
        x = nn.relu(layers.normalise(train, "layer0.bn1")(conv(images_BHWC)))
        # Twice 2x2 is 4x4.
        for largest in (_LARGEST_SMALL, _LARGEST_MIDDLE):
            if self.image_size > largest:
                x = average_pool(x)
        for stage in range(4):
            x = Block(
                self.width * 2**stage,
                2 if stage > 0 else 1,
                layers,
                average=True,
                name=f"layer{stage + 1}.0",
            )(x, train)
        x_BD = x.mean((1, 2))
        head = layers.dense(self.num_classes, x_BD.shape[1], "fc")
        return answer(head(x_BD), x_BD, features)
