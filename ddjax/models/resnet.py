"""ResNet-18, -34, -50 and -101 for large and for small images.

Letters: B batch, H W image, C channels, D features.
"""

from collections.abc import Callable

import jax
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import initializers, options
from ddjax.models.layers import Layers, answer, check_layers, flatten
from ddjax.models.pool import average_pool, max_pool

DOWNSAMPLES = ("stride", "average")
# Each of the later three stages halves the map.
_SMALLEST_AVERAGE = 8
# Depth -> blocks of each stage, and whether they are bottlenecks.
_BLOCKS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}


def resnet(depth: int) -> Callable[..., "ResNet"]:
    """Returns the function that builds ResNet-`depth`: 18, 34, 50 or 101."""
    blocks, bottleneck = _BLOCKS[depth]

    def build(
        num_classes: int,
        image_size: int,
        *,
        width: int = 64,
        stem: str = "auto",
        norm: str = "batch",
        downsample: str = "stride",
        dtype: str = "float32",
        lowering: str = "auto",
    ) -> ResNet:
        """Returns a ResNet with checked options.

        Args:
          num_classes: number of logits.
          image_size: height and width of the images, px; at least 8 with downsample
            "average".
          width: channels of the stem and of the first stage's 3x3 convolutions, at
            least 1; the later stages have 2, 4 and 8 times as many. Divisible by 4
            for group norm.
          stem: "small" (3x3 convolution of stride 1, no max-pool), "large" (7x7 of
            stride 2, then a 3x3 max-pool of stride 2) or "auto" (small up to 64 px
            and with downsample "average").
          norm: "batch", "instance", "group" or "none", which gives convolutions a
            bias.
          downsample: how stages halve the map: "stride", or "average", DC's variant
            with average pooling, which has the small stem only.
          dtype, lowering: see `Layers`.

        Returns:
          The module.

        Raises:
          InputError: an option is out of range, or images are too small.
        """
        width = options.integer("width", width, 1)
        small = options.small_stem(stem, image_size)
        average = options.choice("downsample", downsample, DOWNSAMPLES) == "average"
        if average and stem == "large":
            raise InputError(
                "stem: found 'large', allowed with downsample 'average': auto, small"
            )
        if average and image_size < _SMALLEST_AVERAGE:
            raise InputError(
                f"image_size: found {image_size}, allowed with downsample 'average' "
                f"is at least {_SMALLEST_AVERAGE} px"
            )
        stem = "small" if average or small else "large"
        layers = check_layers(norm, width, dtype, lowering)
        return ResNet(num_classes, width, stem, average, blocks, bottleneck, layers)

    return build


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
    kernel_init: nn.initializers.Initializer = initializers.kaiming_normal

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
            x = self.layers.normalise(train, f"bn{i + 1}")(x)
            if i < last:
                x = self._pool(nn.relu(x), stride)
        shortcut = x_BHWC
        if self.stride != 1 or shortcut.shape[-1] != outputs:
            shortcut = self._conv(shortcut, outputs, 1, "downsample.0", self.stride)
            # PyTorch counts the pooling, also where it does nothing.
            name = "downsample.2" if self.average else "downsample.1"
            shortcut = self._pool(shortcut, self.stride)
            shortcut = self.layers.normalise(train, name)(shortcut)
        return nn.relu(x + shortcut)

    def _conv(self, x_BHWC, features, size, name, stride):
        layer = self.layers.conv(
            features,
            size,
            name,
            stride=1 if self.average else stride,
            use_bias=self.layers.norm == "none",
            kernel_init=self.kernel_init,
        )
        return layer(x_BHWC)

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
    Deviations: DC says `shortcut` and `classifier` for `downsample` and `fc`; its
    strided networks start as PyTorch's default, too. DC pools the shortcut of every
    block that widens, which does not fit bottlenecks of stride 1; here it is pooled
    where the block halves the map, as in IDC. There is a bias without norm, as in IDC.

    Attributes:
      num_classes, width, stem: see `resnet`; stem is not "auto".
      average: whether maps are halved by pooling instead of strides.
      blocks: their number in each stage.
      bottleneck, layers: see `Block`.
    """

    num_classes: int
    width: int
    stem: str
    average: bool
    blocks: tuple[int, ...]
    bottleneck: bool
    layers: Layers

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers = self.layers
        kernel_init = (
            initializers.torch_kernel if self.average else initializers.kaiming_normal
        )
        large = self.stem == "large"
        conv = layers.conv(
            self.width,
            7 if large else 3,
            "conv1",
            stride=2 if large else 1,
            use_bias=layers.norm == "none",
            kernel_init=kernel_init,
        )
        x = nn.relu(layers.normalise(train, "bn1")(conv(images_BHWC)))
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
        head = layers.dense(self.num_classes, x_BD.shape[1], "fc")
        return answer(head(x_BD), x_BD, features)
