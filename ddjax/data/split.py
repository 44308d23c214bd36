"""Stratified parts of a set of examples, the same for ever.

Which examples a part gets depends on a hash of (seed, id) alone: an integer mix that is
written out here, because the streams of random libraries may change with their version.
"""

import numpy as np

from ddjax.data.source import Examples
from ddjax.errors import InputError

TEST_FRACTION = 0.2  # of a data set that comes without a test split


def split_validation(
    examples: Examples, fraction: float, seed: int
) -> tuple[Examples, Examples]:
    """Split examples into train and validation, class by class.

    Args:
      examples: N examples.
      fraction: in [0, 1). Of a class with n examples, round(fraction * n) go to
        validation (a tie to the even number), but at least 1 unless `fraction` is 0,
        and at most n - 1.
      seed: any integer; another seed gives another split.

    Returns:
      (train, validation), which share no example and together have them all. Both
      keep ids and order.

    Raises:
      InputError: `fraction` is out of range, or a class has a single example.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"validation fraction must be in [0, 1), found {fraction}")
    classes, counts = np.unique(examples.labels, return_counts=True)
    if fraction > 0 and counts.min(initial=2) < 2:
        raise InputError(
            f"label {classes[np.argmin(counts)]} has a single example in the training "
            "set, allowed is at least two a class, one of them for validation"
        )
    quotas = np.clip(np.rint(fraction * counts), int(fraction > 0), counts - 1)
    keys = _hash(examples.ids, seed, "validation")
    chosen = _first_of_each_class(examples.labels, quotas.astype(np.int64), keys)
    return examples.take(np.flatnonzero(~chosen)), examples.take(np.flatnonzero(chosen))


def thin(examples: Examples, size: int, seed: int) -> Examples:
    """A stratified part of at most `size` examples.

    Classes keep their proportions by the method of largest remainders (ties to the
    lower label), but none disappears: a class that would get nothing gets one
    example, if need be at the cost of the class that has most.

    Args:
      examples: N examples.
      size: number of examples to keep; N or more keeps all.
      seed: any integer; another seed gives another part.

    Returns:
      min(size, N) examples, which keep ids and order.

    Raises:
      InputError: `size` is below the number of classes among the examples.
    """
    if size >= len(examples):
        return examples
    classes, counts = np.unique(examples.labels, return_counts=True)
    if size < len(classes):
        raise InputError(
            f"size must be at least {len(classes)}, one example of each class, "
            f"found {size}"
        )
    quotas, remainders = np.divmod(counts * size, len(examples))
    remainders[quotas == 0] = -1
    quotas = np.maximum(quotas, 1)
    missing = size - quotas.sum()
    if missing > 0:
        quotas[np.argsort(-remainders, stable=True)[:missing]] += 1
    for _ in range(-missing):
        quotas[np.argmax(quotas)] -= 1
    keys = _hash(examples.ids, seed, "thin")
    chosen = _first_of_each_class(examples.labels, quotas, keys)
    return examples.take(np.flatnonzero(chosen))


def set_aside(labels: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
    """Which examples become the test split of a data set that comes without one.

    Args:
      labels: [N] integers.
      keys: [N] uint64, by whose order a class's examples are set aside; None: a hash of
        their positions.

    Returns:
      [N] bool: of a class with n examples round(n / 5), at least 1 and at most n - 1.
    """
    _, counts = np.unique(labels, return_counts=True)
    quotas = np.clip(np.rint(TEST_FRACTION * counts), 1, counts - 1).astype(np.int64)
    if keys is None:
        keys = _hash(np.arange(len(labels)), 0, "test")
    return _first_of_each_class(labels, quotas, keys)


def set_aside_remark(where: str, test: int, every: int, by: str) -> str:
    """Returns the remark on a test split that was set aside.

    Args:
      where: what holds the images.
      test: images of the test split.
      every: images of both splits.
      by: whose hash decides.
    """
    return (
        f"{where} has no test split: {test:,} of {every:,} images, a fifth of each "
        f"class chosen by a hash of {by}, are set aside as one"
    )


def _first_of_each_class(
    labels: np.ndarray, quotas: np.ndarray, keys: np.ndarray
) -> np.ndarray:
    """[N] bool: the first `quotas[k]` of the k-th class in the order of their keys."""
    _, starts, positions = np.unique(
        np.sort(labels), return_index=True, return_inverse=True
    )
    order = np.lexsort((keys, labels))
    chosen = np.zeros(len(labels), bool)
    chosen[order] = np.arange(len(labels)) - starts[positions] < quotas[positions]
    return chosen


def _hash(ids: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """[N] uint64, one value per id: no two ids share one.

    Two purposes with one seed are independent, so that one does not take what the other
    left over.
    """
    state = np.zeros(1, np.uint64)
    for word in (seed & (2**64 - 1), int.from_bytes(purpose.encode()[:8], "little")):
        state = _mix(state ^ np.uint64(word))
    return _mix(state + ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _mix(words: np.ndarray) -> np.ndarray:
    """The finaliser of the SplitMix64 generator: a bijection of 64-bit words."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
