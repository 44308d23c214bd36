"""MobileNetV2 for large and for small images.

Letters: B batch, H W image, C channels, D features.
"""

import jax
from flax import linen as nn

from ddjax.models import initializers, options
from ddjax.models.layers import Dropout, Layers, answer, check_layers

# Expansion, output channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(
    num_classes: int,
    image_size: int,
    *,
    stem: str = "auto",
    dropout: float = 0.2,
    dtype: str = "float32",
    lowering: str = "auto",
) -> "MobileNetV2":
    """Returns a MobileNetV2 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; it only decides the stem.
      stem: "small" (first convolution of stride 1, the network divides the size by
        16), "large" (of stride 2, by 32) or "auto" (small up to 64 px). The
        parameters do not depend on it.
      dropout: probability of dropping a feature in training, in [0, 1).
      dtype, lowering: see `Layers`.

    Returns:
      The module.

    Raises:
      InputError: an option is out of range.

    Source: Sandler et al., "MobileNetV2", 2018, as torchvision's `mobilenet_v2`. The
    literature has no one small variant: RDED keeps torchvision's strides at every size
    (stem "large"), G-VBSM has its own network of half the width, which divides the
    size by 16 too, but drops the stride of the second stage instead of the first's.
    """
    return MobileNetV2(
        num_classes,
        options.small_stem(stem, image_size),
        options.rate("dropout", dropout),
        check_layers("batch", 1, dtype, lowering),
    )


def conv_norm(
    layers: Layers,
    train: bool,
    x_BHWC: jax.Array,
    features: int,
    size: int,
    name: str,
    stride: int = 1,
    depthwise: bool = False,
) -> jax.Array:
    """Applies a convolution without bias, `name`.0, and its norm, `name`.1.

    Args:
      layers: makes them; this is to be called in a compact method.
      train: see `Layers.normalise`.
      x_BHWC: [B, H, W, C] float.
      features, size, stride, depthwise: see `Conv`.
      name: what both have in common.

    Returns:
      [B, H', W', features] float, H' and W' the sizes divided by stride, rounded up.
    """
    conv = layers.conv(features, size, f"{name}.0", stride, depthwise=depthwise)
    return layers.normalise(train, f"{name}.1")(conv(x_BHWC))


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, project; with a shortcut where shapes allow it.

    Attributes:
      features: output channels.
      expansion: how many times wider the inside is than the input.
      stride: of the middle convolution.
      layers: see `mobilenet_v2`.
    """

    features: int
    expansion: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layers, x = self.layers, x_BHWC
        channels = x.shape[-1]
        inside = channels * self.expansion
        if self.expansion > 1:
            x = nn.relu6(conv_norm(layers, train, x, inside, 1, "conv.0"))
        i = int(self.expansion > 1)
        x = conv_norm(
            layers, train, x, inside, 3, f"conv.{i}", self.stride, depthwise=True
        )
        x = layers.conv(self.features, 1, f"conv.{i + 1}")(nn.relu6(x))
        x = layers.normalise(train, f"conv.{i + 2}")(x)
        same = self.stride == 1 and channels == self.features
        return x_BHWC + x if same else x


class MobileNetV2(nn.Module):
    """A 3x3 convolution, 17 inverted residuals, 1x1 to 1280, mean, dropout, linear.

    Convolutions start as Kaiming normal by fan-out, the last layer as a normal of
    standard deviation 0.01 with bias 0. The features are the mean over the last map,
    1280 numbers, before dropout.

    Attributes:
      num_classes, dropout, layers: see `mobilenet_v2`.
      small: whether the first convolution has stride 1.
    """

    num_classes: int
    small: bool
    dropout: float
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, stride = self.layers, 1 if self.small else 2
        x = conv_norm(layers, train, images_BHWC, 32, 3, "features.0", stride)
        x, i = nn.relu6(x), 1
        for expansion, channels, blocks, stride in _STAGES:
            for block in range(blocks):
                x = InvertedResidual(
                    channels,
                    expansion,
                    1 if block else stride,
                    layers,
                    name=f"features.{i}",
                )(x, train)
                i += 1
        x = nn.relu6(conv_norm(layers, train, x, 1280, 1, f"features.{i}"))
        x_BD = x.mean((1, 2))
        head = layers.dense(
            self.num_classes,
            x_BD.shape[1],
            "classifier.1",
            kernel_init=initializers.normal(0.01),
            bias_init=nn.initializers.zeros,
        )
        logits_BC = head(Dropout(self.dropout, train)(x_BD))
        return answer(logits_BC, x_BD, features)
