"""Feature vectors of length 1, whose products are cosines."""

import numpy as np


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
