"""VGG-11 as torchvision builds it, with and without normalisation.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.layers import Dropout, Layers, answer, check_layers, flatten
from ddjax.models.pool import adaptive_average_pool, max_pool

# Column A of the paper.
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_SMALLEST = 2 ** len(_STAGES)


def vgg11(
    num_classes: int,
    image_size: int,
    *,
    norm: str = "none",
    dropout: float = 0.5,
    dtype: str = "float32",
    lowering: str = "auto",
) -> "VGG":
    """Returns a VGG-11 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px, at least 32, since five poolings
        halve it.
      norm: "none" (torchvision's `vgg11`), "batch" (its `vgg11_bn`), "instance" or
        "group".
      dropout: probability of zero after each hidden dense layer, in [0, 1).
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range, or the image is too small.
    """
    if image_size < _SMALLEST:
        raise InputError(
            f"image_size: found {image_size}, allowed is at least {_SMALLEST} px, "
            f"since each of the {len(_STAGES)} stages halves the image"
        )
    return VGG(
        num_classes,
        options.rate("dropout", dropout),
        check_layers(norm, _STAGES[0][0], dtype, lowering),
        stages=_STAGES,
        hidden=4096,
    )


class VGG(nn.Module):
    """Stages of 3x3 convolutions and a max-pool, averages of 7x7, three dense layers.

    Convolutions start Kaiming normal (fan out), dense layers normal with deviation
    0.01, all biases zero. The features [B, hidden], 4096 in `vgg11`, are the second
    dense layer after ReLU and dropout.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale
    image recognition", in the form of torchvision's `vgg11` and `vgg11_bn`, names and
    defaults included.

    Attributes:
      num_classes, dropout, layers: see `vgg11`.
      stages: channels of the convolutions before each pooling.
      hidden: units of the first two dense layers.
    """

    num_classes: int
    dropout: float
    layers: Layers
    stages: tuple[tuple[int, ...], ...]
    hidden: int

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        number = 0  # Of the layer; PyTorch counts ReLU and pooling too.
        for stage in self.stages:
            for channels in stage:
                norm = layers.normalise(train, f"features.{number + 1}")
                x = nn.relu(norm(self._conv(channels, x, number)))
                number += 2 if layers.norm == "none" else 3
            x = max_pool(x, 2, 2)
            number += 1
        x_BD = flatten(adaptive_average_pool(x, 7))
        for i in (0, 3):
            x_BD = nn.relu(self._dense(self.hidden, x_BD, i))
            x_BD = Dropout(self.dropout, train, name=f"classifier.{i + 2}")(x_BD)
        return answer(self._dense(self.num_classes, x_BD, 6), x_BD, features)

    def _conv(self, channels, x_BHWC, number):
        zeros, name = nn.initializers.zeros, f"features.{number}"
        conv = self.layers.conv(channels, 3, name, use_bias=True, bias_init=zeros)
        return conv(x_BHWC)

    def _dense(self, units, x_BD, number):
        return self.layers.dense(
            units,
            x_BD.shape[1],
            f"classifier.{number}",
            kernel_init=initializers.normal(0.01),
            bias_init=nn.initializers.zeros,
        )(x_BD)
