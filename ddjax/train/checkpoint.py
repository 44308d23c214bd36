"""Weights and unfinished states on disk.

A checkpoint has the form of an artifact, see `ddjax.artifacts`: arrays, files and a
sealed manifest with the cost so far. So a kill leaves the one before it or the new one,
and damage of any file is found; what it belongs to then starts afresh.
"""

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ddjax import artifacts, mesh
from ddjax.artifacts import Cost, Draft
from ddjax.errors import InputError

_KIND = "checkpoint"
_STATE = "state"


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What is kept of something unfinished.

    Attributes:
      step: how far it was.
      arrays: name -> array.
      info: JSON values.
      cost: what it took so far, in all tries.
      state: a pytree of arrays, or None.
    """

    step: int
    arrays: dict[str, np.ndarray]
    info: dict[str, Any]
    cost: Cost
    state: Any = None


def save(folder: pathlib.Path, found: Checkpoint) -> None:
    """Keeps a checkpoint, the newest only, in `folder`/STEP.

    All processes must call it.
    """
    temporary, path = folder / f".tmp-{found.step}", folder / str(found.step)

    def begin():
        if folder.exists() and not folder.is_dir():
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()

    def finish():
        head = {"schema": artifacts.SCHEMA, "kind": _KIND, "address": path.name}
        info = {"values": found.info, "state": _described(found.state)}
        artifacts.write(temporary, head, Draft(found.arrays, info, found.cost))
        _remove(path)
        os.rename(temporary, path)
        artifacts.sync(folder)
        for other in set(folder.iterdir()) - {path}:
            _remove(other)

    mesh.first(begin)
    if found.state is not None:
        save_tree(temporary / _STATE, found.state)
    mesh.first(finish)


def restore(
    folder: pathlib.Path, say: Callable[[str], Any], like: Any = None
) -> Checkpoint | None:
    """Returns the newest checkpoint of a folder; None where none is whole.

    All processes must call it. What is damaged is deleted.

    Args:
      folder: of `save`.
      say: called with a line on what was found damaged.
      like: a pytree of arrays of the structure of the state; None: there is no state.
    """
    loaded = {}

    def newest():
        wrong = []
        for step in _steps(folder):
            path = folder / str(step)
            advice = "what it belongs to starts afresh"
            try:
                loaded[step] = artifacts.load(path, _KIND, advice, str(step))
                _check(path, loaded[step], like, advice)
                return step, wrong
            except InputError as error:
                wrong.append(str(error))
                _remove(path)
        return None, wrong

    step, wrong = mesh.first(newest)
    for line in wrong:
        say(f"an unfinished state is damaged: {line}")
    if step is None:
        return None
    path = folder / str(step)
    found = loaded.get(step) or artifacts.load(path, _KIND, "")
    state = None if like is None else load_tree(path / _STATE, like)
    return Checkpoint(step, found.arrays, found.info["values"], found.cost, state)


def _steps(folder: pathlib.Path) -> list[int]:
    names = [path.name for path in folder.glob("*")] if folder.is_dir() else []
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def _check(path, found: artifacts.Artifact, like: Any, advice: str) -> None:
    """Raises InputError where a state has another structure than is expected."""
    expected = _described(like)
    if found.info["state"] != expected:
        pairs = zip(found.info["state"] or [], expected or [], strict=False)
        differs = next((f"{a}, expected {b}" for a, b in pairs if a != b), "no state")
        raise InputError(f"{path}: holds {differs}; {advice}")


def _described(tree: Any) -> list[list[Any]] | None:
    """Returns name, shape and type of every array of a state."""
    if tree is None:
        return None
    return [
        [jax.tree_util.keystr(place), list(np.shape(leaf)), str(leaf.dtype)]
        for place, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def _remove(path: pathlib.Path) -> None:
    """Deletes a file or a folder that may be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
