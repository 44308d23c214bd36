"""Tensors as PyTorch users keep them: a `state_dict`, or a file that holds one.

A file may hold more than weights, several sets of weights, plain and averaged, and the
name of their network.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ddjax import torch_files
from ddjax.errors import InputError
from ddjax.models.model import Tensors

_PICKLES = (".pth", ".pt", ".pth.tar", ".bin")
# What DataParallel, torch.compile and modules that hold the network put before names.
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
# Under which training scripts keep the weights, beside optimiser and epoch.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
# Under which they, and the libraries that publish weights, name the network.
_NAMES = ("arch", "architecture", "model_name", "modelspec.architecture")
_DEPTH = 4  # of mappings within mappings


def source_name(state: Any) -> str:
    """Returns what messages call a state: the path of a file, or "state"."""
    return "state" if isinstance(state, Mapping) else str(state)


def read_state(
    state: Mapping[str, Any] | str | os.PathLike, weights: str = ""
) -> tuple[Tensors, dict[str, str]]:
    """Reads the tensors of a `state_dict`, and the name of their network.

    Mappings around them are opened ("state_dict", "model"), and a prefix that all names
    share is dropped ("module.", "_orig_mod.", "model.", "backbone.").

    Args:
      state: name -> array or tensor, or the path of a file: ".safetensors", or one
        that `torch.save` wrote, ".pth", ".pt", ".pth.tar" or ".bin", see
        `torch_files.read`, which runs no code of it.
      weights: which set of weights, where there are several, such as "state_dict_ema".

    Returns:
      Name -> array in PyTorch's layout; floats of any kind as float32, in memory of
      their own, others as they are. And where a name of the network stands -> the name.

    Raises:
      InputError: the file is missing, damaged, of another kind, or holds more than
        tensors; it holds several sets of weights and `weights` is none of them; or an
        entry is no tensor of real numbers.
    """
    source, path = source_name(state), None
    if isinstance(state, Mapping):
        held, names = state, state
    else:
        path = pathlib.Path(state)
        held, names = _load(path)
    tensors = _choose(held, weights, source)
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(
            f"{source}: found {type(tensors).__name__} without tensors, allowed is a "
            "state_dict: a mapping of names to tensors"
        )
    arrays = {key: _array(source, key, value) for key, value in tensors.items()}
    return _without_prefix(arrays), _network_names(names, path)


def _load(path):
    """What a file holds, and the mapping in which it may name its network."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.name.endswith(_PICKLES):
        held = torch_files.read(path)
        return held, held
    if path.suffix != ".safetensors":
        allowed = ", ".join((".safetensors", *_PICKLES))
        raise InputError(
            f"{path}: found a name that ends in {path.suffix!r}, allowed is {allowed}"
        )
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    try:
        with safe_open(path, framework="numpy") as opened:
            names = opened.metadata() or {}
        return load_file(path), names
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is no readable .safetensors file, perhaps cut short ({error})"
        ) from error


def _array(source, key, value):
    tensor = value
    if hasattr(value, "detach"):  # A PyTorch tensor, whose bfloat16 NumPy cannot read.
        tensor = value.detach().cpu()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    try:
        array = np.asarray(tensor)
    except ValueError:  # Lists of lists of different lengths.
        array = np.zeros((), object)
    if not isinstance(key, str) or not jnp.issubdtype(array.dtype, jnp.number):
        raise InputError(
            f"{source}: found {key!r} -> {type(value).__name__}, allowed is the name "
            "and the tensor of a state_dict"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    with np.errstate(over="ignore"):  # Becomes infinite, which is refused later.
        return array.astype(np.float32)


def _without_prefix(tensors):
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            return _without_prefix({k[len(prefix) :]: v for k, v in tensors.items()})
    return tensors


def _choose(held: Any, weights: str, source: str) -> Any:
    """Returns the tensors at the place `weights` of a file, "": the only ones there.

    There may be none: an empty mapping; what is no mapping is returned as it is.
    """
    if not isinstance(held, Mapping):
        return held
    states = dict(_states(held, "", 0))
    if weights:
        if weights not in states:
            raise InputError(
                f"weights: found {weights!r}, but {source} has {_listed(states)}"
            )
        return states[weights]
    if len(states) > 1:
        raise InputError(
            f"{source}: found {_listed(states)}, and they are different networks, or "
            "the same as trained and averaged; weights=NAME chooses one of them"
        )
    if not states and any(isinstance(value, Mapping) for value in held.values()):
        return {}
    return next(iter(states.values()), held)


def _listed(states):
    if not states:
        return "no sets of weights by name"
    return f"{len(states)} sets of weights, {', '.join(map(repr, states))}"


def _states(held: Mapping, place: str, depth: int) -> Iterator[tuple[str, Mapping]]:
    """Yields (place, tensors by name) of the sets of weights in a mapping."""
    if not held or depth > _DEPTH or not all(isinstance(key, str) for key in held):
        return
    if all(hasattr(value, "shape") for value in held.values()):
        known = place.rpartition(".")[2] in _WRAPPERS or not place
        if known or any("weight" in key for key in held):
            yield place, held
        return
    for key, value in held.items():
        if isinstance(value, Mapping):
            inner = f"{place}.{key}" if place else key
            yield from _states(value, inner, depth + 1)


def _network_names(held: Any, path: pathlib.Path | None) -> dict[str, str]:
    """Returns what a file, or the config.json beside it, calls its network.

    The keys are where the name stands. timm publishes config.json with "architecture",
    and its training script, as PyTorch's for ImageNet, keeps "arch" in the file.
    """
    found = _named(held)
    if path is not None:
        beside = path.with_name("config.json")
        try:
            config = json.loads(beside.read_text()) if beside.is_file() else {}
        except (OSError, ValueError):
            config = {}  # another program's file of that name
        found |= {
            f"{key} of config.json beside it": n for key, n in _named(config).items()
        }
    return found


def _named(held: Any, depth: int = 0) -> dict[str, str]:
    if not isinstance(held, Mapping) or depth > 2:
        return {}
    found = {}
    for key in _NAMES:
        if isinstance(held.get(key), str) and held[key]:
            found[key] = held[key]
    for key in ("args", "pretrained_cfg", "config", "hyper_parameters"):
        inner = _named(held.get(key), depth + 1)
        found |= {f"{key}.{name}": value for name, value in inner.items()}
    args = held.get("args")
    if isinstance(args, Mapping) and isinstance(args.get("model"), str):
        found["args.model"] = args["model"]
    return found


def check_name(
    name: str,
    also: Iterable[str],
    names: Mapping[str, str],
    source: str,
) -> None:
    """Refuses weights of a file that names another network.

    Networks may have tensors of the same names and shapes and yet compute other
    things: timm's resnetaa50 pools where resnet50 strides, and tf_efficientnet_b0 pads
    otherwise than efficientnet_b0. Where no name is given, the difference stays hidden.

    Args:
      name: of the network, a key of `MODELS`.
      also: other names that are taken for it.
      names: of `read_state`.
      source: what the weights are called in messages.

    Raises:
      InputError: a name means neither.
    """
    known = {_plain(alias) for alias in (name, *also) if alias}
    for place, found in names.items():
        if _plain(found) not in known:
            raise InputError(
                f"{source}: {place} names the network {found!r}, not "
                f"{name}, whose tensors may have the same names and shapes all the "
                f"same; architecture=NAME, the name in the file, takes them for it"
            )


def _plain(name):
    """A name without its training ("resnet50.a1_in1k"), its library and case."""
    name = name.lower().rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^a-z0-9]", "", name)
