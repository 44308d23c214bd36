"""What a selection may take of each class, its random numbers, checks of its input.

Shape letters: N examples, D features.
"""

import functools
import numbers

import jax
import numpy as np

from ddjax.declare.field import Interval
from ddjax.errors import InputError
from ddjax.scores.features import finite_rows


def groups(labels, per_class: int, balanced: bool = True) -> list:
    """The groups of examples to choose from and how many to choose from each.

    Args:
      labels: [N] int, classes 0..C-1, each with at least one example.
      per_class: budget of a class, at least 1.
      balanced: one group per class with `per_class` each; otherwise all examples are
        one group with `per_class * C`.

    Returns:
      A list of (ids, budget), in the order of the classes, ids ascending.

    Raises:
      InputError: if the labels are not [N] integers that cover 0..C-1, or a group is
        smaller than its budget.
    """
    labels_N = np.asarray(labels)
    if labels_N.ndim != 1 or not np.issubdtype(labels_N.dtype, np.integer):
        raise InputError(
            f"labels: shape {labels_N.shape} of {labels_N.dtype}, expected [N] integers"
        )
    if labels_N.size == 0:
        raise InputError("labels: there are no examples to choose from")
    if labels_N.min() < 0:
        raise InputError(f"labels: class {labels_N.min()}, expected 0 or more")
    if not isinstance(per_class, numbers.Integral) or per_class < 1:
        raise InputError(f"per_class: {per_class}, expected an integer of at least 1")

    sizes = np.bincount(labels_N)
    if sizes.min() == 0:
        raise InputError(
            f"labels: class {sizes.argmin()} has no examples, but the classes are "
            f"0..{len(sizes) - 1}"
        )
    if not balanced:
        budget = per_class * len(sizes)
        if budget > labels_N.size:
            raise InputError(
                f"per_class: {per_class} for {len(sizes)} classes makes {budget}, but "
                f"there are only {labels_N.size} examples"
            )
        return [(np.arange(labels_N.size), budget)]
    if per_class > sizes.min():
        raise InputError(
            f"per_class: {per_class}, but class {sizes.argmin()} has only "
            f"{sizes.min()} examples"
        )
    by_class = np.split(np.argsort(labels_N, kind="stable"), np.cumsum(sizes)[:-1])
    return [(ids, per_class) for ids in by_class]


def collect(chosen: list) -> np.ndarray:
    """The ids chosen from each group as one sorted int32 array."""
    return np.sort(np.concatenate(chosen)).astype(np.int32)


def values_for(labels, values, name: str, within: str = "") -> np.ndarray:
    """One float64 per example, [N].

    Args:
      labels: [N] int.
      values: [N] numbers.
      name: what to call them in a message.
      within: the interval that they are in, "[0, inf)"; "": infinities are allowed.

    Raises:
      InputError: another shape, a NaN, or a value beyond the interval.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.shape != np.shape(labels):
        raise InputError(
            f"{name}: shape {values_N.shape}, expected {np.shape(labels)} to fit the "
            "labels"
        )
    missing_N = np.isnan(values_N)
    if missing_N.any():
        raise InputError(
            f"{name}: {missing_N.sum()} of {values_N.size} are NaN, the first at "
            f"example {missing_N.argmax()}"
        )
    ends = values_N.min(), values_N.max()
    if within and not all(end in Interval(within) for end in ends):
        raise InputError(
            f"{name}: from {ends[0]} to {ends[1]}, expected finite numbers in {within}"
        )
    return values_N


def features_for(labels, features) -> np.ndarray:
    """One finite feature vector per example, [N, D]; an InputError if not."""
    return finite_rows("features", features, len(labels))


def bits(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
    """Returns uniform uint32 numbers of a shape on the host; consumes the key."""
    return np.asarray(_bits(key, shape))


@functools.partial(jax.jit, static_argnums=1)  # one program, not one an operation
def _bits(key, shape):
    return jax.random.bits(key, shape)
