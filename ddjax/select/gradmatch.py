"""GradMatch.

Shape letters: n examples of one class, k examples chosen so far.
"""

import math

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.gradients import LastLayer, check_labels
from ddjax.select.budget import collect, groups
from ddjax.select.selection import Selection

_TIE = 1e-9  # of the largest initial correlation; smaller differences are ties
_RIDGE = 1e-10  # of the largest squared norm; below, rounding hides the penalty


def gradmatch(
    gradients: LastLayer, labels, per_class: int, penalty: float = 0.5
) -> np.ndarray:
    """GradMatch: examples whose weighted gradients add up to that of their class.

    Orthogonal matching pursuit of the mean gradient of each class.

    Every step adds the example whose gradient correlates most with the residual
    b - sum_j w_j g_j, where b is the mean gradient of the class. Then it finds anew the
    weights w >= 0 that minimise ||b - sum_j w_j g_j||^2 + penalty ||w||^2. The sum in
    place of the mean would scale the weights and select the same.

    The budget is always spent: once no correlation is positive, the weights are optimal
    for the whole class and the residual stays; the examples that follow, with weight 0,
    are still those that correlate most with it.

    Args:
      gradients: of N examples.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      penalty: at least 0, in units of a squared gradient norm. When it is large beside
        the squared norms, as at a model that fits its training set, the weights are
        small and the method ranks by correlation with the mean gradient alone.

    Returns:
      Sorted int32 example ids, `per_class` of every class; of equal correlations the
      lower id.

    Raises:
      InputError: if the labels do not cover 0..C-1 or do not fit the gradients, the
        budget is impossible, or the penalty is negative or not finite.

    Source: Killamsetty et al., ICML 2021, arXiv 2103.00123; decile-team/cords,
    `gradmatchstrategy.py` and `omp_solvers.py`, with the penalty of its configuration
    for CIFAR-10; PatrickZH/DeepCore, `gradmatch.py`. Deviations: both leave the penalty
    out of the first step, where there is one weight, and have it in all others; here it
    is in every step. Both let weights be negative inside the loop; cords then drops
    negative ones one by one and fills the budget at random, and DeepCore solves the
    normal equations for w >= 0 once at the end and returns only positive weights; here
    the problem above is solved in every step. DeepCore's penalty is 1, but it divides
    every gradient by the size of its batch, since it differentiates the mean loss:
    beside gradients of examples, as here, its penalty is the squared batch, 65,536 for
    its default of 256, and the last batch of a class, which is smaller, has longer
    gradients. That configuration of cords matches the gradient of the class's own
    output, here all outputs count. Selection is done once, and students train
    unweighted.
    """
    pools = groups(labels, per_class)
    check_labels("labels", labels, gradients.num_examples, gradients.num_classes)
    if not (penalty >= 0 and math.isfinite(penalty)):
        raise InputError(f"penalty: {penalty}, expected a finite number of at least 0")
    return collect(
        [ids[_pursue(gradients.take(ids), penalty, count)] for ids, count in pools]
    )


def _pursue(gradients, penalty, count):
    aligned_n = gradients.along(gradients.mean())
    tie = _TIE * np.abs(aligned_n).max()
    ridge = max(penalty, _RIDGE * gradients.squares().max()) or 1.0
    columns_nk = np.empty((gradients.num_examples, count))
    weights_k = np.zeros(0)
    chosen = []
    while (size := len(chosen)) < count:
        correlation_n = aligned_n - columns_nk[:, :size] @ weights_k
        correlation_n[chosen] = -np.inf
        chosen.append(int(np.argmax(correlation_n >= correlation_n.max() - tie)))
        columns_nk[:, size] = gradients.products(slice(None), chosen[-1:])[:, 0]
        gram_kk = columns_nk[chosen, : size + 1]
        weights_k = _weights(gram_kk, aligned_n[chosen], ridge)
    return chosen


def _weights(gram_kk, aligned_k, ridge):
    """The w >= 0 that minimise w^T (G + ridge I) w - 2 w^T a."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    # With G + ridge I = R^T R this is ||R w - R^-T a||^2 up to a constant.
    root_kk = cholesky(gram_kk + ridge * np.eye(len(gram_kk)))
    return nnls(root_kk, solve_triangular(root_kk, aligned_k, trans="T"))[0]


GRADMATCH = Selection(function=gradmatch, title="GradMatch", requires=("gradients",))
