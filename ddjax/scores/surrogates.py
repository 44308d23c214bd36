"""The value of a score or of a distillation objective for a whole subset.

One number per subset, meant to be correlated with what students trained on it reach.

Shape letters: N examples, D features, C outputs; n examples of one class, k of them
chosen.
"""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.features import finite_rows, unit_rows

_BLOCK = 2**22  # distances held at once: 32 MiB


def mean_score(scores, ids) -> float:
    """Mean score of the chosen examples.

    Args:
      scores: [N] float, finite.
      ids: [m] int, the subset's example ids in any order.

    Returns:
      The mean, in the unit of the score.

    Raises:
      InputError: if the scores are not one finite number per example, or the ids are
        not distinct integers in 0..N-1.
    """
    scores_N = np.asarray(scores, np.float64)
    if scores_N.ndim != 1:
        raise InputError(f"scores: shape {scores_N.shape}, expected [N]")
    finite_rows("scores", scores_N[:, None])
    return float(scores_N[_distinct(ids, scores_N.size)].mean())


def feature_distance(features, labels, ids) -> float:
    """Squared distance between the mean features of all and of chosen examples.

    Summed over the classes: the objective of distribution matching (DM), of a real
    subset in place of synthetic images. 0 where every class mean is kept.

    Args:
      features: [N, D] float, finite.
      labels: [N] int.
      ids: [m] int, the subset's example ids in any order, some of every class.

    Returns:
      The sum, in squared units of the features.

    Raises:
      InputError: if the features are not one finite vector per example, the labels are
        not [N] integers, or the ids are not distinct integers in 0..N-1 with some of
        every class.

    Source: VICO-UoE/DatasetCondensation, main_DM.py. DM takes a new random network at
    every step and 256 augmented images a class; here the features are those given and
    a class counts as a whole.
    """
    pairs = _by_class(labels, ids)
    features_ND = finite_rows("features", features, len(labels))
    total = 0.0
    for everything, chosen in pairs:
        offset_D = _mean(features_ND[everything]) - _mean(features_ND[chosen])
        total += offset_D @ offset_D
    return float(total)


def gradient_distance(gradients, labels, ids) -> float:
    """One minus the cosine of last-layer gradients of all and of chosen examples.

    The gradient of a class is that of its mean cross-entropy with respect to the
    weights W [C, D] of the last layer, the mean of e h^T over its examples with error e
    and features h. The cosine is that of each row of W by itself; 1 - cosine is summed
    over rows and classes, as gradient matching (DC) does. A row that is zero on one
    side only has cosine 0; zero on both sides is agreement. 1 - cosine is half the
    squared distance of the unit vectors, which keeps its digits near 0.

    Args:
      gradients: an object with the fields `errors` [N, C] float, softmax minus target,
        and `features` [N, D] float, the input of the last layer; both finite.
      labels, ids: as of `feature_distance`, likewise the errors.

    Returns:
      The sum, from 0 to 2 * C * (number of classes).

    Source: VICO-UoE/DatasetCondensation, utils.py and main.py. Like there, the bias
    plays no part. Deviations: the last layer only, of the one network given; whole
    classes in place of 256 images; no 1e-6 in the denominator, which would push
    the cosine of small gradients, those of a trained network, to 0.
    """
    pairs = _by_class(labels, ids)
    errors_NC = finite_rows("errors", gradients.errors, len(labels))
    features_ND = finite_rows("features", gradients.features, len(labels))

    def direction(rows):  # of each row of the mean gradient, whose length is no matter
        errors_nC = errors_NC[rows].astype(np.float64)
        return unit_rows(errors_nC.T @ features_ND[rows].astype(np.float64))

    total = 0.0
    for everything, chosen in pairs:
        real_CD, subset_CD = direction(everything), direction(chosen)
        apart_C = np.square(real_CD - subset_CD).sum(axis=1) / 2
        # Of a zero and a unit vector 1/2 so far, of two zeros 0.
        one_zero_C = real_CD.any(axis=1) != subset_CD.any(axis=1)
        total += np.where(one_zero_C, 1.0, apart_C).sum()
    return float(total)


def coverage(features, labels, ids) -> float:
    """Mean distance of every example to the nearest chosen one of its class.

    The chosen count with distance 0, so that the value of the full set is 0; lower
    means better covered. The objective of k-medoids, where k-centre has the largest
    distance.

    Arguments and errors as of `feature_distance`.

    Returns:
      The mean Euclidean distance over all N, in units of the features.
    """
    # Not at the top: scipy.spatial takes longer to import than the whole package.
    from scipy.spatial.distance import cdist

    pairs = _by_class(labels, ids)
    features_ND = finite_rows("features", features, len(labels))
    total = 0.0
    for everything, chosen in pairs:
        features_kD = features_ND[chosen]
        blocks = -(-len(everything) * len(chosen) // _BLOCK)
        for block in np.array_split(everything, blocks):
            total += cdist(features_ND[block], features_kD).min(axis=1).sum()
    return float(total / len(features_ND))


def _by_class(labels, ids) -> list:
    """Per class the ids of all its examples and of its chosen ones, both ascending."""
    labels_N = np.asarray(labels)
    if labels_N.ndim != 1 or not np.issubdtype(labels_N.dtype, np.integer):
        raise InputError(
            f"labels: shape {labels_N.shape} of {labels_N.dtype}, expected [N] integers"
        )
    ids = _distinct(ids, labels_N.size)
    missing = np.setdiff1d(labels_N, labels_N[ids])
    if missing.size:
        raise InputError(
            f"ids: none of class {missing[0]}, expected some of every class"
        )
    everything = np.arange(labels_N.size)
    classes = _split(everything, labels_N), _split(ids, labels_N)
    return list(zip(*classes, strict=True))


def _split(ids, labels_N):
    order = ids[np.argsort(labels_N[ids], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(labels_N[order])) + 1)


def _distinct(ids, count):
    """The ids sorted, or an InputError."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer) or not ids.size:
        raise InputError(
            f"ids: shape {ids.shape} of {ids.dtype}, expected [m] integers, m >= 1"
        )
    ids = np.sort(ids)
    for outside in ids[[0, -1]]:
        if not 0 <= outside < count:
            raise InputError(f"ids: {outside}, allowed are 0..{count - 1}")
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if repeated.size:
        raise InputError(f"ids: {repeated[0]} appears more than once")
    return ids


def _mean(features_nD):
    return features_nD.mean(axis=0, dtype=np.float64)
