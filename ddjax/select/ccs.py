"""Coverage-centric selection: drop the hardest, then cover the range of the rest.

Shape letters: N examples, n kept examples of one group, K strata.
"""

import numbers

import numpy as np

from ddjax.errors import InputError
from ddjax.select.budget import collect, groups, values_for
from ddjax.select.draws import bits


def ccs(
    key,
    scores,
    labels,
    per_class: int,
    drop_hardest: float,
    bins: int = 50,
    balanced: bool = True,
) -> np.ndarray:
    """A random sample that covers strata of equal width of the difficulty.

    In each class, the hardest `drop_hardest` of its n examples are dropped, rounded
    down; ties at the cut keep the lower id. What is left, from its lowest score to its
    highest, is cut into `bins` intervals of equal width. From the smallest stratum up,
    equal sizes from the easiest, each gives min(its size, what is still needed // the
    strata left), drawn uniformly without replacement. So small strata are taken whole,
    empty ones cost nothing, and a budget below the number of occupied strata reaches
    only the largest of them.

    Args:
      key: typed PRNG key, consumed.
      scores: [N] float, higher is harder. Infinities are allowed and do not widen the
        strata: +inf joins the hardest one, -inf the easiest.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      drop_hardest: fraction in [0, 1) dropped first. A class keeps at least
        `per_class`: the easiest that would have been dropped stay.
      bins: strata K, at least 1.
      balanced: class by class; otherwise all examples are one group with a budget of
        `per_class * C`, as published.

    Returns:
      Sorted int32 example ids.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        scores are not one number per example, or `drop_hardest` or `bins` is out of
        range.

    Source: Zheng et al., "Coverage-centric Coreset Selection for High Pruning Rates",
    ICLR 2023; github.com/haizhongzheng/Coverage-centric-coreset-selection,
    core/data/Coreset.py; 50 strata, and drop_hardest 0.3 in its CIFAR-10 example at
    90 % pruning. Deviations: there strata are global, and the class-balanced path, of
    another selection, takes the size of the last class for all; here every class is
    sampled by itself. There examples are dropped by AUM whatever the score of the
    strata; here by the same score. There the range ends at 1.0001 times the highest
    score, which loses examples if that is not positive; here the last stratum is
    closed.
    """
    pools = groups(labels, per_class, balanced)
    scores_N = values_for(labels, scores, "scores")
    if not 0 <= drop_hardest < 1:
        raise InputError(
            f"drop_hardest: {drop_hardest}, expected a number of at least 0, below 1"
        )
    if not isinstance(bins, numbers.Integral) or bins < 1:
        raise InputError(f"bins: {bins}, expected an integer of at least 1")
    draws_N = bits(key, np.shape(labels))
    chosen = []
    for ids, count in pools:
        kept = max(count, len(ids) - int(drop_hardest * len(ids)))
        ids = ids[np.argsort(scores_N[ids], kind="stable")[:kept]]
        stratum_n = _strata(scores_N[ids], bins)
        budget_K = _budgets(np.bincount(stratum_n, minlength=bins), count)
        for stratum in np.flatnonzero(budget_K):
            members = ids[stratum_n == stratum]
            order = np.argsort(draws_N[members], kind="stable")
            chosen.append(members[order[: budget_K[stratum]]])
    return collect(chosen)


def _strata(scores_n, bins):
    """The stratum 0..bins-1 of each example."""
    finite = scores_n[np.isfinite(scores_n)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    # Multiplied first, so that counts on an edge are not rounded below it.
    place_n = (scores_n - low) * bins / (high - low or 1.0)
    return np.clip(place_n, 0, bins - 1).astype(int)


def _budgets(sizes_K, total):
    """How many to draw from each stratum, `total` in all."""
    budget_K = np.zeros_like(sizes_K)
    order = np.argsort(sizes_K, kind="stable")
    for left, stratum in zip(range(len(order), 0, -1), order, strict=True):
        budget_K[stratum] = min(sizes_K[stratum], total // left)
        total -= budget_K[stratum]
    return budget_K
