"""The networks: `create` gives a Linen module, `network` its pure functions."""

import inspect
from collections.abc import Callable
from typing import Any

from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import (
    alexnet,
    convnet,
    efficientnet,
    mlp,
    mobilenet,
    options,
    resnet,
    resnet_ap,
    shufflenet,
    swin,
    vgg,
    vit,
    wide_resnet,
)
from ddjax.models.functional import Network, Variables, moments, running_moments
from ddjax.models.torch_weights import from_torch, save_safetensors, to_torch

__all__ = [
    "MODELS",
    "Network",
    "Variables",
    "create",
    "from_torch",
    "moments",
    "network",
    "running_moments",
    "save_safetensors",
    "to_torch",
]


def __dir__() -> list[str]:
    return __all__


# Each takes (num_classes, image_size, *, options...) and returns a module.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet.alexnet,
    "convnet_d1": convnet.convnet(1),
    "convnet_d2": convnet.convnet(2),
    "convnet_d3": convnet.convnet(3),
    "convnet_d4": convnet.convnet(4),
    "convnet_d5": convnet.convnet(5),
    "convnet_d6": convnet.convnet(6),
    "efficientnet_b0": efficientnet.efficientnet_b0,
    "mlp": mlp.mlp,
    "mobilenet_v2": mobilenet.mobilenet_v2,
    "resnet101": resnet.resnet(101),
    "resnet18": resnet.resnet(18),
    "resnet34": resnet.resnet(34),
    "resnet50": resnet.resnet(50),
    "resnet_ap10": resnet_ap.resnet_ap10,
    "shufflenet_v2_x0_5": shufflenet.shufflenet_v2_x0_5,
    "swin_v2_t": swin.swin_v2_t,
    "vgg11": vgg.vgg11,
    "vit_b_16": vit.vit_b_16,
    "wide_resnet_16_2": wide_resnet.wide_resnet_16_2,
}


def create(name: str, num_classes: int, image_size: int, **kwargs: Any) -> nn.Module:
    """Builds a network by name.

    `module.apply(variables, images, train=False)` maps images [B, H, W, C] float32,
    normalised, to logits [B, num_classes]; with `features=True` to (logits, features
    [B, D]), the features being the input of the last dense layer.

    Args:
      name: a key of `MODELS`.
      num_classes: number of classes, at least 2.
      image_size: height and width of the images, px.
      **kwargs: options of that network, see `MODELS[name]`.

    Returns:
      The Linen module.

    Raises:
      InputError: an unknown name or option, or a value out of range; the message
        begins with the name of what is wrong.
    """
    build = MODELS[options.choice("name", name, tuple(MODELS))]
    num_classes = options.integer("num_classes", num_classes, 2)
    image_size = options.integer("image_size", image_size, 1)
    parameters = inspect.signature(build).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for option, value in kwargs.items():
        if option not in known:
            raise InputError(
                f"{option}: found {value!r}, but {name} has no such option; allowed "
                f"options: {', '.join(known)}"
            )
    return build(num_classes, image_size, **kwargs)


def network(
    name: str, num_classes: int, image_shape: tuple[int, int, int], **kwargs: Any
) -> Network:
    """Builds a network by name, as pure functions.

    Args:
      name: a key of `MODELS`.
      num_classes: number of classes, at least 2.
      image_shape: (height, width, channels) of one image; height equals width.
      **kwargs: options of that network, see `MODELS[name]`.

    Returns:
      The network; equal arguments give an equal one.

    Raises:
      InputError: as `create`, or an image shape that is not square.
    """
    shape = options.integers("image_shape", image_shape, 1)
    if len(shape) != 3 or shape[0] != shape[1]:
        raise InputError(
            f"image_shape: found {shape}, allowed is (height, width, channels) with "
            "equal height and width"
        )
    return Network(create(name, num_classes, shape[0], **kwargs), shape)
