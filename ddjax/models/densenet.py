"""DenseNet-121 for large and for small images.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import (
    Layers,
    Outputs,
    average_pool,
    max_pool,
    normal,
    outputs,
)
from ddjax.models.model import (
    STEMS,
    Model,
    Size,
    StateDict,
    Tensors,
    renamed,
    small_stem,
)
from ddjax.models.norm import NORMS

# Layers of each block.
_BLOCKS = (6, 12, 24, 16)
# Three transitions halve the map, as do, rounding up, convolution and pooling of the
# large stem.
_SMALLEST, _SMALLEST_LARGE = 8, 29


@dataclasses.dataclass(frozen=True)
class Options:
    """DenseNet-121 for large and for small images."""

    growth: int = setting(
        32,
        "Channels that each layer adds; the first convolution has twice as many. A "
        "multiple of 4 for group norm.",
        "[1, 1024]",
    )
    stem: str = setting(
        "auto",
        "The first layers: small (3x3, neither norm nor pooling, the network divides "
        "the size by 8), large (7x7, both, by 32), auto (small up to 64 px).",
        STEMS,
    )
    norm: str = setting("batch", "The normalisation.", NORMS)


def _build(num_classes, image_size, options, layers):
    small = small_stem(options.stem, image_size)
    smallest = _SMALLEST if small else _SMALLEST_LARGE
    place = f"with stem {'small' if small else 'large'}"
    require(
        image_size >= smallest,
        "image_size",
        image_size,
        f"at least {smallest} px {place}, since three transitions halve the map",
    )
    layers = layers.normed(options.norm, options.growth, "growth")
    return DenseNet(num_classes, options.growth, small, layers, _BLOCKS)


# torchvision's file of weights has the names of its first versions, norm.1 of norm1.
_ALIASES = ((r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),)
_CVDD = (
    (r"^conv1\.", "features.conv0."),
    *(
        (rf"^dense(\d)\.{i}\.(conv|bn)", rf"features.denseblock\1.denselayer{i + 1}.\2")
        for i in range(max(_BLOCKS))
    ),
    (r"^trans(\d)\.", r"features.transition\1."),
    (r"^bn\.", "features.norm5."),
    (r"^(features\..*\.)bn(\d?)\.", r"\1norm\2."),
    (r"^linear\.", "classifier."),
)


def _standard(tensors: Tensors) -> Tensors:
    """CV-DD has other names, and puts new channels in front of those there are."""
    if "dense1.0.conv2.weight" not in tensors:
        return renamed(tensors, _ALIASES)
    growth = len(tensors["dense1.0.conv2.weight"])
    found = renamed(tensors, _CVDD)
    for name, added in _added().items():
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            array = found.get(f"{name}.{leaf}")
            if array is None or (name, leaf) == ("classifier", "bias"):
                continue
            axis = min(1, array.ndim - 1)
            parts = np.split(array, range(growth, added * growth + 1, growth), axis)
            found[f"{name}.{leaf}"] = np.concatenate(parts[::-1], axis)
    return found


def _added() -> dict[str, int]:
    """Layer that reads all of its block -> how many parts were added before it."""
    found = {}
    for block, count in enumerate(_BLOCKS, 1):
        for i in range(count):
            layer = f"features.denseblock{block}.denselayer{i + 1}"
            found |= {f"{layer}.norm1": i, f"{layer}.conv1": i}
        transition = f"features.transition{block}"
        found |= {f"{transition}.norm": count, f"{transition}.conv": count}
    return found | dict.fromkeys(("features.norm5", "classifier"), _BLOCKS[-1])


def _options(tensors):
    stem = tensors["features.conv0.weight"]
    return {
        "growth": len(stem) // 2,
        "stem": "large" if stem.shape[2] == 7 else "small",
    }


MODEL = Model(
    "densenet",
    Options,
    _build,
    (Size(32, 10), Size(64, 200), Size(224, 1000, 7_978_856, 2.834)),
    StateDict(
        "features.conv0",
        "classifier",
        standard=_standard,
        options=_options,
        image_size=lambda tensors, options: (
            64 if tensors["features.conv0.weight"].shape[2] == 3 else 224
        ),
    ),
)


def _kaiming(key, shape, dtype=float):
    """Draws a kernel [..., inputs, outputs], normal of variance 2 / fan_in."""
    return normal(math.sqrt(2 / math.prod(shape[:-1])))(key, shape, dtype)


class DenseLayer(nn.Module):
    """Twice norm, ReLU and convolution, 1x1 to four times the growth and 3x3.

    Attributes:
      growth: output channels.
    """

    growth: int
    layers: Layers

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layers = self.layers
        x = nn.relu(layers.normalise(x_BHWC, train, "norm1"))
        x = layers.conv(x, 4 * self.growth, 1, "conv1", kernel_init=_kaiming)
        x = nn.relu(layers.normalise(x, train, "norm2"))
        return layers.conv(x, self.growth, 3, "conv2", kernel_init=_kaiming)


class DenseNet(nn.Module):
    """A stem, four blocks, norm, ReLU, the mean over the map, linear.

    A layer of a block reads the channels of all layers before it and of the block's
    input. Between blocks are transitions: norm, ReLU, a 1x1 convolution to half of the
    channels and 2x2 average pooling. The features are the mean, 32 * growth numbers.

    Kernels start as Kaiming normal by fan-in, the scales of all norms as 1, the linear
    layer as PyTorch's default with a bias of 0.

    Source: Huang et al., "Densely Connected Convolutional Networks", 2017, as
    torchvision's `densenet121`, whose names the layers bear. The small stem is that of
    CV-DD and FADRM (Jiacheng8/CV-DD, `models/densenet.py`) at 32 and 64 px.
    Deviations: the two start as PyTorch's default, and put the channels of a layer in
    front of those before, which `from_torch` turns round.

    Attributes:
      growth: channels that a layer adds.
      small: whether the stem is the one for small images, a 3x3 convolution alone.
      blocks: layers of each.
    """

    num_classes: int
    growth: int
    small: bool
    layers: Layers
    blocks: tuple[int, ...]

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, init = self.layers, {"kernel_init": _kaiming}
        size, stride = (3, 1) if self.small else (7, 2)
        name = "features.conv0"
        x = layers.conv(images_BHWC, 2 * self.growth, size, name, stride=stride, **init)
        if not self.small:
            x = nn.relu(layers.normalise(x, train, "features.norm0"))
            x = max_pool(x, 3, 2, padding=1)
        for block, count in enumerate(self.blocks, 1):
            for i in range(1, count + 1):
                name = f"features.denseblock{block}.denselayer{i}"
                new = DenseLayer(self.growth, layers, name=name)(x, train)
                x = jnp.concatenate((x, new), -1)
            if block < len(self.blocks):
                name = f"features.transition{block}"
                x = nn.relu(layers.normalise(x, train, f"{name}.norm"))
                x = layers.conv(x, x.shape[-1] // 2, 1, f"{name}.conv", **init)
                x = average_pool(x)
        x_BD = nn.relu(layers.normalise(x, train, "features.norm5")).mean((1, 2))
        zeros = nn.initializers.zeros
        logits_BC = layers.dense(x_BD, self.num_classes, "classifier", bias_init=zeros)
        return outputs(logits_BC, x_BD, features)
