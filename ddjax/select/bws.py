"""BWS.

Shape letters: N examples, D features, n examples of a window, C classes.
"""

import math

import numpy as np

from ddjax.errors import InputError
from ddjax.select.budget import features_for
from ddjax.select.ranking import best_window, window
from ddjax.select.selection import Selection

_STARTS = tuple(step / 20 for step in range(21))


def bws(
    scores,
    features,
    labels,
    per_class: int,
    starts=_STARTS,
    regularization: float = 1.0,
) -> np.ndarray:
    """BWS: the window of difficulty from which ridge regression learns the most.

    It has the highest of `window_accuracies`.

    Arguments, errors and Source: as `window_accuracies`.

    Returns:
      Sorted int32 example ids, `per_class` of every class, as `ranking.window` gives
      them for the best start; of equally good ones, the easiest.
    """
    given = scores, features, labels, per_class, starts, regularization
    accuracies = window_accuracies(*given)
    start = best_window(accuracies, accuracies)
    return window(scores, labels, per_class, start)


def window_accuracies(
    scores,
    features,
    labels,
    per_class: int,
    starts=_STARTS,
    regularization: float = 1.0,
) -> dict:
    """Accuracy on all examples of a ridge regression fitted to each window.

    Kernel ridge regression with the linear kernel from the window's features to its
    one-hot labels, the predicted class being the largest output. A constant feature of
    1 is added; it is regularised like the others, and features are not scaled. Only the
    training set is read. Memory is 8 N (D + 1) bytes, and 8 min(n, D + 1)^2 for
    the equations.

    Args:
      scores: [N] float, higher is harder, infinities allowed.
      features: [N, D] float, best those of a network trained for a few epochs on a
        random subset of the same size.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      starts: places of the windows in [0, 1], as of `ranking.window`, at least one.
      regularization: the ridge, finite and > 0, in the square of the features' unit.

    Returns:
      start -> accuracy in [0, 1].

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        scores are not one number or the features not one finite vector per example, or
        `starts` or `regularization` is out of range.

    Source: Choi, Ki and Chung, "BWS: Best Window Selection Based on Sample Scores for
    Data Pruning across Broad Ranges", ICML 2024, arXiv 2406.03057;
    github.com/NohyunKi/BWS, experiment/regression.py: ridge 1, a constant feature, no
    scaling, accuracy on the full training set, pooled features after 20 epochs on a
    random subset. Deviations: windows there are 5 % of the class apart; here by default
    5 % of the range that a window can move over, nearly the same for small budgets.
    Ties there are broken by noise of 1e-4 on the scores; here by id.
    """
    windows = {start: window(scores, labels, per_class, start) for start in starts}
    if not windows:
        raise InputError("starts: there are none, expected at least one")
    features_ND = features_for(labels, features)
    if not 0 < regularization < math.inf:
        raise InputError(
            f"regularization: {regularization}, expected a finite number above 0"
        )
    labels_N = np.asarray(labels)
    constant_N1 = np.ones((len(labels_N), 1))
    features_ND = np.concatenate([constant_N1, features_ND], axis=1, dtype=np.float64)
    one_hot_CC = np.eye(labels_N.max() + 1)
    accuracies = {}
    for start, ids in windows.items():
        weights_DC = _ridge(features_ND[ids], one_hot_CC[labels_N[ids]], regularization)
        predicted_N = np.argmax(features_ND @ weights_DC, axis=1)
        accuracies[start] = float(np.mean(predicted_N == labels_N))
    return accuracies


def _ridge(x_nD, y_nC, regularization):
    """Weights [D, C] that minimise |x w - y|^2 + regularization |w|^2."""
    n, dimension = x_nD.shape
    if n < dimension:
        kernel_nn = x_nD @ x_nD.T + regularization * np.eye(n)
        return x_nD.T @ np.linalg.solve(kernel_nn, y_nC)
    moments_DD = x_nD.T @ x_nD + regularization * np.eye(dimension)
    return np.linalg.solve(moments_DD, x_nD.T @ y_nC)


BWS = Selection(function=bws, title="BWS", score="el2n", requires=("features",))
