"""K-means medoids.

Shape letters: n examples of one class, D features, k chosen.
"""

import numpy as np

from ddjax.scores.clusters import centres
from ddjax.select.budget import bits, collect, features_for, groups
from ddjax.select.selection import Selection


def k_means(key, features, labels, per_class: int) -> np.ndarray:
    """K-means: the examples nearest to the centres of as many clusters.

    Clusters are those of Lloyd's algorithm within a class, from one start of k-means++.

    Args:
      key: typed PRNG key, consumed; draws the start in every class.
      features: [N, D] float.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.

    Returns:
      Sorted int32 example ids, `per_class` of every class. An example that is nearest
      to several centres stands for the first of them, the others have the nearest that
      is left.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, or the
        features are not one finite vector per example.

    Source: the baseline of that name in DC-BENCH (arXiv 2207.09639), whose repository
    justincui03/dc_benchmark has its sets but not its code.
    """
    pools = groups(labels, per_class)
    features_ND = features_for(labels, features)
    seeds_C = bits(key, (len(pools),))
    return collect(
        [
            ids[_medoids(features_ND[ids], count, int(seed))]
            for (ids, count), seed in zip(pools, seeds_C, strict=True)
        ]
    )


def _medoids(features_nD, count, seed):
    chosen: list[int] = []
    for centre_D in centres(features_nD, count, seed):
        apart_n = np.square(features_nD - centre_D).sum(axis=1)
        apart_n[chosen] = np.inf
        chosen.append(int(apart_n.argmin()))
    return chosen


K_MEANS = Selection(
    function=k_means, title="K-means", key="k_means", requires=("features",)
)
