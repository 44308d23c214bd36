"""Weights and unfinished states on disk, with Orbax."""

import pathlib
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp


def save_tree(path: pathlib.Path, tree: Any) -> None:
    """Writes a pytree of arrays to a new folder; it is there whole or not at all."""
    ocp.save(path.absolute(), jax.tree.map(np.asarray, tree))


def load_tree(path: pathlib.Path, like: Any) -> Any:
    """Reads a pytree of host arrays.

    Args:
      path: a folder that `save_tree` wrote.
      like: a pytree of arrays or ShapeDtypeStructs of the same structure.

    Returns:
      NumPy arrays in that structure.
    """
    abstract = jax.tree.map(lambda a: np.empty(a.shape, a.dtype), like)
    return ocp.load(path.absolute(), abstract)
