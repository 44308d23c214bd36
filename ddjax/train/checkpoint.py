"""Weights and unfinished states on disk, with Orbax."""

import pathlib
from typing import Any

import jax
import numpy as np


def save_tree(path: pathlib.Path, tree: Any) -> None:
    """Writes a pytree of arrays to a new folder; it is there whole or not at all.

    All processes must call it; each of them writes what lies on its devices, the first
    what all have.
    """
    from orbax.checkpoint import v1 as ocp

    ocp.save(path.absolute(), jax.tree.map(_host, tree))


def _host(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    return np.asarray(leaf)


def load_tree(path: pathlib.Path, like: Any) -> Any:
    """Reads a pytree of host arrays.

    Args:
      path: a folder that `save_tree` wrote.
      like: a pytree of arrays or ShapeDtypeStructs of the same structure.

    Returns:
      NumPy arrays in that structure.
    """
    from orbax.checkpoint import v1 as ocp

    abstract = jax.tree.map(lambda a: np.empty(a.shape, a.dtype), like)
    return ocp.load(path.absolute(), abstract)


def read_shapes(path: pathlib.Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns name -> (shape, dtype) of a pytree on disk, without reading its arrays.

    Args:
      path: a folder that `save_tree` wrote.

    Raises:
      Exception: of many kinds, where there is none or it is damaged.
    """
    from orbax.checkpoint import v1 as ocp

    described = ocp.metadata(path.absolute()).metadata
    if described is None:  # and Orbax has logged why
        raise ValueError("damaged metadata")
    return shapes_of(described)


def shapes_of(tree: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Returns name -> (shape, dtype) of a pytree of arrays, names joined by "/"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            tuple(leaf.shape),
            np.dtype(leaf.dtype),
        )
        for path, leaf in leaves
    }
