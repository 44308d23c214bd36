"""A multi-layer perceptron on the flattened image.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses
import functools
import re

import jax
from flax import linen as nn
from jax import lax

from ddjax.declare import setting
from ddjax.models.layers import Layers, Outputs, flatten, outputs
from ddjax.models.model import Model, Size, StateDict, side


@dataclasses.dataclass(frozen=True)
class Options:
    """A multi-layer perceptron on the flattened image."""

    hidden: tuple[int, ...] = setting(
        (128, 128),
        "Units of each hidden layer; (): a linear model.",
        "[1, 65536]",
        counts="[0, 32]",
    )


def _build(num_classes, image_size, options, layers):
    del image_size  # Any will do.
    return MLP(num_classes, options.hidden, layers)


def _options(tensors):
    names = [key for key in tensors if re.fullmatch(r"fc_\d+\.weight", key)]
    names.sort(key=lambda key: (len(key), key))
    return {"hidden": tuple(len(tensors[key]) for key in names[:-1])}


def _image_size(tensors, options):
    columns = tensors["fc_1.weight"].shape[1]
    return side(columns / 3) or side(columns)


MODEL = Model(
    "mlp",
    Options,
    _build,
    (Size(32, 10),),
    StateDict("fc_1", "fc_*", rank=2, options=_options, image_size=_image_size),
)


class MLP(nn.Module):
    """Flatten, hidden layers with ReLU, linear; all start as PyTorch's default.

    Its layers are fc_1, fc_2, ... in the order of the data, the last the logits, as in
    the MLP of DC. The features are the last hidden layer after ReLU, or the pixels if
    there is none.
    """

    num_classes: int
    hidden: tuple[int, ...]
    layers: Layers

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        del train  # The same in both modes.
        x_BD = flatten(images_BHWC)
        dot = None
        if self.hidden:
            dot = functools.partial(_dot_pixels, shape_HWC=images_BHWC.shape[1:])
            x_BD = images_BHWC.reshape(x_BD.shape)
        for i, units in enumerate(self.hidden):
            x_BD = self.layers.dense(x_BD, units, f"fc_{i + 1}", dot_general=dot)
            x_BD, dot = nn.relu(x_BD), None
        name = f"fc_{len(self.hidden) + 1}"
        logits_BC = self.layers.dense(x_BD, self.num_classes, name)
        return outputs(logits_BC, x_BD, features)


def _dot_pixels(x_BD, kernel_DO, dims, *, shape_HWC, **options):
    """Multiplies with a kernel in PyTorch's order, channels outermost.

    It turns the kernel round instead of a batch of images, which are more numbers.
    """
    height, width, channels = shape_HWC
    kernel = kernel_DO.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    return lax.dot_general(x_BD, kernel.reshape(kernel_DO.shape), dims, **options)
