"""EfficientNet-B0 for large and for small images.

Letters: B batch, H W image, C channels, D features.

Source: Tan and Le, "EfficientNet", 2019, as torchvision's `efficientnet_b0`. RDED keeps
torchvision's strides at every size (stem "large"); stride 1 in the first convolution is
the usual change for CIFAR (kuangliu/pytorch-cifar).
"""

import dataclasses
import functools
import math

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.models.layers import Dropout, Layers, Outputs, outputs, uniform
from ddjax.models.mobilenet import TIMM_ENDS, conv_norm
from ddjax.models.model import STEMS, Model, Size, StateDict, renamed, small_stem

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


@dataclasses.dataclass(frozen=True)
class Options:
    """EfficientNet-B0 for large and for small images."""

    stem: str = setting(
        "auto",
        "The first convolution: small (stride 1, the network divides the size by 16), "
        "large (stride 2, by 32), auto (small up to 64 px).",
        STEMS,
    )
    dropout: float = setting(
        0.2, "Probability of zero before the last layer.", "[0, 1)"
    )
    stochastic_depth: float = setting(
        0.2,
        "Probability that training skips the last block for an example; that of block "
        "i of 16 is i / 16 of it.",
        "[0, 1)",
    )


def _build(num_classes, image_size, options, layers):
    return EfficientNetB0(
        num_classes,
        small_stem(options.stem, image_size),
        options.dropout,
        options.stochastic_depth,
        layers.normed("batch"),
    )


_TIMM = (
    *TIMM_ENDS,
    (r"^conv_head\.", "features.8.0."),
    (r"^bn2\.", "features.8.1."),
    *((rf"^blocks\.{i}\.(\d+)\.", rf"features.{i + 1}.\1.block.") for i in range(7)),
    # The first block does not widen.
    (r"^(features\.1\.0\.block)\.conv_dw\.", r"\1.0.0."),
    (r"^(features\.1\.0\.block)\.bn1\.", r"\1.0.1."),
    (r"^(features\.1\.0\.block)\.se\.", r"\1.1."),
    (r"^(features\.1\.0\.block)\.conv_pw\.", r"\1.2.0."),
    (r"^(features\.1\.0\.block)\.bn2\.", r"\1.2.1."),
    (r"\.conv_pw\.", ".0.0."),
    (r"\.bn1\.", ".0.1."),
    (r"\.conv_dw\.", ".1.0."),
    (r"\.bn2\.", ".1.1."),
    (r"\.se\.", ".2."),
    (r"\.conv_reduce\.", ".fc1."),
    (r"\.conv_expand\.", ".fc2."),
    (r"\.conv_pwl\.", ".3.0."),
    (r"\.bn3\.", ".3.1."),
)

MODEL = Model(
    "efficientnet",
    Options,
    _build,
    (Size(224, 1000, 5_288_548, 0.386),),
    StateDict(
        "features.0.0",
        "classifier.1",
        ("efficientnetb0",),
        functools.partial(renamed, aliases=_TIMM),
    ),
)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in (0, 1), computed from the means of all.

    Attributes:
      features: units of the hidden layer.
    """

    features: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        x_B11C = x_BHWC.mean((1, 2), keepdims=True)
        bias = {"use_bias": True, "bias_init": nn.initializers.zeros}
        x_B11C = nn.silu(self.layers.conv(x_B11C, self.features, 1, "fc1", **bias))
        gate = self.layers.conv(x_B11C, x_BHWC.shape[-1], 1, "fc2", **bias)
        return x_BHWC * nn.sigmoid(gate)


class MBConv(nn.Module):
    """An inverted residual with squeeze-and-excitation before the projection.

    Attributes:
      features: output channels.
      expansion: how many times wider the inside is than the input.
      size, stride: of the middle convolution.
      rate: probability that the shortcut is all there is, in training.
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
      small: whether the first convolution has stride 1.
    """

    num_classes: int
    small: bool
    dropout: float
    stochastic_depth: float
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
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
        logits_BC = layers.dense(
            Dropout(self.dropout, train)(x_BD),
            self.num_classes,
            "classifier.1",
            uniform(1 / math.sqrt(self.num_classes)),
            nn.initializers.zeros,
        )
        return outputs(logits_BC, x_BD, features)
