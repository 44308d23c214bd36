"""ConvNet-Dn, the small network of the dataset-distillation literature.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses
import itertools

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
    lecun_normal,
    outputs,
    torch_kernel,
)
from ddjax.models.model import Model, Size, StateDict, renamed, side
from ddjax.models.norm import NORMS

# Initialisers of kernels and of biases, None for PyTorch's.
_INITIAL = {
    "torch": (torch_kernel, None),
    "lecun": (lecun_normal, nn.initializers.zeros),
}
STARTS = tuple(_INITIAL)


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
    doubling: bool = setting(
        False, "Whether a block has twice the channels of the one before (FRePo)."
    )
    norm_first: bool = setting(
        False,
        "Whether blocks begin with their norm, of which the first has none (FRePo); "
        "else it follows the convolution.",
    )
    first_padding: int = setting(
        0,
        "Zeros around the image in the first convolution; 0: 3 at 28 px, else 1. FRePo "
        "and DC have 3 for all grey images.",
        "[1, 16]",
        also=(0,),
    )
    start: str = setting(
        "torch", "How weights start: as in PyTorch, or in Flax (FRePo).", STARTS
    )


def model(depth: int, *sizes: Size) -> Model:
    """Returns ConvNet-D`depth`."""

    def build(num_classes, image_size, options, layers):
        layers = layers.normed(options.norm, options.width)
        padding = options.first_padding or _first_padding(image_size)
        fits = image_size + 2 * (padding - 1) >= 2**depth
        allowed = f"at least {2**depth} px, since each of the {depth} blocks halves it"
        require(fits, "image_size", image_size, allowed)
        return ConvNet(
            num_classes,
            image_size,
            options.width,
            depth,
            layers,
            options.doubling,
            options.norm_first,
            padding,
            options.start,
        )

    def image_size(tensors, options):
        head, stem = (tensors[f"{k}.weight"] for k in ("classifier", "features.0"))
        last = [*_widths(len(stem), depth, options.get("doubling", False))][-1]
        around = 2 * (max(options.get("first_padding", 0), 1) - 1)
        return max(side(head.shape[1] / last) * 2**depth - around, 0)

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


def _widths(width, depth, doubling):
    """Channels of each block."""
    return (width << i if doubling else width for i in range(depth))


def _first_padding(image_size):
    return 3 if image_size == 28 else 1


class ConvNet(nn.Module):
    """`depth` x [3x3 convolution with bias, norm, ReLU, 2x2 average pool], linear.

    Images of 28 px are padded by 3 in the first convolution, so that the maps are
    32, 16, 8, 4 as in the literature; all other convolutions pad by 1. Weights and
    biases start as PyTorch's default, which the published numbers use. The features
    are the last map, flattened in PyTorch's order C, H, W.

    FRePo's network is another in its options: channels double, the norm stands before
    the convolution and not in the first block, all grey images are padded by 3, and
    weights start as Flax's default (yongchao97/FRePo, lib/models/networks.py, Conv).
    Its features are flattened in the order H, W, C, which changes no kernel of them,
    and its batch norm keeps 0.1 of its running statistics where it is 0.9 here.

    Attributes:
      depth: number of blocks.
      padding: zeros around the image in the first convolution.
    """

    num_classes: int
    image_size: int
    width: int
    depth: int
    layers: Layers
    doubling: bool
    norm_first: bool
    padding: int
    start: str

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        kernel_init, bias_init = _INITIAL[self.start]
        # PyTorch numbers convolution, norm if there is one, ReLU and pooling in a row.
        places = itertools.count()

        def normalised(x):
            if layers.norm == "none":
                return x
            return layers.normalise(x, train, f"features.{next(places)}")

        for i, width in enumerate(_widths(self.width, self.depth, self.doubling)):
            if i and self.norm_first:
                x = normalised(x)
            x = layers.conv(
                x,
                width,
                3,
                f"features.{next(places)}",
                padding=1 if i else self.padding,
                use_bias=True,
                kernel_init=kernel_init,
                bias_init=bias_init,
            )
            if not self.norm_first:
                x = normalised(x)
            x = nn.relu(x)
            keep_map(self, x)
            x = average_pool(x)
            next(places), next(places)  # of ReLU and pooling
        x_BD = flatten(x)
        logits_BC = layers.dense(
            x_BD, self.num_classes, "classifier", kernel_init, bias_init
        )
        return outputs(logits_BC, x_BD, features)
