"""Expert trajectories of MTT, TESLA and DATM: weights of ConvNets along trainings.

Letters: T trajectories, S snapshots, one before training and one after each epoch.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from ddjax import memory, torch_files
from ddjax.declare.walk import require
from ddjax.errors import InputError
from ddjax.models.torch.layout import torch_axes, torch_key

_LAYER = re.compile(r"features\.(\d+)|classifier")
_SHOWN = 4  # tensors in a message


def read_experts(path: str | os.PathLike, params: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a buffer of trajectories for a ConvNet of ddjax.

    Args:
      path: `replay_buffer_N.pt`: a list of trajectories, each a list of snapshots, each
        a list of the network's tensors in the order of its modules: kernel and bias of
        a convolution, scale and bias of its norm, and so on, and of the classifier.
      params: the collection "params" of the network, arrays or their shapes, as of
        `jax.eval_shape(network.init, key)["params"]`.

    Returns:
      The same mapping with leaves [T,S,...] float32, layouts as of the network.

    Raises:
      InputError: the network is no ConvNet; the file is missing, damaged, of another
        layout or holds more than tensors; its trajectories have different lengths; or
        its tensors are those of another network, named with their shapes, or not
        finite.

    Source: GeorgeCazenavette/mtt-distillation (buffer.py, networks.py), whose networks
    pad grey images by 3 at any size; ours do at 28 px alone, so that trajectories of
    grey images of another size have another classifier and are refused.
    """
    flat = traverse_util.flatten_dict(dict(params))
    order = sorted(flat, key=_place)
    names = [torch_key(("params", *at)) for at in order]
    shapes = [_shape(at, flat[at]) for at in order]
    held = torch_files.read(path)
    snapshots = _checked(path, held)
    for number, snapshot in enumerate(snapshots):
        found = [np.shape(tensor) for tensor in snapshot]
        if found != shapes:
            raise InputError(
                f"{path}: snapshot {number % len(held[0])} of trajectory "
                f"{number // len(held[0])} is of another network: "
                f"{_difference(names, shapes, found)}"
            )
    leaves = {}
    for index, at in enumerate(order):
        size = len(snapshots) * int(np.prod(shapes[index])) * 4
        memory.check(size, f"{path}: its {names[index]}", "use fewer trajectories")
        stacked = np.stack([snapshot[index] for snapshot in snapshots])
        stacked = stacked.astype(np.float32)
        if not np.isfinite(stacked).all():
            bad = int(np.argmin(np.isfinite(stacked.reshape(len(stacked), -1)).all(1)))
            raise InputError(
                f"{path}: {names[index]} of trajectory {bad // len(held[0])}, snapshot "
                f"{bad % len(held[0])} has values that are not finite"
            )
        stacked = stacked.reshape(len(held), len(held[0]), *shapes[index])
        ours = np.argsort(torch_axes(at, len(shapes[index])))
        leaves[at] = stacked.transpose(0, 1, *(2 + int(axis) for axis in ours))
    return traverse_util.unflatten_dict(leaves)


def _place(at: tuple[str, ...]) -> tuple[float, bool]:
    """Where a parameter stands in the order of PyTorch's modules."""
    layer = _LAYER.fullmatch(".".join(at[:-1]))
    require(layer is not None, "params", ".".join(at), "a parameter of a ConvNet")
    number = layer[1] if layer else None
    return float(number or "inf"), at[-1] == "bias"


def _shape(at, leaf):
    """In PyTorch's layout."""
    return tuple(leaf.shape[axis] for axis in torch_axes(at, len(leaf.shape)))


def _checked(path: str | os.PathLike, held: Any) -> list[list[np.ndarray]]:
    """The snapshots of all trajectories in a row."""
    if not isinstance(held, list) or not held or not all(map(_is_trajectory, held)):
        raise InputError(
            f"{path}: found {type(held).__name__}, expected a list of trajectories, "
            "each a list of snapshots, each a list of tensors"
        )
    lengths = sorted({len(trajectory) for trajectory in held})
    if len(lengths) > 1:
        raise InputError(
            f"{path}: trajectories have {lengths[0]} to {lengths[-1]} snapshots, "
            "expected the same number in each"
        )
    return [snapshot for trajectory in held for snapshot in trajectory]


def _is_trajectory(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(snapshot, list | tuple) for snapshot in value)
        and all(isinstance(each, np.ndarray) for snapshot in value for each in snapshot)
    )


def _difference(names, shapes, found):
    """Which tensors differ, in words."""
    wrong = [
        f"{name} (found {list(there)}, expected {list(here)})"
        for name, here, there in zip(names, shapes, found, strict=False)
        if here != there
    ]
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    count = f"{len(found)} tensors, expected {len(names)}"
    return "; ".join([count] * (len(found) != len(names)) + wrong[:_SHOWN]) + more
