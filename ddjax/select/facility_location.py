"""Facility location: choose the examples that represent their class best.

Shape letters: n examples of one class, D features, b candidates in a block.
"""

import numpy as np

from ddjax.errors import InputError
from ddjax.select.budget import collect, features_for, groups, values_for

_BLOCK = 128  # candidates whose gains are computed together
_TIE = 1e-5  # relative difference of gains below which they count as equal
_MATRIX_BYTES = 2**30  # similarities of a class are kept up to here: n = 16,384


def facility_location(features, labels, per_class: int, weights=None) -> np.ndarray:
    """Greedy maximisation of sum_i w_i max_{j in S} sim(i, j) in each class.

    The similarity is (1 + cosine) / 2, in [0, 1] and independent of the scale of the
    features; between unit vectors it is 1 - ||x - y||^2 / 4, so that the objective is
    that of k-medoids on the unit sphere. A zero vector has cosine 0 to everything. As
    the objective is monotone and submodular, the value reached is at least 1 - 1/e of
    the best possible one. Memory is 4 n^2 bytes for a class of n examples up to 1 GiB;
    beyond, similarities are recomputed in blocks.

    Args:
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      weights: [N] float, finite and >= 0, how much each example counts; None is 1.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Gains that agree to five
      digits are ties and go to the lower id: without weights, two examples that gain
      from each other tie exactly, and rounding must not decide between them.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        features are not one finite vector per example, or a weight is out of range.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    if weights is None:
        weights_N = np.ones(len(features_ND))
    else:
        weights_N = values_for(labels, weights, "weights")
        if weights_N.min() < 0 or np.isinf(weights_N).any():
            raise InputError(
                f"weights: from {weights_N.min()} to {weights_N.max()}, expected "
                "finite numbers of at least 0"
            )
        # Only ratios matter; in [0, 1] they are safe in float32.
        weights_N = weights_N / (weights_N.max() or 1.0)
    return collect(
        [
            ids[_greedy(_unit(features_ND[ids]), weights_N[ids], count)]
            for ids, count in pools
        ]
    )


def _unit(features_nD):
    """float32 rows of length 1; zero rows stay zero."""
    features_nD = features_nD.astype(np.float64)
    largest_n1 = np.abs(features_nD).max(axis=1, keepdims=True)
    features_nD = features_nD / np.where(largest_n1 > 0, largest_n1, 1.0)
    norms_n1 = np.linalg.norm(features_nD, axis=1, keepdims=True)
    return (features_nD / np.where(norms_n1 > 0, norms_n1, 1.0)).astype(np.float32)


def _greedy(unit_nD, weights_n, count):
    """Lazy greedy: a gain can only shrink, so a stale one is an upper bound.

    Gains are refreshed in blocks of those with the highest bounds, until the best is
    fresh.
    """
    size = len(unit_nD)
    rows_of = _similarities(unit_nD)
    weights_n = weights_n.astype(np.float32)
    reached_n = np.zeros(size, np.float32)  # similarity to the nearest chosen example
    bound_n = np.full(size, np.inf)
    chosen = []
    while len(chosen) < count:
        fresh_n = np.zeros(size, bool)
        while not fresh_n[best := _lowest_of_largest(bound_n)]:
            stale = np.flatnonzero(~fresh_n & (bound_n >= 0))
            if len(stale) > _BLOCK:
                order = np.argpartition(bound_n[stale], len(stale) - _BLOCK)
                stale = stale[order[-_BLOCK:]]
            gains_bn = rows_of(stale)
            gains_bn -= reached_n
            np.maximum(gains_bn, 0.0, out=gains_bn)
            # Not a matrix product: on blocks this small its threads only wait.
            bound_n[stale] = np.einsum("bn,n->b", gains_bn, weights_n)
            fresh_n[stale] = True
        chosen.append(best)
        np.maximum(reached_n, rows_of([best])[0], out=reached_n)
        bound_n[best] = -1.0
    return chosen


def _lowest_of_largest(bound_n):
    return int(np.argmax(bound_n >= bound_n.max() * (1 - _TIE)))


def _similarities(unit_nD):
    """A function from b rows to their similarities [b, n], a fresh array."""

    def computed(rows):
        similarity_bn = unit_nD[rows] @ unit_nD.T
        similarity_bn += 1.0
        similarity_bn *= 0.5
        return similarity_bn

    if 4 * len(unit_nD) ** 2 > _MATRIX_BYTES:
        return computed
    similarity_nn = computed(slice(None))
    return lambda rows: similarity_nn[rows]
