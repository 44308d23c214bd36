"""Images that are there twice: in both splits, or in the training split alone.

Letters: N images.
"""

import hashlib
import os
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data.source import Source

_FILES = 20_000  # of a stream that are read at most, to be compared
_PIXELS, _CONTENT = "their pixels", "their files"


def remarks(source: Source) -> tuple[str, ...]:
    """Says how many test images are also training images, and how many are twice there.

    Images in memory are compared by their pixels. Those of a stream of files are
    compared by the files' contents, where sizes agree; if that are too many, or if they
    have no files, it is said that they were not compared.

    Args:
      source: any.

    Returns:
      Remarks, none if every image is there once.

    Raises:
      InputError: a file of a stream cannot be read.
    """
    train, test = source.train, source.test
    if source.fingerprints is not None:
        (train_digests, test_digests), by = source.fingerprints, _PIXELS
    else:
        paths = [getattr(part.images.records, "paths", None) for part in (train, test)]
        if None in paths:
            return (f"{source.name}: {_uncompared('they are records of a stream')}",)
        found = _of_files(*paths)
        if found is None:
            reason = f"more than {_FILES:,} files of a stream have the same size"
            return (f"{source.name}: {_uncompared(reason)}",)
        (train_digests, test_digests), by = found, _CONTENT
    return _both(source, train_digests, test_digests, by) + _train(
        source, train_digests, by
    )


def _uncompared(reason: str) -> str:
    return f"training and test images were not compared, since {reason}"


def _both(
    source: Source, train: np.ndarray, test: np.ndarray, by: str
) -> tuple[str, ...]:
    first_of = {digest: index for index, digest in reversed(list(enumerate(train)))}
    pairs = [(i, first_of[found]) for i, found in enumerate(test) if found in first_of]
    if not pairs:
        return ()
    of_test, of_train = np.array(pairs).T
    differ = source.test.labels[of_test] != source.train.labels[of_train]
    count = int(differ.sum())
    other = f", {count:,} of them with another label" if count else ""
    return (
        f"WARNING: {source.name}: {len(pairs):,} of {len(test):,} test images "
        f"({len(pairs) / len(test):.1%}) are also training images{other}, by {by}, "
        f"such as test image {of_test[0]}, which is training image {of_train[0]}: "
        "accuracy on them is memory, not generalisation",
    )


def _train(source: Source, train: np.ndarray, by: str) -> tuple[str, ...]:
    _, inverse, counts = np.unique(train, return_inverse=True, return_counts=True)
    again = len(train) - len(counts)
    if not again:
        return ()
    pairs = np.stack([inverse, source.train.labels], axis=1)
    conflicts = len(np.unique(pairs, axis=0)) - len(counts)
    other = f", {conflicts:,} of them with another label" if conflicts else ""
    first, second = np.flatnonzero(inverse == counts.argmax())[:2]
    return (
        f"{source.name}: {again:,} of {len(train):,} training images are copies of "
        f"others{other}, by {by}, such as {second} of {first}",
    )


def _of_files(*paths: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """What identifies the files of both splits; None if that are too many to read."""
    sizes = [np.array([os.stat(path).st_size for path in each]) for each in paths]
    _, inverse, counts = np.unique(
        np.concatenate(sizes), return_inverse=True, return_counts=True
    )
    shared = counts[inverse] > 1
    if shared.sum() > _FILES:
        return None
    # A file of a size of its own is told apart by its position.
    found = [
        hashlib.blake2b(regular.read(path), digest_size=8).hexdigest()
        if shared[position]
        else f"{position}"
        for position, path in enumerate(path for each in paths for path in each)
    ]
    return np.array(found[: len(paths[0])]), np.array(found[len(paths[0]) :])
