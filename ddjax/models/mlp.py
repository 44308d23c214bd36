"""A multi-layer perceptron on the flattened image.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.models import initializers, options


def mlp(
    num_classes: int, image_size: int, *, hidden: tuple[int, ...] = (128, 128)
) -> "MLP":
    """Returns a multi-layer perceptron with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; any size will do.
      hidden: units of each hidden layer, each at least 1; empty is a linear model.

    Returns:
      The module.

    Raises:
      InputError: `hidden` is no tuple or list of positive integers.
    """
    del image_size
    return MLP(num_classes, options.integers("hidden", hidden, 1))


class MLP(nn.Module):
    """Flatten, hidden layers with ReLU, linear; all start as PyTorch's default.

    The features are the last hidden layer after ReLU, or the pixels if there is none.

    Attributes:
      num_classes, hidden: see `mlp`.
    """

    num_classes: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        del train  # The same in both modes.
        x_BD = images_BHWC.reshape(images_BHWC.shape[0], -1)
        for i, units in enumerate(self.hidden):
            layer = initializers.torch_dense(units, x_BD.shape[1], f"hidden{i}")
            x_BD = nn.relu(layer(x_BD))
        head = initializers.torch_dense(self.num_classes, x_BD.shape[1], "head")
        logits = head(x_BD)
        return (logits, x_BD) if features else logits
