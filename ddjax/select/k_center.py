"""Greedy k-centre: every next example is the farthest from those chosen.

Shape letters: n examples of one class, D features.
"""

import jax
import numpy as np

from ddjax.select.budget import collect, features_for, groups


def k_center(key, features, labels, per_class: int) -> np.ndarray:
    """Farthest-point selection in each class, from a random first point.

    Distances are squared Euclidean; of equally far examples the lower id is taken.
    Only the distance of each example to its nearest chosen one is kept.

    Args:
      key: typed PRNG key, consumed; draws the first point of every class.
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.

    Returns:
      Sorted int32 example ids, `per_class` of every class.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, or the
        features are not one finite vector per example.
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
    features_nD = features_nD.astype(np.float64)
    chosen = [first]
    nearest_n = np.full(len(features_nD), np.inf)
    while len(chosen) < count:
        offsets_nD = features_nD - features_nD[chosen[-1]]
        nearest_n = np.minimum(nearest_n, np.einsum("nd,nd->n", offsets_nD, offsets_nD))
        # Below every distance, so that copies of a chosen example come before it.
        nearest_n[chosen[-1]] = -1.0
        chosen.append(int(np.argmax(nearest_n)))
    return chosen
