"""Beta sampling.

Shape letters: N examples.
"""

import dataclasses
import math

import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.scores.fluctuation import DUAL_STOP
from ddjax.scores.score import mean_over_runs
from ddjax.select.budget import bits, collect, groups, values_for
from ddjax.select.selection import Selection

_ANCHORS = 10  # examples with the highest scores, which place the density
_SUM = 16.0  # a + b
_LARGEST = 1 - 2.0**-24  # the largest float32 below 1


def beta(key, scores, mean_prob, labels, per_class: int, c: float = 4.0) -> np.ndarray:
    """Beta sampling: a random sample whose difficulty moves with the budget.

    A sample without replacement, in proportion to Beta density times score.

    The density is that of Beta(a, b) at an example's `mean_prob`, with
    b = 15 (1 - anchor) (1 - r^c) and a = 16 - b. r = 1 - per_class * C / N is the
    fraction pruned, and anchor the mean `mean_prob` of the 10 examples of all classes
    with the highest scores, ties by id, or of all if there are fewer. The mean of the
    density, a / 16, so moves to easy examples as r grows. In each class, examples are
    drawn one after the other, each in proportion to the weights of those left.

    Args:
      key: typed PRNG key, consumed.
      scores: [N] float, finite and >= 0, used as weights: higher is more likely. The
        published score is `scores.dual`.
      mean_prob: [N] float in [0, 1], the probability of the true class averaged over
        the snapshots that the scores are from.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      c: how late the move to easy examples begins, finite and > 0. The published values
        are 4 for CIFAR and 11 for ImageNet.

    Returns:
      Sorted int32 example ids, `per_class` of every class. Examples of weight 0 (score
      0, or `mean_prob` 0 with a > 1) are taken only if no others are left in their
      class, and then uniformly at random.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        scores or probabilities are not one number per example in their range, or `c`
        is out of range.

    Source: DUAL; github.com/behaapyy/dual-pruning, exp_cifar/data_subset.py and
    exp_imagenet/train_imagenet.py. Deviations: there the draw is over all classes at
    once; here it is balanced. There a `mean_prob` of 1 has an infinite density if
    b < 1, and the draw fails; here it counts as the largest float32 below 1. Versions
    of that code differ in the epochs that are averaged: all of them, the first only, or
    the first 30, those of the score, which is the reading here.
    """
    pools = groups(labels, per_class)
    scores_N = values_for(labels, scores, "scores", "[0, inf)")  # they are weights
    prob_N = values_for(labels, mean_prob, "mean_prob", "[0, 1]")
    if not 0 < c < math.inf:
        raise InputError(f"c: {c}, expected a finite number above 0")

    pruned = 1 - per_class * len(pools) / len(scores_N)
    highest = np.argsort(-scores_N, kind="stable")[:_ANCHORS]
    b = (_SUM - 1) * (1 - prob_N[highest].mean()) * (1 - pruned**c)
    weight_N = _log_weights(scores_N, prob_N, _SUM - b, b)
    # The largest of log weight + Gumbel noise are a draw without replacement.
    uniform_N = (bits(key, scores_N.shape) + 0.5) / 2.0**32
    noise_N = -np.log(-np.log(uniform_N))
    chosen = []
    for ids, count in pools:
        # Where the weight is 0, the sum is -inf and the noise decides.
        order = np.lexsort((-noise_N[ids], -(weight_N + noise_N)[ids]))
        chosen.append(ids[order[:count]])
    return collect(chosen)


def _log_weights(scores_N, prob_N, a, b):
    """log(density * score) up to a constant, -inf where it is 0."""
    from scipy.special import xlog1py, xlogy

    prob_N = np.minimum(prob_N, _LARGEST)
    return xlogy(a - 1, prob_N) + xlog1py(b - 1, -prob_N) + xlogy(1.0, scores_N)


@dataclasses.dataclass(frozen=True)
class BetaOptions:
    """Options of `beta`."""

    c: float = setting(4.0, "How fast it turns to easy examples.", "(0, 1000]")


def _dual_beta(inputs, per_class, values):
    def easiness(trace):  # over the snapshots that the score is from
        return trace.mean("true_prob", 0, min(DUAL_STOP, trace.num_snapshots))

    probs = mean_over_runs(easiness, inputs.require("traces"))
    key, c = inputs.key_of("beta"), inputs.options_of(BetaOptions).c
    return beta(key, values, probs, inputs.labels, per_class, c)


DUAL_BETA = Selection(
    function=beta,
    title="DUAL beta",
    choose=_dual_beta,
    score="dual",
    options=BetaOptions,
)
