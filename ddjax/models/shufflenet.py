"""ShuffleNetV2 x0.5 for large and for small images.

Letters: B batch, H W image, C channels, D features.

Source: Ma et al., "ShuffleNet V2", 2018, as torchvision's `shufflenet_v2_x0_5`. The
small stem has the strides of G-VBSM's network for CIFAR, whose first kernel is 1x1 and
which is thinner; here the 3x3 stays, so that weights fit both stems. RDED keeps
torchvision's strides at every size (stem "large").
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from ddjax.declare import setting
from ddjax.models.layers import Layers, Outputs, max_pool, outputs, torch_kernel
from ddjax.models.model import STEMS, Model, Size, StateDict, small_stem

# Number, output channels, blocks; the first block of each stage has stride 2.
_STAGES = ((2, 48, 4), (3, 96, 8), (4, 192, 4))


@dataclasses.dataclass(frozen=True)
class Options:
    """ShuffleNetV2 x0.5 for large and for small images."""

    stem: str = setting(
        "auto",
        "The first layers: small (stride 1, no max-pool, the network divides the size "
        "by 8), large (stride 2, max-pool, by 32), auto (small up to 64 px).",
        STEMS,
    )


def _build(num_classes, image_size, options, layers):
    small = small_stem(options.stem, image_size)
    return ShuffleNetV2(num_classes, small, layers.normed("batch"))


MODEL = Model(
    "shufflenet",
    Options,
    _build,
    (Size(224, 1000, 1_366_792, 0.040),),
    StateDict("conv1.0", "fc", ("shufflenetv2_x0_5", "shufflenetv2_05")),
)


class Block(nn.Module):
    """Two branches side by side, their channels then shuffled.

    At stride 1 the first branch is half of the input, unchanged, and the second gets
    the other half; at stride 2 both get all of it.

    Attributes:
      features: output channels, even; as many as those of the input at stride 1.
      stride: 1 or 2.
    """

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        half, layer = self.features // 2, partial(_layer, self.layers, train)
        if self.stride == 1:
            first, second = jnp.split(x_BHWC, 2, axis=-1)
        else:
            first = second = x_BHWC
            channels, name = x_BHWC.shape[-1], "branch1."
            first = layer(first, channels, 3, name, 0, self.stride)
            first = nn.relu(layer(first, half, 1, name, 2))
        name = "branch2."
        second = nn.relu(layer(second, half, 1, name, 0))
        second = layer(second, half, 3, name, 3, self.stride)
        second = nn.relu(layer(second, half, 1, name, 5))
        # Channels of the two alternate.
        return jnp.stack((first, second), -1).reshape(*second.shape[:3], -1)


def _layer(layers, train, x_BHWC, features, size, prefix, i, stride=1):
    """A convolution, number i of a sequence, and its norm; 3x3 are depthwise."""
    x = layers.conv(
        x_BHWC,
        features,
        size,
        f"{prefix}{i}",
        stride=stride,
        depthwise=size > 1,
        kernel_init=torch_kernel,
    )
    return layers.normalise(x, train, f"{prefix}{i + 1}")


class ShuffleNetV2(nn.Module):
    """A 3x3 convolution, 16 blocks in three stages, 1x1 to 1024, mean, linear.

    All layers start as PyTorch's default. The features are the mean over the last map,
    1024 numbers.

    Attributes:
      small: whether the stem is the one for small images.
    """

    num_classes: int
    small: bool
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, stride = self.layers, 1 if self.small else 2
        start = {"stride": stride, "kernel_init": torch_kernel}
        x = layers.conv(images_BHWC, 24, 3, "conv1.0", **start)
        x = nn.relu(layers.normalise(x, train, "conv1.1"))
        if not self.small:
            x = max_pool(x, 3, 2, 1)
        for stage, channels, blocks in _STAGES:
            for i in range(blocks):
                block = Block(channels, 1 if i else 2, layers, name=f"stage{stage}.{i}")
                x = block(x, train)
        x = nn.relu(_layer(layers, train, x, 1024, 1, "conv5.", 0))
        x_BD = x.mean((1, 2))
        return outputs(layers.dense(x_BD, self.num_classes, "fc"), x_BD, features)
