"""K-means.

Shape letters: n points, D numbers of a point, k clusters.
"""

import warnings

import numpy as np


def centres(points_nD: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns the centres of k-means, Lloyd's algorithm from one start of k-means++.

    Args:
      points_nD: [n, D] numbers, finite.
      count: k, at most n; of fewer distinct points some centres are alike.
      seed: below 2**32; draws the start.

    Returns:
      [k, D] float64.

    Source: scikit-learn's KMeans.
    """
    # Not at the top: scikit-learn takes longer to import than the whole package.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # of fewer distinct points than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init=1, random_state=seed)
        return found.fit(points_nD.astype(np.float64)).cluster_centers_
