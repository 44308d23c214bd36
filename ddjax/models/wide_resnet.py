"""WRN-16-2, a wide residual network for small images.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.models.layers import Layers, answer, check_layers

_STEM = 16
_WIDTHS = (32, 64, 128)
_BLOCKS = 2


def wide_resnet_16_2(
    num_classes: int,
    image_size: int,
    *,
    norm: str = "batch",
    dtype: str = "float32",
    lowering: str = "auto",
) -> "WideResNet":
    """Returns a WRN-16-2 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; any size will do.
      norm: "batch", "instance", "group" or "none".
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range.
    """
    del image_size
    return WideResNet(num_classes, check_layers(norm, _STEM, dtype, lowering))


class PreactivationBlock(nn.Module):
    """Twice norm, ReLU and 3x3 convolution, beside a shortcut.

    Where the channels change, the shortcut is a 1x1 convolution, and starts behind the
    first ReLU; elsewhere it is the input.

    Attributes:
      width: output channels.
      stride: of the first convolution and of the shortcut.
      layers: see `Layers`.
    """

    width: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layers, shortcut = self.layers, x_BHWC
        x = nn.relu(layers.normalise(train, "bn1")(x_BHWC))
        if x.shape[-1] != self.width:
            shortcut = layers.conv(self.width, 1, "convShortcut", self.stride)(x)
        x = layers.conv(self.width, 3, "conv1", self.stride)(x)
        x = nn.relu(layers.normalise(train, "bn2")(x))
        return shortcut + layers.conv(self.width, 3, "conv2")(x)


class WideResNet(nn.Module):
    """A 3x3 convolution, three stages of two blocks, norm, ReLU, mean, linear.

    Kernels start as Kaiming normal by fan-out, the scales of all norms as 1, the linear
    layer as PyTorch's default with a bias of 0. The features are the mean over the last
    map, 128 numbers.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks", 2016; layers and their
    names are those of `wrn_16_2` in RepDistiller and mdistiller. Deviation: they
    average windows of 8x8, which is the whole map for images of 32 px only; here it
    is the whole map at every size.

    Attributes:
      num_classes, layers: see `wide_resnet_16_2`.
    """

    num_classes: int
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        x = layers.conv(_STEM, 3, "conv1")(images_BHWC)
        for stage, width in enumerate(_WIDTHS):
            for block in range(_BLOCKS):
                x = PreactivationBlock(
                    width,
                    2 if stage > 0 and block == 0 else 1,
                    layers,
                    name=f"block{stage + 1}.layer.{block}",
                )(x, train)
        x_BD = nn.relu(layers.normalise(train, "bn1")(x)).mean((1, 2))
        head = layers.dense(
            self.num_classes, x_BD.shape[1], "fc", bias_init=nn.initializers.zeros
        )
        return answer(head(x_BD), x_BD, features)
