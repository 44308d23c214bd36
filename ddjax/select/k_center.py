"""Greedy k-centre.

Shape letters: n examples of one class, D features, b examples in a block, k chosen.
"""

import jax
import numpy as np

from ddjax.select.budget import collect, features_for, groups
from ddjax.select.selection import Selection

_BLOCKS = (64, 4096)  # examples brought up to date together: at first, at most
_EQUAL = 1e-13  # a squared distance below this part of |x|^2 + |y|^2 is rounding
_TIE = 1e-9  # relative difference of distances below which they count as equal


def k_center(key, features, labels, per_class: int) -> np.ndarray:
    """Greedy k-centre: every next example is the farthest from those chosen.

    Farthest-point selection in each class, from a random first point.

    Distances are squared Euclidean, in float64 from the centre of the class, so that
    neither its place nor the scale of the features matters. Beside the features of a
    class, memory is that of the chosen ones and of one block of examples.

    Args:
      key: typed PRNG key, consumed; draws the first point of every class.
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Of distances that agree to
      nine digits the lower id is taken, and copies of chosen examples come last.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, or the
        features are not one finite vector per example.

    Source: google/active-learning, kcenter_greedy.py, for arXiv 1708.00489. It starts
    from the examples that are labelled already, here from one at random in each class,
    and passes over all examples for every choice.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    # float64: a draw just below 1 times the class size must not round up to the size.
    draws_C = np.asarray(jax.random.uniform(key, (len(pools),)), np.float64)
    return collect(
        [
            ids[_farthest(features_ND[ids], int(draw * len(ids)), count)]
            for (ids, count), draw in zip(pools, draws_C, strict=True)
        ]
    )


def _farthest(features_nD, first, count):
    """Lazy greedy: the distance to the nearest chosen example can only shrink.

    An old one is an upper bound, so that only those are brought up to date, with all
    the choices they missed at once, that may be the farthest.
    """
    size, dims = features_nD.shape
    offsets_of = _offsets(features_nD)
    centers_kD, squares_k = np.empty((count, dims)), np.empty(count)
    nearest_n = np.full(size, np.inf)
    seen_n = np.zeros(size, np.int64)  # how many of the chosen `nearest_n` knows of
    chosen = []

    def choose(example):
        centers_kD[len(chosen)] = offsets_of(example)
        squares_k[len(chosen)] = np.sum(centers_kD[len(chosen)] ** 2)
        # Below every distance, so that copies of a chosen example come before it.
        nearest_n[example] = -1.0
        chosen.append(example)

    def update(rows):
        missed = slice(seen_n[rows].min(), len(chosen))
        offsets_bD = offsets_of(rows)
        squares_b = np.einsum("bd,bd->b", offsets_bD, offsets_bD)
        sums_bk = squares_b[:, None] + squares_k[missed]
        distances_bk = sums_bk - 2.0 * (offsets_bD @ centers_kD[missed].T)
        distances_bk[distances_bk < _EQUAL * sums_bk] = 0.0
        nearest_n[rows] = np.minimum(nearest_n[rows], distances_bk.min(axis=1))
        seen_n[rows] = len(chosen)

    choose(first)
    while len(chosen) < count:
        block, most = _BLOCKS
        farthest = 0.0  # of those that are up to date
        while seen_n[best := _lowest_of_largest(nearest_n)] < len(chosen):
            outdated_n = seen_n < len(chosen)
            rows = np.flatnonzero(outdated_n & (nearest_n >= farthest * (1 - _TIE)))
            if len(rows) > block:
                order = np.argpartition(nearest_n[rows], len(rows) - block)
                rows = rows[order[-block:]]
            update(rows)
            farthest = max(farthest, nearest_n[rows].max())
            block = min(2 * block, most)
        choose(best)
    return chosen


def _offsets(features_nD):
    """A function from rows to their offsets from the mean, of at most about 1."""
    # The square of an extreme number is not a number.
    largest = float(max(features_nD.max(), -features_nD.min())) or 1.0
    mean_D = np.mean(features_nD, axis=0, dtype=np.float64) / largest
    return lambda rows: features_nD[rows].astype(np.float64) / largest - mean_D


def _lowest_of_largest(nearest_n):
    return int(np.argmax(nearest_n >= nearest_n.max() * (1 - _TIE)))


K_CENTER = Selection(
    function=k_center, title="K-centers", key="k_center", requires=("features",)
)
