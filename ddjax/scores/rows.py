"""Feature vectors, one an example: checked, and brought to length 1."""

import numpy as np

from ddjax.errors import InputError


def finite_rows(name: str, values, count: int | None = None) -> np.ndarray:
    """The values as [N, D].

    Args:
      name: what to call them in a message.
      values: [N, D] numbers, N and D at least 1.
      count: N, or None for any.

    Returns:
      The array, of its own dtype.

    Raises:
      InputError: another shape, or a value that is not finite.
    """
    values_ND = np.asarray(values)
    right = values_ND.ndim == 2 and values_ND.size > 0
    if not right or count not in (None, len(values_ND)):
        expected = "[N, D], not empty"
        if count is not None:
            expected = f"[N, D] with N = {count}"
        raise InputError(f"{name}: shape {values_ND.shape}, expected {expected}")
    bad_N = ~np.isfinite(values_ND).all(axis=1)
    if bad_N.any():
        raise InputError(
            f"{name}: {bad_N.sum()} of {bad_N.size} examples have values that are not "
            f"finite, the first at example {bad_N.argmax()}"
        )
    return values_ND


def unit_rows(features_ND) -> np.ndarray:
    """[N, D] float64 rows of length 1; zero rows stay zero.

    Args:
      features_ND: [N, D] float, finite, of any scale.
    """
    features_ND = np.asarray(features_ND, np.float64)
    # Divided by their largest entry first: squares of huge or tiny ones leave float64.
    largest_N1 = np.abs(features_ND).max(axis=1, keepdims=True)
    features_ND = features_ND / np.where(largest_N1 > 0, largest_N1, 1.0)
    norms_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return features_ND / np.where(norms_N1 > 0, norms_N1, 1.0)
