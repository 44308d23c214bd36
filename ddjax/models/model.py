"""What a network declares of itself: a `Model`, which one line of `MODELS` names.

Everything else reads the declaration: `create`, the settings and their checks, `ddjax
list networks`, docs/models.md, and `ddjax.models.torch`, which reads PyTorch's weights.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flax import linen as nn

from ddjax.declare import setting
from ddjax.declare.walk import convert, require, suggestion
from ddjax.errors import InputError

STEMS = ("auto", "small", "large")
_LARGEST_SMALL = 64

# Name -> array in PyTorch's layout.
Tensors = dict[str, np.ndarray]


def renamed(tensors: Tensors, aliases: Iterable[tuple[str, str]]) -> Tensors:
    """Gives tensors of another library our names.

    Args:
      tensors: under their names there.
      aliases: (pattern, replacement), which are applied one after the other.

    Raises:
      InputError: two tensors would have the same name.
    """
    compiled = [(re.compile(pattern), new) for pattern, new in aliases]
    found: Tensors = {}
    for key, array in tensors.items():
        ours = key
        for pattern, new in compiled:
            ours = pattern.sub(new, ours)
        put(found, ours, array, key)
    return found


def put(tensors: Tensors, key: str, array: np.ndarray, original: str) -> None:
    """Adds a tensor, or raises InputError where there is one of that name."""
    if key in tensors:
        raise InputError(
            f"{original}: found two tensors that are called {key} here, allowed is one"
        )
    tensors[key] = array


def side(pixels: float) -> int:
    """Returns the side of a square of so many pixels, 0 if there is none."""
    found = math.isqrt(int(pixels))
    return found if found**2 == pixels else 0


@dataclasses.dataclass(frozen=True)
class StateDict:
    """A network's weights as PyTorch's libraries keep them.

    Our names of layers are torchvision's, or those of the paper's code for networks
    that it does not have.

    Attributes:
      stem: name of the first layer, which reads the image.
      head: name of the last layer, which gives the logits; * stands for a number, the
        largest there is.
      also: what timm and the papers' code call the network.
      standard: gives tensors of other libraries our names, and our shapes where they
        differ; unknown names stay what they are.
      rank: axes of the stem's kernel, 4, or 2 if it is dense on the flattened image.
      options: reads from the tensors the options by which they differ, but for norm and
        width, which are read alike for all networks.
      image_size: reads from tensors and options which images fit, px; 0: none do.
      constants: makes from the tensors' names what PyTorch keeps beside the weights.
    """

    stem: str
    head: str
    also: tuple[str, ...] = ()
    standard: Callable[[Tensors], Tensors] = dict
    rank: int = 4
    options: Callable[[Tensors], dict[str, Any]] = lambda tensors: {}
    image_size: Callable[[Tensors, Mapping[str, Any]], int] = lambda tensors, given: 224
    constants: Callable[[Iterable[str]], Tensors] = lambda names: {}


@dataclasses.dataclass(frozen=True)
class Size:
    """Images and classes for which the literature uses a network, for docs/models.md.

    Attributes:
      image_size: height and width, px.
      num_classes: number of logits.
      parameters: published number, None if there is none.
      giga: published multiply-adds / 1e9, rounded to 3 decimals, or None.
      options: those that differ from the defaults.
    """

    image_size: int
    num_classes: int
    parameters: int | None = None
    giga: float | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Model:
    """A network.

    Attributes:
      family: name of the section of the settings that holds its options.
      options: their class, a frozen dataclass of `setting` fields; the first line of
        its documentation is what `ddjax list networks` prints.
      build: (num_classes, image_size, options, layers) -> the Linen module, whose
        `layers` attribute is `layers` with the network's kind of norm, "none" before.
        It raises InputError where options or image size do not fit together.
      sizes: at which the literature uses it.
      state_dict: its weights in PyTorch; None: none can be read.
    """

    family: str
    options: type
    build: Callable[..., nn.Module]
    sizes: tuple[Size, ...]
    state_dict: StateDict | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What every network is built for."""

    num_classes: int = setting(2, "Number of logits.", "[2, inf)")
    image_size: int = setting(1, "Height and width of the images, px.", "[1, inf)")
    image_shape: tuple[int, ...] = setting(
        (1, 1, 1), "Height, width and channels of an image.", "[1, inf)", counts="[3,3]"
    )


def accept(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Checks values against the declarations of the fields that they are for.

    Args:
      kind: a dataclass of `setting` fields.
      given: field -> value.

    Returns:
      Field -> value, of the field's type.

    Raises:
      InputError: a value that is not allowed; the message begins with the field.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return {name: convert(name, fields[name], value) for name, value in given.items()}


def choose(models: Mapping[str, Model], name: Any) -> Model:
    """Returns the model of a name, or raises InputError."""
    known = isinstance(name, str) and name in models
    allowed = f"one of {', '.join(models)}{suggestion(str(name), models)}"
    require(known, "name", name, allowed)
    return models[name]


def small_stem(stem: str, image_size: int) -> bool:
    """Returns whether a network begins as those for images of up to 64 px do."""
    return stem == "small" or (stem == "auto" and image_size <= _LARGEST_SMALL)
