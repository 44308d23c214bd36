"""Herding.

Shape letters: n examples of one class, D features.
"""

import numpy as np

from ddjax.select.budget import collect, features_for, groups, values_for
from ddjax.select.selection import Selection

_TIE = 1e-10  # of the largest squared distance to the mean: below it, a tie


def herding(features, labels, per_class: int, weights=None) -> np.ndarray:
    """Herding: choose the examples whose mean follows the mean of their class.

    Greedily keeps the mean of the chosen nearest to the mean mu of the class, or, with
    weights, to the weighted mean.

    After k choices with the sum s, the next is the argmin over the examples x that are
    left of ||mu - (s + x) / (k + 1)||. Times k + 1 that is the distance of x to the
    running target (k + 1) mu - s, so both give the same choice. Distances are Euclidean
    between the features as given.

    Args:
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      weights: [N] float, finite and >= 0, how much each example counts in the mean;
        None, or zero for a whole class, is 1.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Squared distances to the
      target that differ by less than 1e-10 of the largest squared distance to mu are
      ties and go to the lower id: rounding must not decide between mirror images.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, or the
        features are not one finite vector, or the weights not one such number, per
        example.

    Source: srebuffi/iCaRL (main_cifar_100_theano.py), which takes the largest product
    with the running target: the same for its features of length 1, where an example
    drawn twice counts twice; here examples are drawn without replacement.
    PatrickZH/DeepCore (herding.py) takes the *farthest* from the target, which is not
    followed.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    weights_N = np.ones(len(features_ND))
    if weights is not None:
        weights_N = values_for(labels, weights, "weights", "[0, inf)")
    return collect(
        [ids[_greedy(features_ND[ids], weights_N[ids], count)] for ids, count in pools]
    )


def _greedy(features_nD, weights_n, count):
    # Around the mean, the target is minus the sum of what was chosen, and stays small.
    offsets_nD = features_nD.astype(np.float64)
    offsets_nD -= np.average(
        offsets_nD, axis=0, weights=weights_n if weights_n.any() else None
    )
    squares_n = np.einsum("nd,nd->n", offsets_nD, offsets_nD)
    chosen = []
    sum_D = np.zeros(offsets_nD.shape[1])
    while len(chosen) < count:
        # ||sum + x||^2 without ||sum||^2, which is the same for every x.
        distances_n = squares_n + 2 * (offsets_nD @ sum_D)
        distances_n[chosen] = np.inf
        nearest = distances_n.min() + _TIE * squares_n.max()
        chosen.append(int(np.argmax(distances_n <= nearest)))
        sum_D += offsets_nD[chosen[-1]]
    return chosen


HERDING = Selection(function=herding, title="Herding", requires=("features",))

# Ours: the mean of those that a run of the student's length still learns.
CAD_HERDING = Selection(
    function=herding,
    title="Herding (CAD weights)",
    summary="Herding to the mean in which an example counts by its CAD.",
    choose=lambda inputs, per_class, values: herding(
        inputs.require("features"), inputs.labels, per_class, weights=values
    ),
    score="cad",
    requires=("features",),
)
