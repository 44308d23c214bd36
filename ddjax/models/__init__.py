"""The networks: `create` gives a Linen module, `network` its pure functions."""

import inspect
from collections.abc import Callable
from typing import Any

from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import convnet, mlp, options, resnet
from ddjax.models.functional import Network, Variables

__all__ = ["MODELS", "Network", "Variables", "create", "network"]

# Each takes (num_classes, image_size, *, options...) and returns a module.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "convnet": convnet.convnet,
    "mlp": mlp.mlp,
    "resnet18": resnet.resnet18,
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
