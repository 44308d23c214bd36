"""Feature vectors: checked, of length 1, and how unlike the typical ones they are.

Shape letters: N examples, D features, K clusters.
"""

import numbers
import warnings

import jax
import numpy as np

from ddjax.errors import InputError
from ddjax.scores.score import Score

_BLOCK = 1024  # examples compared with all prototypes at once


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


def prototypes(key, features, clusters: int) -> np.ndarray:
    """Prototypes, the cosine distance to the nearest of k-means; higher is harder.

    Features are scaled to length 1 and clustered by Euclidean k-means over all classes,
    from one k-means++ start. A zero vector has cosine 0 to everything. Deterministic
    for a key; the order of the examples matters, as the start is drawn from it.

    Args:
      key: typed PRNG key, consumed; draws the seed of k-means.
      features: [N, D] float, best from self-supervised training.
      clusters: K, 1..N; the number of classes is the natural choice.

    Returns:
      [N] float32 in [0, 2], 1 - cosine: half the squared distance of the unit vectors,
      which keeps its digits near 0.

    Raises:
      InputError: if the features are not one finite vector per example, or `clusters`
        is not in 1..N.

    Source: "Beyond neural scaling laws", arXiv 2206.14486, as rgeirhos/
    dataset-pruning-metrics (README) describes its scores: reversed cosine similarities
    to the prototypes. That lengths are 1 before clustering is our reading: it makes
    k-means agree with the cosine.
    """
    features_ND = finite_rows("features", features)
    size = len(features_ND)
    if not isinstance(clusters, numbers.Integral) or not 1 <= clusters <= size:
        raise InputError(
            f"clusters: {clusters}, expected an integer from 1 to the {size} examples"
        )
    # Here, because importing it costs seconds.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    # In float64, so that another number of threads does not change an assignment.
    unit_ND = unit_rows(features_ND)
    k_means = KMeans(clusters, random_state=int(jax.random.bits(key)), n_init=1)
    with warnings.catch_warnings():
        # Fewer distinct examples than clusters: then every example is a prototype.
        warnings.simplefilter("ignore", ConvergenceWarning)
        centroids_KD = unit_rows(k_means.fit(unit_ND).cluster_centers_)
    distances_N = np.concatenate(
        [
            _distances(unit_ND[start : start + _BLOCK], centroids_KD)
            for start in range(0, size, _BLOCK)
        ]
    )
    return distances_N.astype(np.float32)


def _distances(unit_ND, centroids_KD):
    nearest_N = (unit_ND @ centroids_KD.T).argmax(axis=1)
    apart_N = np.square(unit_ND - centroids_KD[nearest_N]).sum(axis=1) / 2
    either_zero_N = ~unit_ND.any(axis=1) | ~centroids_KD[nearest_N].any(axis=1)
    return np.where(either_zero_N, 1.0, apart_N)


PROTOTYPES = Score(
    function=prototypes,
    title="Prototypes",
    of_inputs=lambda inputs: prototypes(
        inputs.key_of("prototypes"),
        inputs.require("features"),
        len(np.unique(inputs.labels)),
    ),
    requires=("features",),
)
