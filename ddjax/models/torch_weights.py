"""Weights of PyTorch's networks as variables, and back.

A layer's name here is its name there, see `Layers`, so that a parameter's path joined
by dots is its key in a `state_dict`; only leaves and layouts differ.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddjax import keys, models
from ddjax.artifacts import write_file
from ddjax.errors import InputError
from ddjax.models import options, swin
from ddjax.models.functional import Variables
from ddjax.models.torch_files import read_state, source_name
from ddjax.models.torch_names import standard
from ddjax.models.torch_options import arguments
from ddjax.models.torch_states import check_name

_LEAVES = {
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
    "count": "num_batches_tracked",
}
_SHOWN = 8  # names of each kind in a message


def from_torch(
    name: str,
    state: Mapping[str, Any] | str | os.PathLike,
    num_classes: int | None = None,
    image_size: int | None = None,
    *,
    weights: str = "",
    architecture: str = "",
    **kwargs: Any,
) -> Variables:
    """Makes the variables of a network from weights of PyTorch.

    Every tensor is used exactly once. Names may be torchvision's or those of the
    paper's code, and those of `torch_names.standard`.

    Args:
      name: a key of `MODELS`.
      state: a `state_dict`, or a file with one, see `torch_files.read_state`.
      num_classes, image_size: as of `create`; None: read from the tensors, as are the
        channels of an image, see `torch_options.arguments`.
      weights: which set of weights of a file that holds several, keys joined by dots,
        such as "state_dict_ema".
      architecture: what the file calls its network, if that is not the name or one of
        the same network's known ones; what it says otherwise is refused.
      **kwargs: options of that network, see `MODELS[name]`; those that change the
        shape of tensors are read from them if not given.

    Returns:
      The variables, float32 copies, and int32 counts of batches.

    Raises:
      InputError: tensors are missing, left over, of another shape or kind, infinite
        or NaN; the file cannot be read, holds several sets of weights, or says that
        they are another network's; or an option is out of range.
    """
    options.choice("name", name, tuple(models.MODELS))
    source, (raw, said) = source_name(state), read_state(state, weights)
    try:
        tensors = standard(name, raw)
        told = arguments(name, tensors, num_classes, image_size, kwargs)
        expected = _expected(name, told)
    except InputError as error:
        message = f"{source}: does not fit {name}: {error}{_hint(name, raw)}"
        raise InputError(message) from error
    constants = _constants(name, expected)
    _add_counts(tensors, expected)
    problems = _problems(tensors, expected, constants)
    if problems:
        raise InputError(f"{source}: does not fit {name}: {problems}{_hint(name, raw)}")
    check_name(name, said, architecture, source)
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
    options.choice("name", name, tuple(models.MODELS))
    tensors = {}
    for path, leaf in traverse_util.flatten_dict(variables).items():
        array = np.asarray(leaf).transpose(_axes(path, np.ndim(leaf)))
        # A copy, since the array is a read-only view of memory that JAX owns.
        kind = np.int64 if path[-1] == "count" else array.dtype
        tensors[_key(path)] = np.array(array, kind, order="C")
    return tensors | _constants(name, tensors)


def save_safetensors(path: str | os.PathLike, name: str, variables: Variables) -> None:
    """Writes the `state_dict` of a network; the file is whole or not there.

    Args:
      path: file to create or replace; its folder must exist.
      name, variables: see `to_torch`.

    Raises:
      InputError: there is no such network.
    """
    from safetensors.numpy import save

    said = {"format": "pt", "architecture": name}
    write_file(path, save(to_torch(name, variables), said))


def _key(path):
    """The name in a `state_dict` of the variable at a path, collection first."""
    *layers, leaf = path[1:]
    return ".".join([*layers, _LEAVES.get(leaf, leaf.replace("kernel", "weight"))])


def _axes(path, rank):
    """Our axis for each of PyTorch's: kernels begin with the outputs there."""
    if not path[-1].endswith("kernel"):
        return tuple(range(rank))
    return (3, 2, 0, 1) if rank == 4 else (1, 0)


def _expected(name, told):
    """Name in PyTorch -> (path, shape in PyTorch's layout), without computing any."""
    network = models.network(name, told.num_classes, told.image_shape, **told.options)
    shapes = jax.eval_shape(network.init, keys.key(0))
    found = {}
    for path, leaf in traverse_util.flatten_dict(shapes).items():
        axes = _axes(path, leaf.ndim)
        found[_key(path)] = path, tuple(leaf.shape[axis] for axis in axes)
    return found


def _constants(name, keys):
    """What torchvision's Swin keeps for each attention although it is no weight."""
    if not name.startswith("swin"):
        return {}
    table, places = swin.offsets()
    side = math.isqrt(len(table))
    found = {}
    for key in keys:
        if key.endswith(".logit_scale"):
            layer = key.removesuffix("logit_scale")
            found[layer + "relative_coords_table"] = table.reshape(1, side, side, 2)
            found[layer + "relative_position_index"] = places.flatten()
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
    fitting = [other for other in models.MODELS if other != name and _fits(other, raw)]
    return f"; they fit {', '.join(fitting)}" if fitting else ""


def _fits(name, raw):
    try:
        tensors = standard(name, raw)
        expected = _expected(name, arguments(name, tensors, None, None, {}))
    except InputError:
        return False
    _add_counts(tensors, expected)
    return not _problems(tensors, expected, _constants(name, expected))


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
        # Half precision tells neighbours in the table apart, but rounds them.
        if key in constants and not np.allclose(array, constants[key], atol=1e-2):
            raise InputError(
                f"{source}: {key}: found other numbers than this network computes, so "
                "the weights are of another one"
            )


def _leaf(path, array):
    """The variable at a path; it may share memory with the array."""
    kind = jnp.int32 if path[-1] == "count" else jnp.float32
    axes = np.argsort(_axes(path, array.ndim))
    return jnp.asarray(array.transpose(axes), kind)
