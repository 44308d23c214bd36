"""Facility location.

Shape letters: C classes, n examples of one class, D features, b candidates in a
block, k choices in a class, s candidates drawn for a choice.
"""

import math

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.features import unit_rows
from ddjax.select.budget import bits, collect, features_for, groups, values_for
from ddjax.select.selection import Selection

_BLOCK = 64  # candidates whose gains are computed together
_TIE = 1e-5  # relative difference of gains below which they count as equal
_ROWS = 1024  # of such a matrix that are computed together
_MATRIX_BYTES = 2**30  # similarities of a class are kept up to here: n = 16,384


def facility_location(
    features, labels, per_class: int, weights=None, key=None, epsilon: float = 0.1
) -> np.ndarray:
    """Facility location: choose the examples that represent their class best.

    Greedy maximisation of sum_i w_i max_{j in S} sim(i, j) in each class.

    The similarity is (1 + cosine) / 2, in [0, 1] and independent of the scale of the
    features; between unit vectors it is 1 - ||x - y||^2 / 4, so that the objective is
    that of k-medoids on the unit sphere. A zero vector has cosine 0 to everything. As
    the objective is monotone and submodular, the value reached is at least 1 - 1/e of
    the best possible one. Memory is 4 n^2 bytes for a class of n examples up to 1 GiB;
    beyond, similarities are recomputed in blocks.

    With a key the greedy is stochastic: of a class of n, each choice is the best of
    ceil(n / per_class * log(1 / epsilon)) random examples. That is n * log(1 / epsilon)
    gains in all for any budget, and in expectation the value is at least
    1 - 1/e - epsilon of the best possible one.

    Args:
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      weights: [N] float, finite and >= 0, how much each example counts; None is 1.
      key: typed PRNG key, consumed; None, the default, considers every example.
      epsilon: in (0, 1), what stochastic greedy may lose; read only with a key.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Gains that agree to five
      digits are ties and go to the lower id: without weights, two examples that gain
      from each other tie exactly, and rounding must not decide between them.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        features are not one finite vector per example, or a weight or epsilon is out
        of range.

    Source: PatrickZH/DeepCore, submodular_optimizer.py (LazyGreedy, StochasticGreedy);
    the stochastic one is from "Lazier than lazy greedy", arXiv 1409.7938. Deviations:
    it is lazy in turn, and draws with replacement, as the proof of its bound does,
    where DeepCore draws without and takes epsilon 0.9; 0.1 is submodlib's.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    if weights is None:
        weights_N = np.ones(len(features_ND))
    else:
        weights_N = values_for(labels, weights, "weights", "[0, inf)")
        # Only ratios matter; in [0, 1] they are safe in float32.
        weights_N = weights_N / (weights_N.max() or 1.0)
    if not 0 < epsilon < 1:
        raise InputError(f"epsilon: {epsilon}, expected a number between 0 and 1")
    draws_C = [None] * len(pools) if key is None else _draws(key, pools, epsilon)
    return collect(
        [
            ids[
                greedy_cover(
                    _similarities(features_ND[ids]),
                    weights_N[ids],
                    count,
                    draws_ks,
                )
            ]
            for (ids, count), draws_ks in zip(pools, draws_C, strict=True)
        ]
    )


def _draws(key, pools, epsilon):
    """For each class random numbers [k, s]: for each choice, its candidates."""
    shapes = [
        (count, math.ceil(len(ids) / count * math.log(1 / epsilon)))
        for ids, count in pools
    ]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(bits(key, (int(ends[-1]),)), ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def greedy_cover(rows_of, weights_n, count: int, draws_ks=None) -> np.ndarray:
    """Lazy greedy maximisation of sum_i w_i max_{j in S} s(i, j).

    A gain can only shrink, so an old one is an upper bound: gains are refreshed in
    blocks of those with the highest bounds, until the best is fresh.

    Args:
      rows_of: from b candidates, an int array [b], to their similarities [b, n] float32
        to every example, at least 0, a fresh array.
      weights_n: [n] float, at least 0, how much each example counts.
      count: how many to choose, 1 to n.
      draws_ks: [count, s] unsigned, for each choice the candidates it is made from:
        modulo how many are left, places among those; None is all that are left.

    Returns:
      [count] int ids, in the order of choice; of equal gains the lower id.
    """
    size = len(weights_n)
    weights_n = np.asarray(weights_n, np.float32)
    reached_n = np.zeros(size, np.float32)  # similarity to the nearest chosen example
    bound_n = np.full(size, np.inf)
    left_n = np.ones(size, bool)
    chosen: list[int] = []
    while len(chosen) < count:
        pool = np.flatnonzero(left_n)
        if draws_ks is not None:
            pool = np.unique(pool[draws_ks[len(chosen)] % len(pool)])
        fresh = np.zeros(len(pool), bool)
        while not fresh[best := _lowest_of_largest(bound_n[pool])]:
            stale = np.flatnonzero(~fresh)
            if len(stale) > _BLOCK:
                order = np.argpartition(bound_n[pool[stale]], len(stale) - _BLOCK)
                stale = stale[order[-_BLOCK:]]
            gains_bn = rows_of(pool[stale])
            gains_bn -= reached_n
            np.maximum(gains_bn, 0.0, out=gains_bn)
            # Not a matrix product: on blocks this small its threads only wait.
            bound_n[pool[stale]] = np.einsum("bn,n->b", gains_bn, weights_n)
            fresh[stale] = True
        chosen.append(pool[best])
        np.maximum(reached_n, rows_of(pool[[best]])[0], out=reached_n)
        left_n[pool[best]] = False
    return np.array(chosen)


def _lowest_of_largest(bound_n):
    return int(np.argmax(bound_n >= bound_n.max() * (1 - _TIE)))


def _similarities(features_nD):
    """A function from b rows to their similarities [b, n], a fresh array."""
    unit_nD = unit_rows(features_nD).astype(np.float32)

    def computed(rows):
        similarity_bn = unit_nD[rows] @ unit_nD.T
        similarity_bn += 1.0
        similarity_bn *= 0.5
        return similarity_bn

    return kept_rows(computed, len(unit_nD))


def kept_rows(rows_of, size: int):
    """The same function of rows, from a matrix where that is not too large.

    Args:
      rows_of: from an index array or slice of b of n examples to [b, n] float32.
      size: n.
    """
    if 4 * size**2 > _MATRIX_BYTES:
        return rows_of
    matrix_nn = np.empty((size, size), np.float32)
    for start in range(0, size, _ROWS):
        block = slice(start, start + _ROWS)
        matrix_nn[block] = rows_of(block)
    return lambda rows: matrix_nn[rows]


FACILITY_LOCATION = Selection(
    function=facility_location, title="Facility location", requires=("features",)
)


# Not in CAD's paper: an extension tried by an independent re-implementation.
CAD_FACILITY_LOCATION = Selection(
    function=facility_location,
    title="Facility location (CAD weights)",
    summary="Facility location in which an example counts by its CAD.",
    choose=lambda inputs, per_class, values: facility_location(
        inputs.require("features"), inputs.labels, per_class, weights=values
    ),
    score="cad",
    requires=("features",),
)
