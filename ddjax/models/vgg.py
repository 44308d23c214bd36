"""VGG-11 as torchvision builds it, with and without normalisation.

Letters: B batch, H W image, C channels, D features.
"""

import dataclasses

import jax
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.models.layers import (
    Dropout,
    Layers,
    Outputs,
    adaptive_average_pool,
    flatten,
    max_pool,
    normal,
    outputs,
)
from ddjax.models.model import Model, Size, StateDict, renamed
from ddjax.models.norm import NORMS

# Column A of the paper.
_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_SMALLEST = 2 ** len(_STAGES)


@dataclasses.dataclass(frozen=True)
class Options:
    """VGG-11 as torchvision builds it, with and without normalisation."""

    norm: str = setting(
        "none",
        "The normalisation: none (torchvision's vgg11), batch (its vgg11_bn).",
        NORMS,
    )
    dropout: float = setting(
        0.5, "Probability of zero behind both hidden dense layers.", "[0, 1)"
    )


def _build(num_classes, image_size, options, layers):
    allowed = f"at least {_SMALLEST} px, since {len(_STAGES)} stages halve the image"
    require(image_size >= _SMALLEST, "image_size", image_size, allowed)
    layers = layers.normed(options.norm)
    return VGG(num_classes, options.dropout, layers, stages=_STAGES, hidden=4096)


_TIMM = (
    (r"^pre_logits\.fc1\.", "classifier.0."),
    (r"^pre_logits\.fc2\.", "classifier.3."),
    (r"^head\.fc\.", "classifier.6."),
)


def _standard(tensors):
    """timm's dense layers are convolutions whose kernels cover their whole map."""
    found = renamed(tensors, _TIMM)
    for key in ("classifier.0.weight", "classifier.3.weight"):
        if key in found:
            found[key] = found[key].reshape(len(found[key]), -1)
    return found


MODEL = Model(
    "vgg",
    Options,
    _build,
    (
        Size(224, 1000, 132_863_336, 7.609),
        Size(224, 1000, 132_868_840, 7.609, {"norm": "batch"}),
    ),
    StateDict("features.0", "classifier.6", standard=_standard),
)


class VGG(nn.Module):
    """Stages of 3x3 convolutions and a max-pool, averages of 7x7, three dense layers.

    Convolutions start Kaiming normal (fan out), dense layers normal with deviation
    0.01, all biases zero. The features [B, hidden], 4096 in `MODELS`, are the second
    dense layer after ReLU and dropout.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale
    image recognition", in the form of torchvision's `vgg11` and `vgg11_bn`, names and
    defaults included.

    Attributes:
      stages: channels of the convolutions before each pooling.
      hidden: units of the first two dense layers.
    """

    num_classes: int
    dropout: float
    layers: Layers
    stages: tuple[tuple[int, ...], ...]
    hidden: int

    @nn.compact
    def __call__(self, images_BHWC: jax.Array, train=False, features=False) -> Outputs:
        """Returns logits [B, num_classes], or (logits, features [B, D])."""
        layers, x = self.layers, images_BHWC
        number = 0  # Of the layer; PyTorch counts ReLU and pooling too.
        for stage in self.stages:
            for channels in stage:
                x = layers.conv(
                    x,
                    channels,
                    3,
                    f"features.{number}",
                    use_bias=True,
                    bias_init=nn.initializers.zeros,
                )
                x = nn.relu(layers.normalise(x, train, f"features.{number + 1}"))
                number += 2 if layers.norm == "none" else 3
            x = max_pool(x, 2, 2)
            number += 1
        x_BD = flatten(adaptive_average_pool(x, 7))
        for i in (0, 3):
            x_BD = nn.relu(self._dense(x_BD, self.hidden, i))
            x_BD = Dropout(self.dropout, train, name=f"classifier.{i + 2}")(x_BD)
        return outputs(self._dense(x_BD, self.num_classes, 6), x_BD, features)

    def _dense(self, x_BD, units, number):
        init = normal(0.01), nn.initializers.zeros
        return self.layers.dense(x_BD, units, f"classifier.{number}", *init)
