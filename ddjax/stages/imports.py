"""Selections and features that a run reads from files of its user."""

import hashlib

import numpy as np

from ddjax import data, regular
from ddjax.errors import InputError
from ddjax.problem import Problem


def imported_path(problem: Problem, name: str, ipc: int, seed: int) -> str:
    """Returns the file of an imported selection at a budget and seed.

    Raises:
      InputError: its path has other braces than {ipc} and {seed}.
    """
    entry = problem.settings.select.imported[name]
    field = "subset" if entry.subset else "scores"
    path = getattr(entry, field)
    # Not str.format, which would evaluate attributes and endless widths.
    filled = path.replace("{ipc}", str(ipc)).replace("{seed}", str(seed))
    if "{" in filled or "}" in filled:
        raise InputError(
            f"select.imported.{name}.{field}: found {path!r}, allowed in braces are "
            "{ipc} and {seed}"
        )
    return filled


def read_imported(problem: Problem, name: str, ipc: int, seed: int) -> np.ndarray:
    """Returns an imported selection's scores [N] float64 or positions [n] int32.

    Raises:
      InputError: the file is wrong, see `data.read_scores` and `data.read_subset`, or
        the subset has not exactly `ipc` images of every class.
    """
    entry = problem.settings.select.imported[name]
    path = imported_path(problem, name, ipc, seed)
    ids, count = problem.pool.ids, len(problem.source.train)
    # Only a table describes examples, and hashing all images takes time.
    texts = data.texts(problem.source) if path.endswith(".csv") else None
    if entry.scores:
        return data.read_scores(path, ids, count, entry.column or None, texts)
    positions = data.read_subset(path, ids, count, texts)
    classes = problem.source.classes
    counts = np.bincount(problem.pool.labels[positions], minlength=len(classes))
    wrong = counts != ipc
    if wrong.any():
        raise InputError(
            f"{path}: has {counts[wrong.argmax()]} images of class "
            f"{classes[wrong.argmax()]!r}, expected {ipc} of every class, as "
            "in select.ipcs"
        )
    return positions


def imported_features(problem: Problem) -> np.ndarray:
    """Returns the features [N,D] of the pool in the file `select.features`."""
    path = problem.settings.select.features
    return data.read_features(path, problem.pool.ids, len(problem.source.train))


def remarks(problem: Problem) -> list[str]:
    """Returns what cannot be checked of the files, a sentence each."""
    settings = problem.settings.select
    paths = [
        f"select.imported.{name}: {entry.scores or entry.subset}"
        for name, entry in settings.imported.items()
        if name in settings.methods
    ]
    paths.append(f"select.features: {settings.features}")
    return [
        f"{path} does not describe its examples: they are taken in the order of "
        f"{problem.source.name}'s training set"
        for path in paths
        if path.endswith(".npy")
    ]


def file_digests(problem: Problem, ipc: int) -> dict[str, str]:
    """Returns what identifies the contents of the files that a budget's subsets read.

    Returns:
      name of a selection and seed, or `features` -> digest.
    """
    settings = problem.settings.select
    paths = {
        f"{name}, seed {seed}": imported_path(problem, name, ipc, seed)
        for name in settings.methods
        if name in settings.imported
        for seed in problem.seeds
    }
    if settings.features.endswith(".npy"):
        paths["features"] = settings.features
    return {name: _digest(path) for name, path in paths.items()}


def _digest(path: str) -> str:
    with regular.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
