"""The networks: `create` gives a Linen module, `network` its pure functions."""

import dataclasses
from typing import Any

from flax import linen as nn

from ddjax.declare.walk import require
from ddjax.errors import InputError
from ddjax.models import (
    alexnet,
    convnet,
    densenet,
    efficientnet,
    mlp,
    mobilenet,
    resnet,
    shufflenet,
    swin,
    vgg,
    vit,
    wide_resnet,
)
from ddjax.models.functional import Network, Variables, moments, running_moments
from ddjax.models.layers import Layers
from ddjax.models.model import Model, Size, Task, accept, choose
from ddjax.models.torch import from_torch, read_experts, save_safetensors, to_torch

__all__ = [
    "MODELS",
    "Model",
    "Network",
    "Variables",
    "create",
    "from_torch",
    "moments",
    "network",
    "running_moments",
    "read_experts",
    "save_safetensors",
    "to_torch",
]


def __dir__() -> list[str]:
    return __all__


MODELS: dict[str, Model] = {
    "alexnet": alexnet.MODEL,
    "convnet_d1": convnet.model(1, Size(32, 10)),
    "convnet_d2": convnet.model(2, Size(32, 10)),
    "convnet_d3": convnet.model(3, Size(32, 10), Size(32, 100)),
    "convnet_d4": convnet.model(4, Size(64, 200)),
    "convnet_d5": convnet.model(5, Size(128, 10)),
    "convnet_d6": convnet.model(6, Size(256, 10)),
    "densenet121": densenet.MODEL,
    "efficientnet_b0": efficientnet.MODEL,
    "mlp": mlp.MODEL,
    "mobilenet_v2": mobilenet.MODEL,
    "resnet101": resnet.resnet(101, Size(224, 1000, 44_549_160, 7.801)),
    "resnet18": resnet.resnet(
        18, Size(32, 10), Size(64, 200), Size(224, 1000, 11_689_512, 1.814)
    ),
    "resnet34": resnet.resnet(34, Size(224, 1000, 21_797_672, 3.664)),
    "resnet50": resnet.resnet(50, Size(224, 1000, 25_557_032, 4.089)),
    "resnet_ap10": resnet.RESNET_AP10,
    "shufflenet_v2_x0_5": shufflenet.MODEL,
    "swin_v2_t": swin.MODEL,
    "vgg11": vgg.MODEL,
    "vit_b_16": vit.MODEL,
    "wide_resnet_16_2": wide_resnet.MODEL,
}
# Options of every network, beside its own.
_COMMON = ("dtype", "lowering")


def create(name: str, num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """Builds a network by name.

    `module.apply(variables, images, train=False)` maps images [B, H, W, C] float32,
    normalised, to logits [B, num_classes]; with `features=True` to (logits, features
    [B, D]), the features being the input of the last dense layer.

    Args:
      name: a key of `MODELS`.
      num_classes: number of classes, at least 2.
      image_size: height and width of the images, px.
      **options: fields of `MODELS[name].options`, and for every network `dtype`,
        "float32" or "bfloat16", in which layers compute (parameters, moments and logits
        are float32 in both), and `lowering`, how convolutions are computed, see
        `ddjax.models.conv`.

    Returns:
      The Linen module.

    Raises:
      InputError: an unknown name or option, or a value out of range; the message
        begins with the name of what is wrong.
    """
    model = choose(MODELS, name)
    task = accept(Task, {"num_classes": num_classes, "image_size": image_size})
    known = [*(field.name for field in dataclasses.fields(model.options)), *_COMMON]
    for option, value in options.items():
        if option not in known:
            raise InputError(
                f"{option}: found {value!r}, but {name} has no such option; allowed "
                f"options: {', '.join(known)}"
            )
    common = {key: options.pop(key) for key in _COMMON if key in options}
    layers = Layers("none", **accept(Layers, common))
    given = model.options(**accept(model.options, options))
    return model.build(task["num_classes"], task["image_size"], given, layers)


def network(
    name: str, num_classes: int, image_shape: tuple[int, int, int], **options: Any
) -> Network:
    """Builds a network by name, as pure functions.

    Args:
      name: a key of `MODELS`.
      num_classes: number of classes, at least 2.
      image_shape: (height, width, channels) of one image; height equals width.
      **options: see `create`.

    Returns:
      The network; equal arguments give an equal one.

    Raises:
      InputError: as `create`, or an image shape that is not square.
    """
    height, width, channels = accept(Task, {"image_shape": image_shape})["image_shape"]
    require(height == width, "image_shape", image_shape, "of equal height and width")
    module = create(name, num_classes, height, **options)
    return Network(module, (height, width, channels))
