"""Selections and features that a run reads from files of its user."""

import hashlib
import pathlib

import numpy as np

from ddjax import data
from ddjax.errors import InputError
from ddjax.stations.context import Context


def imported_path(context: Context, name: str, ipc: int, seed: int) -> str:
    """Returns the file of an imported selection at a budget and seed.

    Raises:
      InputError: its path has other braces than {ipc} and {seed}.
    """
    entry = context.settings.select.imported[name]
    field = "subset" if entry.subset else "scores"
    path = getattr(entry, field)
    try:
        return path.format(ipc=ipc, seed=seed)
    except (LookupError, ValueError) as error:
        raise InputError(
            f"select.imported.{name}.{field}: found {path!r}, allowed in braces are "
            "{ipc} and {seed}"
        ) from error


def read_imported(context: Context, name: str, ipc: int, seed: int) -> np.ndarray:
    """Returns an imported selection's scores [N] float64 or positions [n] int32.

    Raises:
      InputError: the file is wrong, see `data.read_scores` and `data.read_subset`, or
        the subset has not exactly `ipc` images of every class.
    """
    entry = context.settings.select.imported[name]
    path = imported_path(context, name, ipc, seed)
    ids, count = context.pool.ids, len(context.source.train)
    if entry.scores:
        return data.read_scores(path, ids, count, entry.column or None)
    positions = data.read_subset(path, ids, count)
    classes = context.source.classes
    counts = np.bincount(context.pool.labels[positions], minlength=len(classes))
    wrong = counts != ipc
    if wrong.any():
        raise InputError(
            f"{path}: has {counts[wrong.argmax()]} images of class "
            f"{classes[wrong.argmax()]!r}, expected {ipc} of every class, as "
            "select.ipcs says"
        )
    return positions


def imported_features(context: Context) -> np.ndarray:
    """Returns the features [N,D] of the pool in the file `select.features`."""
    path = context.settings.select.features
    return data.read_features(path, context.pool.ids, len(context.source.train))


def file_digests(context: Context, ipc: int) -> dict[str, str]:
    """Returns what identifies the contents of the files that a budget's subsets read.

    Returns:
      name of a selection and seed, or `features` -> digest.
    """
    settings = context.settings.select
    paths = {
        f"{name}, seed {seed}": imported_path(context, name, ipc, seed)
        for name in settings.methods
        if name in settings.imported
        for seed in context.settings.protocol.seeds
    }
    if settings.features.endswith(".npy"):
        paths["features"] = settings.features
    return {name: _digest(path) for name, path in paths.items()}


def _digest(path: str) -> str:
    with open(pathlib.Path(path).expanduser(), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
