"""Residual networks: ResNet-18, -34, -50, -101, and ResNetAP-10.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses
import re

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import (
    Layers,
    Outputs,
    average_pool,
    flatten,
    kaiming_normal,
    max_pool,
    outputs,
    torch_kernel,
)
from ddjax.models.model import (
    STEMS,
    Model,
    Size,
    StateDict,
    renamed,
    side,
    small_stem,
)
from ddjax.models.norm import NORMS

# Three stages halve the map.
_SMALLEST = 8
_LARGEST_SMALL, _LARGEST_MIDDLE = 64, 128
# Depth -> blocks of each stage, and whether they are bottlenecks.
_BLOCKS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
_WIDTH = (
    "Channels of the first stage; later ones have 2, 4 and 8 times as many. A multiple "
    "of 4 for group norm."
)


@dataclasses.dataclass(frozen=True)
class ResNetOptions:
    """ResNet-18, -34, -50 and -101 for large and for small images."""

    width: int = setting(64, _WIDTH, "[1, 4096]")
    stem: str = setting(
        "auto",
        "The first layers: small (3x3, no pooling), large (7x7, pooling), auto (small "
        "up to 64 px and with downsample average, which has no other).",
        STEMS,
    )
    norm: str = setting("batch", "The normalisation.", NORMS)
    downsample: str = setting(
        "stride",
        "How stages halve the map: stride, or average, DC's variant with average "
        "pooling.",
        ("stride", "average"),
    )


@dataclasses.dataclass(frozen=True)
class ResNetAPOptions:
    """ResNetAP-10, a ResNet whose maps shrink by average pooling alone."""

    width: int = setting(64, f"{_WIDTH} IDC has 32 for CIFAR.", "[1, 4096]")
    norm: str = setting(
        "instance", "The normalisation: instance (IDC, Minimax).", NORMS
    )


def resnet(depth: int, *sizes: Size) -> Model:
    """Returns ResNet-`depth`: 18, 34, 50 or 101."""
    blocks, bottleneck = _BLOCKS[depth]

    def build(num_classes, image_size, options, layers):
        width, average = options.width, options.downsample == "average"
        fits, place = not average or options.stem != "large", "with downsample average"
        require(fits, "stem", options.stem, f"auto or small {place}")
        fits = not average or image_size >= _SMALLEST
        allowed = f"at least {_SMALLEST} px {place}"
        require(fits, "image_size", image_size, allowed)
        stem = "small" if average or small_stem(options.stem, image_size) else "large"
        layers = layers.normed(options.norm, width)
        return ResNet(num_classes, width, stem, average, blocks, bottleneck, layers)

    layout = dataclasses.replace(_LAYOUT, options=_options)
    return Model("resnet", ResNetOptions, build, sizes, layout)


def _build_ap(num_classes, image_size, options, layers):
    allowed = f"at least {_SMALLEST} px, since three stages halve the image"
    require(image_size >= _SMALLEST, "image_size", image_size, allowed)
    layers = layers.normed(options.norm, options.width)
    return ResNetAP10(num_classes, image_size, options.width, layers)


def _standard(tensors):
    """DC, IDC and CIFAR networks end in another name, or have a "shortcut"."""
    aliases = (r"^(classifier|linear)\.", "fc."), (r"\.shortcut\.", ".downsample.")
    return renamed(tensors, aliases)


def _options(tensors):
    # Pooling is the layer between convolution and norm, which both have a number.
    average = any(".downsample.2." in key for key in tensors)
    return {
        "stem": "large" if tensors["conv1.weight"].shape[2] == 7 else "small",
        "downsample": "average" if average else "stride",
    }


def _image_size(tensors, options):
    widest = [k for k in tensors if re.fullmatch(r"layer4\.0\.conv\d\.weight", k)]
    if options.get("downsample") == "average" and widest:
        pixels = tensors["fc.weight"].shape[1] / len(tensors[max(widest)])
        return _SMALLEST * side(pixels)
    return 64 if tensors["conv1.weight"].shape[2] == 3 else 224


_LAYOUT = StateDict("conv1", "fc", standard=_standard, image_size=_image_size)
RESNET_AP10 = Model(
    "resnet_ap",
    ResNetAPOptions,
    _build_ap,
    (Size(128, 10), Size(224, 10)),
    StateDict(
        "layer0.conv1",
        "fc",
        ("resnet10ap", "resnet10_ap"),
        _standard,
        image_size=lambda tensors, options: (
            64 if tensors["layer0.conv1.weight"].shape[2] == 3 else 224
        ),
    ),
)


class Block(nn.Module):
    """A few convolutions with norms, beside a shortcut that fits the same shape.

    Two 3x3 convolutions, or as a bottleneck 1x1, 3x3 and 1x1, the last to four times
    the width. The first 3x3 convolution halves the map where the block does so, either
    by its stride or by average pooling after its ReLU; the shortcut does likewise,
    pooling between convolution and norm.

    Attributes:
      width: channels inside.
      stride: 2 halves the map, 1 keeps it.
      layers: see `Layers`; convolutions have a bias if there is no norm.
      bottleneck: whether it is one.
      average: whether the map is halved by pooling instead of strides.
      kernel_init: initialiser of the convolutions.
    """

    width: int
    stride: int
    layers: Layers
    bottleneck: bool = False
    average: bool = False
    kernel_init: nn.initializers.Initializer = kaiming_normal

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        sizes = (1, 3, 1) if self.bottleneck else (3, 3)
        outputs = self.width * (4 if self.bottleneck else 1)
        halving, last = sizes.index(3), len(sizes) - 1
        x = x_BHWC
        for i, size in enumerate(sizes):
            features = outputs if i == last else self.width
            stride = self.stride if i == halving else 1
            x = self._conv(x, features, size, f"conv{i + 1}", stride)
            x = self.layers.normalise(x, train, f"bn{i + 1}")
            if i < last:
                x = self._pool(nn.relu(x), stride)
        shortcut = x_BHWC
        if self.stride != 1 or shortcut.shape[-1] != outputs:
            shortcut = self._conv(shortcut, outputs, 1, "downsample.0", self.stride)
            # PyTorch counts the pooling, also where it does nothing.
            name = "downsample.2" if self.average else "downsample.1"
            shortcut = self._pool(shortcut, self.stride)
            shortcut = self.layers.normalise(shortcut, train, name)
        return nn.relu(x + shortcut)

    def _conv(self, x_BHWC, features, size, name, stride):
        return self.layers.conv(
            x_BHWC,
            features,
            size,
            name,
            stride=1 if self.average else stride,
            use_bias=self.layers.norm == "none",
            kernel_init=self.kernel_init,
        )

    def _pool(self, x_BHWC, stride):
        return average_pool(x_BHWC) if self.average and stride != 1 else x_BHWC


class ResNet(nn.Module):
    """A stem, four stages of blocks, the mean over the last map, linear.

    The features are that mean, 8 * width numbers, 32 * width with bottlenecks. With
    `average` they are the whole last map instead, flattened in PyTorch's order C, H, W,
    since that is what the linear layer of DC's variant reads: with their mean it would
    be a network of which nobody published numbers.

    Kernels start as Kaiming normal by fan-out, with `average` as PyTorch's default;
    the scales of all norms as 1, the linear layer as PyTorch's default.

    Source: torchvision's ResNet (the bottleneck's stride is that of its 3x3
    convolution), whose names the layers bear; the small stem, and the variant by Zhao
    et al., "Dataset Condensation with Gradient Matching", 2021, `ResNet_AP`.
    Deviations: DC names `shortcut` and `classifier` what is `downsample` and `fc` here;
    its strided networks start as PyTorch's default, too. DC pools the shortcut of every
    block that widens, which does not fit bottlenecks of stride 1; here it is pooled
    where the block halves the map, as in IDC. There is a bias without norm, as in IDC.

    Attributes:
      stem: "small" or "large".
      average: whether maps are halved by pooling instead of strides.
      blocks: their number in each stage.
    """

    num_classes: int
    width: int
    stem: str
    average: bool
    blocks: tuple[int, ...]
    bottleneck: bool
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        kernel_init = torch_kernel if self.average else kaiming_normal
        large = self.stem == "large"
        x = layers.conv(
            images_BHWC,
            self.width,
            7 if large else 3,
            "conv1",
            stride=2 if large else 1,
            use_bias=layers.norm == "none",
            kernel_init=kernel_init,
        )
        x = nn.relu(layers.normalise(x, train, "bn1"))
        if large:
            x = max_pool(x, 3, 2, padding=1)
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = Block(
                    self.width * 2**stage,
                    2 if stage > 0 and block == 0 else 1,
                    layers,
                    self.bottleneck,
                    self.average,
                    kernel_init,
                    name=f"layer{stage + 1}.{block}",
                )(x, train)
        x_BD = flatten(x) if self.average else x.mean((1, 2))
        return outputs(layers.dense(x_BD, self.num_classes, "fc"), x_BD, features)


class ResNetAP10(nn.Module):
    """A stem, four stages of one block, the mean over the last map, linear.

    Up to 64 px the stem is a 3x3 convolution, up to 128 px one that is followed by 2x2
    average pooling, and above a 7x7 convolution and 4x4 pooling, all of stride 1.
    Kernels start as Kaiming normal by fan-out, the scales of all norms as 1, biases and
    the linear layer as PyTorch's default. The features are the mean, 8 * width numbers.

    Source: Kim et al., "Dataset Condensation via Efficient Synthetic-Data
    Parameterization" (IDC), 2022, `ResNetAP` of depth 10, whose names the layers bear.
    """

    num_classes: int
    image_size: int
    width: int
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        x = layers.conv(
            images_BHWC,
            self.width,
            7 if self.image_size > _LARGEST_MIDDLE else 3,
            "layer0.conv1",
            use_bias=layers.norm == "none",
        )
        x = nn.relu(layers.normalise(x, train, "layer0.bn1"))
        # Twice 2x2 is 4x4.
        for largest in (_LARGEST_SMALL, _LARGEST_MIDDLE):
            if self.image_size > largest:
                x = average_pool(x)
        for stage in range(4):
            x = Block(
                self.width * 2**stage,
                2 if stage > 0 else 1,
                layers,
                average=True,
                name=f"layer{stage + 1}.0",
            )(x, train)
        x_BD = x.mean((1, 2))
        return outputs(layers.dense(x_BD, self.num_classes, "fc"), x_BD, features)
