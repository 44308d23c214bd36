"""AlexNet as torchvision builds it, with one stream instead of two.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.layers import Dropout, Layers, answer, check_layers, flatten
from ddjax.models.pool import adaptive_average_pool, max_pool

# (PyTorch's number, channels, kernel, stride, padding, pooled after) of a convolution.
_CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)
_SMALLEST = 63


def alexnet(
    num_classes: int,
    image_size: int,
    *,
    dropout: float = 0.5,
    dtype: str = "float32",
    lowering: str = "auto",
) -> "AlexNet":
    """Returns an AlexNet with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px, at least 63; a smaller image
        leaves no pixel after the pooling.
      dropout: probability of zero before each hidden dense layer, in [0, 1).
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range, or the image is too small.
    """
    if image_size < _SMALLEST:
        raise InputError(
            f"image_size: found {image_size}, allowed is at least {_SMALLEST} px, "
            "since a smaller image leaves no pixel after the pooling"
        )
    return AlexNet(
        num_classes,
        options.rate("dropout", dropout),
        check_layers("none", 1, dtype, lowering),
        hidden=4096,
    )


class AlexNet(nn.Module):
    """Five convolutions with ReLU and three max-pools, averages of 6x6, three dense.

    All layers start as PyTorch's default. The features [B, hidden], 4096 in `alexnet`,
    are the second dense layer after ReLU.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks", in the form of torchvision's `alexnet`, names and defaults included.

    Attributes:
      num_classes, dropout, layers: see `alexnet`.
      hidden: units of the first two dense layers.
    """

    num_classes: int
    dropout: float
    layers: Layers
    hidden: int

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        for number, channels, size, stride, padding, pooled in _CONVOLUTIONS:
            conv = layers.conv(
                channels,
                size,
                f"features.{number}",
                stride,
                padding,
                use_bias=True,
                kernel_init=initializers.torch_kernel,
            )
            x = nn.relu(conv(x))
            if pooled:
                x = max_pool(x, 3, 2)
        x_BD = flatten(adaptive_average_pool(x, 6))
        for i in (0, 3):
            x_BD = Dropout(self.dropout, train, name=f"classifier.{i}")(x_BD)
            dense = layers.dense(self.hidden, x_BD.shape[1], f"classifier.{i + 1}")
            x_BD = nn.relu(dense(x_BD))
        head = layers.dense(self.num_classes, self.hidden, "classifier.6")
        return answer(head(x_BD), x_BD, features)
