"""ResNet-18 for large and for small images.

Letters: B batch, H W image, C channels, D features.
"""

from functools import partial

import jax
from flax import linen as nn

from ddjax.models import initializers, options
from ddjax.models.conv import LOWERINGS, Conv
from ddjax.models.norm import check_norm, norm_layer

STEMS = ("auto", "small", "large")
_LARGEST_SMALL = 64


def resnet18(
    num_classes: int,
    image_size: int,
    *,
    width: int = 64,
    stem: str = "auto",
    norm: str = "batch",
    lowering: str = "auto",
) -> "ResNet18":
    """Returns a ResNet-18 with checked options.

    Args:
      num_classes: number of logits.
      image_size: height and width of the images, px; it only decides the stem.
      width: channels of the first stage, at least 1; the later ones have 2, 4 and 8
        times as many. Divisible by 4 for group norm.
      stem: "small" (3x3 convolution of stride 1, no max-pool), "large" (7x7 of stride
        2, then a 3x3 max-pool of stride 2) or "auto" (small up to 64 px).
      norm: "instance", "batch", "group" or "none".
      lowering: how convolutions are computed: "auto", "patches" or "direct".

    Returns:
      The module.

    Raises:
      InputError: an option is out of range.
    """
    width = options.integer("width", width, 1)
    stem = options.choice("stem", stem, STEMS)
    if stem == "auto":
        stem = "small" if image_size <= _LARGEST_SMALL else "large"
    norm = check_norm(norm, width)
    lowering = options.choice("lowering", lowering, LOWERINGS)
    return ResNet18(num_classes, width, stem, norm, lowering)


class ConvNorm(nn.Module):
    """A convolution without bias, which keeps the size at stride 1, and its norm.

    Attributes:
      features: output channels.
      size: height and width of the kernel, odd.
      stride: step in both directions.
      norm, lowering: see `resnet18`.
    """

    features: int
    size: int
    stride: int
    norm: str
    lowering: str

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        conv = Conv(
            self.features,
            self.size,
            self.stride,
            padding=self.size // 2,
            use_bias=False,
            lowering=self.lowering,
            kernel_init=initializers.kaiming_normal,
            name="conv",
        )
        return norm_layer(self.norm, train, "norm")(conv(x_BHWC))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Attributes:
      features: output channels.
      stride: of the first convolution and of the shortcut.
      norm, lowering: see `resnet18`.
    """

    features: int
    stride: int
    norm: str
    lowering: str

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, train: bool) -> jax.Array:
        layer = partial(ConvNorm, self.features, norm=self.norm, lowering=self.lowering)
        x = nn.relu(layer(3, self.stride, name="first")(x_BHWC, train))
        x = layer(3, 1, name="second")(x, train)
        shortcut = x_BHWC
        if self.stride != 1 or x_BHWC.shape[-1] != self.features:
            shortcut = layer(1, self.stride, name="shortcut")(x_BHWC, train)
        return nn.relu(x + shortcut)


class ResNet18(nn.Module):
    """A stem, four stages of two blocks, the mean over the map, linear.

    The topology is torchvision's, with the stem of small images changed as the
    distillation literature does. Kernels start as Kaiming normal by fan-out, the
    scales of all norms as 1, the last layer as PyTorch's default. The features are
    the mean over the last map, 8 * width numbers.

    Attributes:
      num_classes, width, stem, norm, lowering: see `resnet18`; stem is not "auto".
    """

    num_classes: int
    width: int
    stem: str
    norm: str
    lowering: str

    @nn.compact
    def __call__(
        self, images_BHWC: jax.Array, train: bool = False, features: bool = False
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        shared = {"norm": self.norm, "lowering": self.lowering}
        size, stride = (7, 2) if self.stem == "large" else (3, 1)
        stem = ConvNorm(self.width, size, stride, **shared, name="stem")
        x = nn.relu(stem(images_BHWC, train))
        if self.stem == "large":
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage in range(4):
            for block in range(2):
                x = BasicBlock(
                    self.width * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    **shared,
                    name=f"stage{stage}_block{block}",
                )(x, train)
        x_BD = x.mean((1, 2))
        head = initializers.torch_dense(self.num_classes, x_BD.shape[1], "head")
        logits = head(x_BD)
        return (logits, x_BD) if features else logits
