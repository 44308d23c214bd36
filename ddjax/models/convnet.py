"""ConvNet-Dn, the small network of the dataset-distillation literature.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import (
    Layers,
    Outputs,
    average_pool,
    flatten,
    keep_map,
    outputs,
    torch_kernel,
)
from ddjax.models.model import Model, Size, StateDict, renamed, side
from ddjax.models.norm import NORMS


@dataclasses.dataclass(frozen=True)
class Options:
    """ConvNet-D1 to -D6, the small networks of the dataset-distillation literature."""

    width: int = setting(
        128,
        "Channels of every convolution, a multiple of 4 for group norm.",
        "[1, 4096]",
    )
    norm: str = setting(
        "instance",
        "The normalisation: instance (DC, DSA, DM, MTT), batch (RDED, CV-DD, G-VBSM).",
        NORMS,
    )


def model(depth: int, *sizes: Size) -> Model:
    """Returns ConvNet-D`depth`."""

    def build(num_classes, image_size, options, layers):
        layers = layers.normed(options.norm, options.width)
        fits = _first_map(image_size) >= 2**depth
        allowed = f"at least {2**depth} px, since each of the {depth} blocks halves it"
        require(fits, "image_size", image_size, allowed)
        return ConvNet(num_classes, image_size, options.width, depth, layers)

    def image_size(tensors, options):
        head, stem = (tensors[f"{k}.weight"] for k in ("classifier", "features.0"))
        return side(head.shape[1] / len(stem)) * 2**depth

    layout = StateDict(
        "features.0", "classifier", ("convnet",), _standard, image_size=image_size
    )
    return Model("convnet", Options, build, sizes, layout)


def _standard(tensors):
    """IDC and RDED count convolutions and norms apart, DC every layer in a row."""
    step = 4 if any(key.startswith("layers.norm.") for key in tensors) else 3
    aliases = (
        (rf"^layers\.{kind}\.{i}\.", f"features.{step * i + offset}.")
        for i in range(6)
        for kind, offset in (("conv", 0), ("norm", 1))
    )
    return renamed(tensors, aliases)


def _first_padding(image_size):
    return 3 if image_size == 28 else 1


def _first_map(image_size):
    """Height and width after the first convolution."""
    return image_size + 2 * (_first_padding(image_size) - 1)


class ConvNet(nn.Module):
    """`depth` x [3x3 convolution with bias, norm, ReLU, 2x2 average pool], linear.

    Images of 28 px are padded by 3 in the first convolution, so that the maps are
    32, 16, 8, 4 as in the literature; all other convolutions pad by 1. Weights and
    biases start as PyTorch's default, which the published numbers use. The features
    are the last map, flattened in PyTorch's order C, H, W.

    Attributes:
      depth: number of blocks.
    """

    num_classes: int
    image_size: int
    width: int
    depth: int
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        # A block has a convolution, a norm if there is one, ReLU and pooling, which
        # PyTorch numbers in a row.
        stride = 3 if layers.norm == "none" else 4
        for i in range(self.depth):
            x = layers.conv(
                x,
                self.width,
                3,
                f"features.{stride * i}",
                padding=1 if i else _first_padding(self.image_size),
                use_bias=True,
                kernel_init=torch_kernel,
            )
            x = layers.normalise(x, train, f"features.{stride * i + 1}")
            x = nn.relu(x)
            keep_map(self, x)
            x = average_pool(x)
        x_BD = flatten(x)
        logits_BC = layers.dense(x_BD, self.num_classes, "classifier")
        return outputs(logits_BC, x_BD, features)
