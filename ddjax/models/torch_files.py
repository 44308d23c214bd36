"""Tensors as PyTorch users keep them: a `state_dict`, or a file that holds one."""

import os
import pathlib
import pickle
import re
import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ddjax.errors import InputError
from ddjax.models.torch_states import choose, said_names

_PICKLES = (".pth", ".pt", ".pth.tar", ".bin")
# What DataParallel, torch.compile and modules that hold the network put before names.
_PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")


def source_name(state: Any) -> str:
    """Returns what messages call a state: the path of a file, or "state"."""
    return "state" if isinstance(state, Mapping) else str(state)


def read_state(
    state: Mapping[str, Any] | str | os.PathLike, weights: str = ""
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors of a `state_dict`, and what is said of their network.

    Mappings around them are opened ("state_dict", "model"), and a prefix that all names
    share is dropped ("module.", "_orig_mod.", "model.", "backbone.").

    Args:
      state: name -> array or tensor, or the path of a file: ".safetensors", or one
        that `torch.save` wrote, ".pth", ".pt", ".pth.tar" or ".bin", for which PyTorch
        must be installed. Nothing but tensors is read from it, so it can run no code.
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
        held, said = state, state
    else:
        path = pathlib.Path(state)
        held, said = _load(path)
    tensors = choose(held, weights, source)
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(
            f"{source}: found {type(tensors).__name__} without tensors, allowed is a "
            "state_dict: a mapping of names to tensors"
        )
    arrays = {key: _array(source, key, value) for key, value in tensors.items()}
    return _without_prefix(arrays), said_names(said, path)


def _load(path):
    """What a file holds, and the mapping in which it may name its network."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.name.endswith(_PICKLES):
        held = _load_pickle(path)
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
            said = opened.metadata() or {}
        return load_file(path), said
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is no readable .safetensors file, perhaps cut short ({error})"
        ) from error


def _load_pickle(path):
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: only PyTorch can read it; install that (pip install torch), or "
            "save the weights as .safetensors"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if not named:
            raise InputError(
                f"{path}: is no readable PyTorch file: it is damaged, or holds more "
                "than tensors, and reading that could run code"
            ) from error
        raise InputError(
            f"{path}: is refused, since it wants to run code, {named[1]}; save the "
            "model's state_dict() alone"
        ) from error
    except Exception as error:  # Of many kinds, depending on where the damage is.
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"{path}: is no readable PyTorch file, perhaps cut short ({lines[0]})"
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
