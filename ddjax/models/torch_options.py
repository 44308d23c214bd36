"""What the tensors of a `state_dict` tell about their network."""

import dataclasses
import inspect
import math
import re
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ddjax import models
from ddjax.errors import InputError
from ddjax.models.options import integer
from ddjax.models.torch_names import family


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The arguments of `models.network`, but for the name.

    Attributes:
      num_classes: number of logits.
      image_shape: (height, width, channels) of one image.
      options: of that network.
    """

    num_classes: int
    image_shape: tuple[int, int, int]
    options: dict[str, Any]


def arguments(
    name: str,
    tensors: dict[str, np.ndarray],
    num_classes: int | None,
    image_size: int | None,
    options: dict[str, Any],
) -> Arguments:
    """Reads from tensors what the caller did not say.

    Args:
      name: of the network, a key of `MODELS`.
      tensors: our name -> array in PyTorch's layout.
      num_classes: number of logits; None: that of the tensors.
      image_size: height and width of the images, px. None: what the classifier or the
        position embedding fits, else a size the first convolution is for.
      options: of the network; those not given are read where tensors differ by them:
        width, norm, stem, downsample and hidden. Group norm and instance norm have
        equal tensors, so that group norm must be given.

    Returns:
      The arguments.

    Raises:
      InputError: the first or last layer is missing, or the tensors are of another
        number of classes.
    """
    stem, head = _ends(name, tensors)
    if num_classes not in (None, len(head)):
        raise InputError(
            f"num_classes: found {num_classes}, but the tensors are of a network with "
            f"{len(head)} classes"
        )
    if image_size is not None:
        image_size = integer("image_size", image_size, 1)
    known = inspect.signature(models.MODELS[name]).parameters
    told = {k: v for k, v in _options(name, tensors, stem).items() if k in known}
    options = told | options
    columns = stem.shape[1]
    if name == "mlp":
        if image_size is None:
            image_size = next((s for c in (3, 1) if (s := _side(columns / c))), 0)
        channels = columns // max(image_size**2, 1)
        if not image_size or channels * image_size**2 != columns:
            raise InputError(
                f"image_size: found {image_size or 'none'}, but the first layer has "
                f"{columns} inputs, which are no square images of that size"
            )
    else:
        channels = columns
        if image_size is None:
            image_size = _image_size(name, tensors, stem, head, options)
    return Arguments(len(head), (image_size, image_size, channels), options)


def _ends(name, tensors):
    """The weights of the first and of the last layer."""
    ends = family(name)
    found = []
    for layer, rank in ((ends.stem, 2 if name == "mlp" else 4), (ends.head, 2)):
        fitting = [key for key in tensors if fnmatchcase(key, f"{layer}.weight")]
        fitting = [key for key in fitting if tensors[key].ndim == rank]
        if not fitting:
            raise InputError(
                f"there is no {layer}.weight with {rank} axes among the {len(tensors)} "
                f"tensors {', '.join(list(tensors)[:8])}, ..."
            )
        # Of two numbers the longer is the larger.
        found.append(tensors[max(fitting, key=lambda key: (len(key), key))])
    return found


def _options(name, tensors, stem):
    """The options that tensors differ by, whether the network has them or not."""
    vectors = any(k.endswith("weight") and v.ndim == 1 for k, v in tensors.items())
    if any(key.endswith("running_mean") for key in tensors):
        norm = "batch"
    else:
        norm = "instance" if vectors else "none"
    layers = [k for k in tensors if re.fullmatch(r"fc_\d+\.weight", k)]
    layers = sorted(layers, key=lambda k: (len(k), k))
    found = {"norm": norm, "width": len(stem)}
    found["hidden"] = tuple(len(tensors[key]) for key in layers[:-1])
    if re.fullmatch(r"resnet\d+", name):
        found["stem"] = "large" if stem.shape[2] == 7 else "small"
        # Pooling is the layer between convolution and norm, which both have a number.
        average = any(".downsample.2." in key for key in tensors)
        found["downsample"] = "average" if average else "stride"
    return found


def _side(pixels):
    """The side of a square of so many pixels, 0 if there is none."""
    side = math.isqrt(int(pixels))
    return side if side**2 == pixels else 0


def _image_size(name, tensors, stem, head, options):
    if name.startswith("convnet"):
        return _side(head.shape[1] / len(stem)) * 2 ** int(name[-1])
    if name.startswith("vit"):
        place = tensors.get("encoder.pos_embedding", np.zeros((1, 197, 1)))
        return _side(place.shape[1] - 1) * stem.shape[2]
    if options.get("downsample") == "average":
        widest = [k for k in tensors if re.fullmatch(r"layer4\.0\.conv\d\.weight", k)]
        return 8 * _side(head.shape[1] / len(tensors[max(widest)]))
    small = name.startswith(("resnet", "wide_resnet")) and stem.shape[2] == 3
    return 64 if small else 224
