"""AlexNet as torchvision builds it, with one stream instead of two.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import (
    Dropout,
    Layers,
    Outputs,
    adaptive_average_pool,
    flatten,
    max_pool,
    outputs,
    torch_kernel,
)
from ddjax.models.model import Model, Size, StateDict

# (PyTorch's number, channels, kernel, stride, padding, pooled after) of a convolution.
_CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)
_SMALLEST = 63


@dataclasses.dataclass(frozen=True)
class Options:
    """AlexNet as torchvision builds it, with one stream instead of two."""

    dropout: float = setting(
        0.5, "Probability of zero before both hidden dense layers.", "[0, 1)"
    )


def _build(num_classes, image_size, options, layers):
    allowed = f"at least {_SMALLEST} px, as a smaller image leaves no pixel to average"
    require(image_size >= _SMALLEST, "image_size", image_size, allowed)
    return AlexNet(num_classes, options.dropout, layers, hidden=4096)


MODEL = Model(
    "alexnet",
    Options,
    _build,
    (Size(224, 1000, 61_100_840, 0.714),),
    StateDict("features.0", "classifier.6"),
)


class AlexNet(nn.Module):
    """Five convolutions with ReLU and three max-pools, averages of 6x6, three dense.

    All layers start as PyTorch's default. The features [B, hidden], 4096 in `MODELS`,
    are the second dense layer after ReLU.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks", in the form of torchvision's `alexnet`, names and defaults included.

    Attributes:
      hidden: units of the first two dense layers.
    """

    num_classes: int
    dropout: float
    layers: Layers
    hidden: int

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        for number, channels, size, stride, padding, pooled in _CONVOLUTIONS:
            x = layers.conv(
                x,
                channels,
                size,
                f"features.{number}",
                stride=stride,
                padding=padding,
                use_bias=True,
                kernel_init=torch_kernel,
            )
            x = nn.relu(x)
            if pooled:
                x = max_pool(x, 3, 2)
        x_BD = flatten(adaptive_average_pool(x, 6))
        for i in (0, 3):
            x_BD = Dropout(self.dropout, train, name=f"classifier.{i}")(x_BD)
            x_BD = nn.relu(layers.dense(x_BD, self.hidden, f"classifier.{i + 1}"))
        logits_BC = layers.dense(x_BD, self.num_classes, "classifier.6")
        return outputs(logits_BC, x_BD, features)
