"""Graph cut.

Shape letters: n examples of one class, D features.
"""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.features import unit_rows
from ddjax.select.budget import collect, features_for, groups
from ddjax.select.selection import Selection

_TIE = 1e-10  # of n, the largest sum of similarities: a smaller difference is a tie


def graph_cut(features, labels, per_class: int, penalty: float = 0.5) -> np.ndarray:
    """Graph cut: choose examples like their class and unlike each other.

    Greedy maximisation of a graph cut in each class.

    The value of a set S in the class V is

        sum_{i in V, j in S} sim(i, j) - penalty * sum_{i, j in S} sim(i, j),

    where the last sum has both orders of a pair and i = j. As in `facility_location`,
    sim is (1 + cosine) / 2, in [0, 1], and a zero vector has cosine 0 to everything.
    The value is submodular; up to a penalty of 0.5 it is also monotone, so that the
    value reached is at least 1 - 1/e of the best possible one. The default is that
    limit, the most diverse choice with the bound: an example then gains its similarity
    to those not chosen. Above it a gain may be negative, and is taken all the same, as
    the budget is exact. Similarities are never stored: their sums are products with
    sums of vectors.

    Args:
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      penalty: finite and >= 0, the weight of similarity among the chosen.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Gains closer than 1e-10 n in
      a class of n are ties and go to the lower id: copies and mirror images tie
      exactly, and rounding must not decide between them.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        features are not one finite vector per example, or the penalty is out of range.

    Source: decile-team/submodlib (functions/graphCut.py), the formula, monotone below
    0.5, without a default. PatrickZH/DeepCore (submodular_function.py) and
    jmschrei/apricot (functions/graphCut.py) weigh the first sum instead, by default
    with 1: that is a penalty of 1 here. DeepCore's similarities are of gradients.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    if not 0 <= penalty < np.inf:
        raise InputError(f"penalty: {penalty}, expected a finite number of at least 0")
    return collect(
        [
            ids[_greedy(unit_rows(features_ND[ids]), count, penalty)]
            for ids, count in pools
        ]
    )


def _greedy(unit_nD, count, penalty):
    size = len(unit_nD)
    own_n = np.where(unit_nD.any(axis=1), 1.0, 0.5)  # sim(j, j)
    to_class_n = (size + unit_nD @ unit_nD.sum(axis=0)) / 2
    chosen = []
    sum_D = np.zeros(unit_nD.shape[1])
    while len(chosen) < count:
        to_chosen_n = (len(chosen) + unit_nD @ sum_D) / 2
        gains_n = to_class_n - penalty * (2 * to_chosen_n + own_n)
        gains_n[chosen] = -np.inf
        largest = gains_n.max() - _TIE * size * max(1.0, penalty)
        chosen.append(int(np.argmax(gains_n >= largest)))
        sum_D += unit_nD[chosen[-1]]
    return chosen


GRAPH_CUT = Selection(function=graph_cut, title="Graph cut", requires=("features",))
