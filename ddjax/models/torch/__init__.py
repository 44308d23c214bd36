"""Weights of PyTorch's networks as variables, and back.

A layer's name here is its name there, see `Layers`, so that a parameter's path joined
by dots is its key in a `state_dict`; only leaves and layouts differ.
"""

import dataclasses
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddjax import keys, models
from ddjax.artifacts import write_file
from ddjax.declare.walk import require
from ddjax.errors import InputError
from ddjax.models.functional import Variables
from ddjax.models.model import StateDict, Task, Tensors, accept, choose
from ddjax.models.torch.experts import read_experts
from ddjax.models.torch.files import check_name, read_state, source_name
from ddjax.models.torch.layout import torch_axes, torch_key

__all__ = ["from_torch", "read_experts", "save_safetensors", "to_torch"]


def __dir__() -> list[str]:
    return __all__


_SHOWN = 8  # names of each kind in a message


def from_torch(
    name: str,
    state: Mapping[str, Any] | str | os.PathLike,
    num_classes: int | None = None,
    image_size: int | None = None,
    *,
    weights: str = "",
    architecture: str = "",
    **options: Any,
) -> Variables:
    """Makes the variables of a network from weights of PyTorch.

    Every tensor is used exactly once. Names may be torchvision's or those of the
    paper's code; those of DC, IDC and CIFAR networks that end in "classifier" or
    "linear" or have a "shortcut"; those of CV-DD's densenet121 for small images; and
    those of timm's vgg11, mobilenetv2_100, efficientnet_b0, densenet121,
    vit_base_patch16_224, swinv2_tiny_window8_256 and resnets.

    Args:
      name: a key of `MODELS`.
      state: a `state_dict`, or a file with one, see `files.read_state`.
      num_classes, image_size: as of `create`; None: read from the tensors, as are the
        channels of an image. Where tensors fit any size, it is one that the first
        convolution is for.
      weights: which set of weights of a file that holds several, keys joined by dots,
        such as "state_dict_ema".
      architecture: what the file calls its network, if that is not the name or one of
        the same network's known ones; another name is refused.
      **options: of that network, see `create`; those that change the shape of tensors
        are read from them if not given: width, growth, norm, stem, downsample, hidden.
        Group and instance norm have equal tensors, so that group norm must be given.

    Returns:
      The variables, float32 copies, and int32 counts of batches.

    Raises:
      InputError: tensors are missing, left over, of another shape or kind, infinite
        or NaN; the file cannot be read, holds several sets of weights, or names
        another network; or an option is out of range.
    """
    layout = _layout(name)
    source, (raw, names) = source_name(state), read_state(state, weights)
    try:
        tensors = layout.standard(raw)
        arguments = _arguments(name, tensors, num_classes, image_size, options)
        expected = _expected(name, arguments)
    except InputError as error:
        message = f"{source}: does not fit {name}: {error}{_hint(name, raw)}"
        raise InputError(message) from error
    constants = layout.constants(expected)
    _add_counts(tensors, expected)
    problems = _problems(tensors, expected, constants)
    if problems:
        raise InputError(f"{source}: does not fit {name}: {problems}{_hint(name, raw)}")
    check_name(name, (architecture, *layout.also), names, source)
    _check_values(source, tensors, constants)
    return traverse_util.unflatten_dict(
        {path: _leaf(path, tensors[key]) for key, (path, _) in expected.items()}
    )


def to_torch(name: str, variables: Variables) -> dict[str, np.ndarray]:
    """Returns the `state_dict` of a network, the inverse of `from_torch`.

    Args:
      name: a key of `MODELS`, whose variables these are.
      variables: from `Network.init`, `Network.apply` or `from_torch`.

    Returns:
      Name -> array in PyTorch's layout, a copy: the same float32 numbers, int64 counts
      of batches, and the constants that torchvision's Swin keeps beside its weights.

    Raises:
      InputError: there is no such network.
    """
    layout = choose(models.MODELS, name).state_dict
    tensors = {}
    for path, leaf in traverse_util.flatten_dict(variables).items():
        array = np.asarray(leaf).transpose(torch_axes(path, np.ndim(leaf)))
        # A copy, since the array is a read-only view of memory that JAX owns.
        kind = np.int64 if path[-1] == "count" else array.dtype
        tensors[torch_key(path)] = np.array(array, kind, order="C")
    return tensors | (layout.constants(tensors) if layout else {})


def save_safetensors(path: str | os.PathLike, name: str, variables: Variables) -> None:
    """Writes the `state_dict` of a network; the file is whole or not there.

    Args:
      path: file to create or replace; its folder must exist.
      name, variables: see `to_torch`.

    Raises:
      InputError: there is no such network.
    """
    from safetensors.numpy import save

    names = {"format": "pt", "architecture": name}
    write_file(path, save(to_torch(name, variables), names))


def _layout(name: str) -> StateDict:
    """How PyTorch keeps a network's weights."""
    layout = choose(models.MODELS, name).state_dict
    allowed = "a network with weights in PyTorch"
    require(layout is not None, "name", name, allowed)
    return cast(StateDict, layout)


def _arguments(
    name: str,
    tensors: Tensors,
    num_classes: int | None,
    image_size: int | None,
    options: dict[str, Any],
) -> tuple[int, tuple[int, int, int], dict[str, Any]]:
    """Returns classes, image shape and options, read from tensors where not given."""
    layout = _layout(name)
    stem, head = _end(tensors, layout.stem, layout.rank), _end(tensors, layout.head, 2)
    if num_classes not in (None, len(head)):
        raise InputError(
            f"num_classes: found {num_classes}, but the tensors are of a network with "
            f"{len(head)} classes"
        )
    known = {field.name for field in dataclasses.fields(models.MODELS[name].options)}
    found = {"norm": _norm(tensors), "width": len(stem)}
    found = {key: value for key, value in found.items() if key in known}
    options = found | layout.options(tensors) | options
    if image_size is None:
        size = layout.image_size(tensors, options)
    else:
        size = accept(Task, {"image_size": image_size})["image_size"]
    channels = columns = stem.shape[1]
    if layout.rank == 2:
        channels = columns // max(size**2, 1)
        if not size or channels * size**2 != columns:
            raise InputError(
                f"image_size: found {size or 'none'}, but the first layer has "
                f"{columns} inputs, which are no square images of that size"
            )
    return len(head), (size, size, channels), options


def _end(tensors, layer, rank):
    """The weights of the first or of the last layer."""
    fitting = [key for key in tensors if fnmatchcase(key, f"{layer}.weight")]
    fitting = [key for key in fitting if tensors[key].ndim == rank]
    if not fitting:
        raise InputError(
            f"there is no {layer}.weight with {rank} axes among the {len(tensors)} "
            f"tensors {', '.join(list(tensors)[:_SHOWN])}, ..."
        )
    # Of two numbers the longer is the larger.
    return tensors[max(fitting, key=lambda key: (len(key), key))]


def _norm(tensors):
    if any(key.endswith("running_mean") for key in tensors):
        return "batch"
    vectors = any(k.endswith("weight") and v.ndim == 1 for k, v in tensors.items())
    return "instance" if vectors else "none"


def _expected(name, arguments):
    """Name in PyTorch -> (path, shape in PyTorch's layout), without computing any."""
    num_classes, image_shape, options = arguments
    network = models.network(name, num_classes, image_shape, **options)
    shapes = jax.eval_shape(network.init, keys.key(0))
    found = {}
    for path, leaf in traverse_util.flatten_dict(shapes).items():
        axes = torch_axes(path, leaf.ndim)
        found[torch_key(path)] = path, tuple(leaf.shape[axis] for axis in axes)
    return found


def _add_counts(tensors, expected):
    """Starts the counts at zero if there are none, as before PyTorch 0.4.1.

    Much used files are that old, torchvision's ResNets among them; PyTorch does so too.
    """
    counts = [key for key in expected if key.endswith(".num_batches_tracked")]
    if not any(key in tensors for key in counts):
        tensors.update(dict.fromkeys(counts, np.zeros((), np.int64)))


def _problems(tensors, expected, constants):
    """What is missing, left over or of another shape, in words; "" if nothing."""
    shapes = {key: shape for key, (_, shape) in expected.items()}
    allowed = shapes | {key: array.shape for key, array in constants.items()}
    wrong = [
        f"{key} (found {tensors[key].shape}, expected {shape})"
        for key, shape in allowed.items()
        if key in tensors and tensors[key].shape != shape
    ]
    kinds = {
        "missing": [key for key in shapes if key not in tensors],
        "left over": [key for key in tensors if key not in allowed],
        "of another shape": wrong,
    }
    return "; ".join(_listed(kind, keys) for kind, keys in kinds.items() if keys)


def _listed(kind, keys):
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{len(keys)} {kind}: {', '.join(keys[:_SHOWN])}{more}"


def _hint(name, raw):
    """Which other networks the tensors fit, in words; "" if none."""
    others = [key for key, m in models.MODELS.items() if m.state_dict and key != name]
    fitting = [other for other in others if _fits(other, raw)]
    return f"; they fit {', '.join(fitting)}" if fitting else ""


def _fits(name, raw):
    try:
        tensors = _layout(name).standard(raw)
        expected = _expected(name, _arguments(name, tensors, None, None, {}))
    except InputError:
        return False
    _add_counts(tensors, expected)
    return not _problems(tensors, expected, _layout(name).constants(expected))


def _check_values(source, tensors, constants):
    for key, array in tensors.items():
        count = key.endswith("num_batches_tracked")
        kind = "iu" if count or key.endswith("_index") else "f"
        if array.dtype.kind not in kind:
            allowed = "float" if kind == "f" else "integer"
            raise InputError(
                f"{source}: {key}: found {array.dtype}, allowed is {allowed}"
            )
        if count and not 0 <= array <= np.iinfo(np.int32).max:
            raise InputError(f"{source}: {key}: found {array}, allowed is an int32")
        if not np.isfinite(array).all():
            raise InputError(
                f"{source}: {key}: found NaN or infinite numbers, allowed are finite"
            )
        # Half precision rounds the table, but keeps neighbours apart.
        if key in constants and not np.allclose(array, constants[key], atol=1e-2):
            raise InputError(
                f"{source}: {key}: found other numbers than this network computes, so "
                "the weights are of another one"
            )


def _leaf(path, array):
    """The variable at a path; it may share memory with the array."""
    kind = jnp.int32 if path[-1] == "count" else jnp.float32
    axes = np.argsort(torch_axes(path, array.ndim))
    return jnp.asarray(array.transpose(axes), kind)
