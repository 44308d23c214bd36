"""WRN-16-2, a wide residual network for small images.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.models.layers import Layers, Outputs, outputs
from ddjax.models.model import Model, Size, StateDict
from ddjax.models.norm import NORMS

_STEM = 16
_WIDTHS = (32, 64, 128)
_BLOCKS = 2


@dataclasses.dataclass(frozen=True)
class Options:
    """WRN-16-2, a wide residual network for small images."""

    norm: str = setting("batch", "The normalisation.", NORMS)


def _build(num_classes, image_size, options, layers):
    del image_size  # Any will do.
    return WideResNet(num_classes, layers.normed(options.norm))


MODEL = Model(
    "wide_resnet",
    Options,
    _build,
    (Size(32, 10), Size(32, 100)),
    StateDict(
        "conv1", "fc", ("wrn_16_2", "wrn16_2"), image_size=lambda tensors, options: 64
    ),
)


class PreactivationBlock(nn.Module):
    """Twice norm, ReLU and 3x3 convolution, beside a shortcut.

    Where the channels change, the shortcut is a 1x1 convolution, and starts behind the
    first ReLU; elsewhere it is the input.

    Attributes:
      width: output channels.
      stride: of the first convolution and of the shortcut.
    """

    width: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layers, shortcut, step = self.layers, x_BHWC, {"stride": self.stride}
        x = nn.relu(layers.normalise(x_BHWC, train, "bn1"))
        if x.shape[-1] != self.width:
            shortcut = layers.conv(x, self.width, 1, "convShortcut", **step)
        x = layers.conv(x, self.width, 3, "conv1", **step)
        x = nn.relu(layers.normalise(x, train, "bn2"))
        return shortcut + layers.conv(x, self.width, 3, "conv2")


class WideResNet(nn.Module):
    """A 3x3 convolution, three stages of two blocks, norm, ReLU, mean, linear.

    Kernels start as Kaiming normal by fan-out, the scales of all norms as 1, the linear
    layer as PyTorch's default with a bias of 0. The features are the mean over the last
    map, 128 numbers.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks", 2016; layers and their
    names are those of `wrn_16_2` in RepDistiller and mdistiller. Deviation: they
    average windows of 8x8, which is the whole map for images of 32 px only; here it
    is the whole map at every size.
    """

    num_classes: int
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        x = layers.conv(images_BHWC, _STEM, 3, "conv1")
        for stage, width in enumerate(_WIDTHS):
            for block in range(_BLOCKS):
                x = PreactivationBlock(
                    width,
                    2 if stage > 0 and block == 0 else 1,
                    layers,
                    name=f"block{stage + 1}.layer.{block}",
                )(x, train)
        x_BD = nn.relu(layers.normalise(x, train, "bn1")).mean((1, 2))
        zeros = nn.initializers.zeros
        logits_BC = layers.dense(x_BD, self.num_classes, "fc", bias_init=zeros)
        return outputs(logits_BC, x_BD, features)
