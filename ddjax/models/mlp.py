"""A multi-layer perceptron on the flattened image.

Letters: B batch, H W image, C channels, D features.
"""

import functools

import jax
from flax import linen as nn
from jax import lax

from ddjax.models import options
from ddjax.models.layers import Layers, answer, check_layers, flatten


def mlp(
    num_classes: int,
    image_size: int,
    *,
    hidden: tuple[int, ...] = (128, 128),
    dtype: str = "float32",
) -> "MLP":
    """Returns a multi-layer perceptron with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; any size will do.
      hidden: units of each hidden layer, each at least 1; empty is a linear model.
      dtype: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: `hidden` is no tuple or list of positive integers.
    """
    del image_size
    hidden = options.integers("hidden", hidden, 1)
    return MLP(num_classes, hidden, check_layers("none", 1, dtype, "auto"))


class MLP(nn.Module):
    """Flatten, hidden layers with ReLU, linear; all start as PyTorch's default.

    Its layers are fc_1, fc_2, ... in the order of the data, the last the logits, as in
    the MLP of DC. The features are the last hidden layer after ReLU, or the pixels if
    there is none.

    Attributes:
      num_classes, hidden, layers: see `mlp`.
    """

    num_classes: int
    hidden: tuple[int, ...]
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        del train  # The same in both modes.
        x_BD = flatten(images_BHWC)
        dot = None
        if self.hidden:
            dot = functools.partial(_dot_pixels, shape_HWC=images_BHWC.shape[1:])
            x_BD = images_BHWC.reshape(x_BD.shape)
        for i, units in enumerate(self.hidden):
            layer = self.layers.dense(
                units, x_BD.shape[1], f"fc_{i + 1}", dot_general=dot
            )
            x_BD = nn.relu(layer(x_BD))
            dot = None
        name = f"fc_{len(self.hidden) + 1}"
        head = self.layers.dense(self.num_classes, x_BD.shape[1], name)
        return answer(head(x_BD), x_BD, features)


def _dot_pixels(x_BD, kernel_DO, dims, *, shape_HWC, **options):
    """Multiplies with a kernel in PyTorch's order, channels outermost.

    It turns the kernel round instead of a batch of images, which are more numbers.
    """
    height, width, channels = shape_HWC
    kernel = kernel_DO.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    return lax.dot_general(x_BD, kernel.reshape(kernel_DO.shape), dims, **options)
