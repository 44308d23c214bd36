"""EfficientNet-B0 for large and for small images.

Letters: B batch, H W image, C channels, D features.
"""

import math

import jax
from flax import linen as nn

from ddjax.models import initializers, options
from ddjax.models.layers import Dropout, Layers, answer, check_layers
from ddjax.models.mobilenet import conv_norm

# Expansion, kernel size, stride of the first block, output channels, blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_BLOCKS = sum(blocks for *_, blocks in _STAGES)


def efficientnet_b0(
    num_classes: int,
    image_size: int,
    *,
    stem: str = "auto",
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    dtype: str = "float32",
    lowering: str = "auto",
) -> "EfficientNetB0":
    """Returns an EfficientNet-B0 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; it only decides the stem.
      stem: "small" (first convolution of stride 1, the network divides the size by
        16), "large" (of stride 2, by 32) or "auto" (small up to 64 px). The
        parameters do not depend on it.
      dropout: probability of dropping a feature in training, in [0, 1).
      stochastic_depth: probability of skipping a block in training, in [0, 1); block i
        of 16 is skipped with i / 16 of it, for each example on its own.
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range.

    Source: Tan and Le, "EfficientNet", 2019, as torchvision's `efficientnet_b0`. RDED
    keeps torchvision's strides at every size (stem "large"); stride 1 in the first
    convolution is the usual change for CIFAR (kuangliu/pytorch-cifar).
    """
    return EfficientNetB0(
        num_classes,
        options.small_stem(stem, image_size),
        options.rate("dropout", dropout),
        options.rate("stochastic_depth", stochastic_depth),
        check_layers("batch", 1, dtype, lowering),
    )


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in (0, 1), computed from the means of all.

    Attributes:
      features: units of the hidden layer.
      layers: see `efficientnet_b0`.
    """

    features: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        x_B11C = x_BHWC.mean((1, 2), keepdims=True)
        x_B11C = nn.silu(self._point(x_B11C, self.features, "fc1"))
        return x_BHWC * nn.sigmoid(self._point(x_B11C, x_BHWC.shape[-1], "fc2"))

    def _point(self, x_B11C, features, name):
        zeros = nn.initializers.zeros
        point = self.layers.conv(features, 1, name, use_bias=True, bias_init=zeros)
        return point(x_B11C)


class MBConv(nn.Module):
    """An inverted residual with squeeze-and-excitation before the projection.

    Attributes:
      features: output channels.
      expansion: how many times wider the inside is than the input.
      size, stride: of the middle convolution.
      rate: probability that the shortcut is all there is, in training.
      layers: see `efficientnet_b0`.
    """

    features: int
    expansion: int
    size: int
    stride: int
    rate: float
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layers, x = self.layers, x_BHWC
        channels = x.shape[-1]
        inside = channels * self.expansion
        if self.expansion > 1:
            x = nn.silu(conv_norm(layers, train, x, inside, 1, "block.0"))
        i = int(self.expansion > 1)
        name = f"block.{i}"
        x = conv_norm(
            layers, train, x, inside, self.size, name, self.stride, depthwise=True
        )
        gate = SqueezeExcitation(channels // 4, layers, name=f"block.{i + 1}")
        x = gate(nn.silu(x))
        x = conv_norm(layers, train, x, self.features, 1, f"block.{i + 2}")
        if self.stride > 1 or channels != self.features:
            return x
        return x_BHWC + Dropout(self.rate, train, dims=1)(x)


class EfficientNetB0(nn.Module):
    """A 3x3 convolution, 16 MBConv blocks, 1x1 to 1280, mean, dropout, linear.

    Convolutions start as Kaiming normal by fan-out with bias 0, the last layer
    uniformly on +-1/sqrt(num_classes) with bias 0. The features are the mean over the
    last map, 1280 numbers, before dropout.

    Attributes:
      num_classes, dropout, stochastic_depth, layers: see `efficientnet_b0`.
      small: whether the first convolution has stride 1.
    """

    num_classes: int
    small: bool
    dropout: float
    stochastic_depth: float
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, stride = self.layers, 1 if self.small else 2
        x = conv_norm(layers, train, images_BHWC, 32, 3, "features.0", stride)
        x, i = nn.silu(x), 0
        for stage, (expansion, size, stride, channels, blocks) in enumerate(_STAGES):
            for block in range(blocks):
                x = MBConv(
                    channels,
                    expansion,
                    size,
                    1 if block else stride,
                    self.stochastic_depth * i / _BLOCKS,
                    layers,
                    name=f"features.{stage + 1}.{block}",
                )(x, train)
                i += 1
        x = nn.silu(conv_norm(layers, train, x, 1280, 1, "features.8"))
        x_BD = x.mean((1, 2))
        head = layers.dense(
            self.num_classes,
            x_BD.shape[1],
            "classifier.1",
            kernel_init=initializers.uniform(1 / math.sqrt(self.num_classes)),
            bias_init=nn.initializers.zeros,
        )
        logits_BC = head(Dropout(self.dropout, train)(x_BD))
        return answer(logits_BC, x_BD, features)
