"""MobileNetV2 for large and for small images.

Letters: B batch, H W image, C channels, D features.

Source: Sandler et al., "MobileNetV2", 2018, as torchvision's `mobilenet_v2`. The
literature has no one small variant: RDED keeps torchvision's strides at every size
(stem "large"), G-VBSM has its own network of half the width, which divides the size by
16 too, but drops the stride of the second stage instead of the first's.
"""

import dataclasses
import functools

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.models.layers import Dropout, Layers, Outputs, normal, outputs
from ddjax.models.model import STEMS, Model, Size, StateDict, renamed, small_stem

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


@dataclasses.dataclass(frozen=True)
class Options:
    """MobileNetV2 for large and for small images."""

    stem: str = setting(
        "auto",
        "The first convolution: small (stride 1, the network divides the size by 16), "
        "large (stride 2, by 32), auto (small up to 64 px).",
        STEMS,
    )
    dropout: float = setting(
        0.2, "Probability of zero before the last layer.", "[0, 1)"
    )


def _build(num_classes, image_size, options, layers):
    small = small_stem(options.stem, image_size)
    return MobileNetV2(num_classes, small, options.dropout, layers.normed("batch"))


TIMM_ENDS = (
    (r"^conv_stem\.", "features.0.0."),
    (r"^bn1\.", "features.0.1."),
    (r"^classifier\.(weight|bias)$", r"classifier.1.\1"),
)
# timm counts the blocks of each stage, torchvision all in a row; before the first block
# are none, after it 1, and so on.
_MOBILENET_BLOCKS = (0, 1, 3, 6, 10, 13, 16)
_TIMM = (
    *TIMM_ENDS,
    (r"^conv_head\.", "features.18.0."),
    (r"^bn2\.", "features.18.1."),
    *(
        (rf"^blocks\.{stage}\.{i}\.", f"features.{before + i + 1}.")
        for stage, before in enumerate(_MOBILENET_BLOCKS)
        for i in range(4)
    ),
    # The first block does not widen.
    (r"^features\.1\.conv_dw\.", "features.1.conv.0.0."),
    (r"^features\.1\.bn1\.", "features.1.conv.0.1."),
    (r"^features\.1\.conv_pw\.", "features.1.conv.1."),
    (r"^features\.1\.bn2\.", "features.1.conv.2."),
    (r"\.conv_pw\.", ".conv.0.0."),
    (r"\.bn1\.", ".conv.0.1."),
    (r"\.conv_dw\.", ".conv.1.0."),
    (r"\.bn2\.", ".conv.1.1."),
    (r"\.conv_pwl\.", ".conv.2."),
    (r"\.bn3\.", ".conv.3."),
)

MODEL = Model(
    "mobilenet",
    Options,
    _build,
    (Size(224, 1000, 3_504_872, 0.301),),
    StateDict(
        "features.0.0",
        "classifier.1",
        ("mobilenetv2_100", "mobilenetv2"),
        functools.partial(renamed, aliases=_TIMM),
    ),
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
    """Applies a convolution without bias, `name`.0, and its norm, `name`.1."""
    x = layers.conv(
        x_BHWC, features, size, f"{name}.0", stride=stride, depthwise=depthwise
    )
    return layers.normalise(x, train, f"{name}.1")


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, project; with a shortcut where shapes allow it.

    Attributes:
      features: output channels.
      expansion: how many times wider the inside is than the input.
      stride: of the middle convolution.
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
        x = layers.conv(nn.relu6(x), self.features, 1, f"conv.{i + 1}")
        x = layers.normalise(x, train, f"conv.{i + 2}")
        same = self.stride == 1 and channels == self.features
        return x_BHWC + x if same else x


class MobileNetV2(nn.Module):
    """A 3x3 convolution, 17 inverted residuals, 1x1 to 1280, mean, dropout, linear.

    Convolutions start as Kaiming normal by fan-out, the last layer as a normal of
    standard deviation 0.01 with bias 0. The features are the mean over the last map,
    1280 numbers, before dropout.

    Attributes:
      small: whether the first convolution has stride 1.
    """

    num_classes: int
    small: bool
    dropout: float
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
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
        logits_BC = layers.dense(
            Dropout(self.dropout, train)(x_BD),
            self.num_classes,
            "classifier.1",
            normal(0.01),
            nn.initializers.zeros,
        )
        return outputs(logits_BC, x_BD, features)
