"""Stratified selection: every part of the ranking is represented alike.

Shape letters: N examples, K strata.
"""

import numbers

import numpy as np

from ddjax.errors import InputError
from ddjax.select.budget import collect, groups, values_for
from ddjax.select.draws import bits


def stratified(
    key, scores, labels, per_class: int, strata: int | None = None
) -> np.ndarray:
    """The same number at random from strata of equal count of the difficulty.

    In each class, examples are ordered from the lowest score to the highest, ties by
    id, and cut into `strata` consecutive parts whose sizes differ by at most one, the
    larger ones first. Each part gives per_class // strata examples, drawn uniformly
    without replacement. The remainder comes one each from parts drawn uniformly among
    those that have an example left.

    Args:
      key: typed PRNG key, consumed.
      scores: [N] float, higher is harder, infinities allowed; only ranks matter.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      strata: parts K of a class, at least 1. None is `per_class`: one example from each
        quantile, whatever the budget. 1 is random selection. More than `per_class`
        leaves parts without an example.

    Returns:
      Sorted int32 example ids, `per_class` of every class.

    Raises:
      InputError: if the labels do not cover 0..C-1, the budget is impossible, the
        scores are not one number per example, or `strata` is not at least 1.

    Source: stratified random sampling with equal allocation, the textbook design; no
    paper is followed.
    """
    pools = groups(labels, per_class)
    scores_N = values_for(labels, scores, "scores")
    if strata is None:
        strata = per_class
    if not isinstance(strata, numbers.Integral) or strata < 1:
        raise InputError(
            f"strata: {strata}, expected an integer of at least 1, or None"
        )
    num_examples = len(scores_N)
    draws = bits(key, (num_examples + len(pools) * strata,))
    draws_N, draws_CK = np.split(draws, [num_examples])
    chosen = []
    for (ids, count), draws_K in zip(
        pools, draws_CK.reshape(len(pools), strata), strict=True
    ):
        ids = ids[np.argsort(scores_N[ids], kind="stable")]
        parts = np.array_split(ids, strata)
        for part, share in zip(parts, _shares(parts, count, draws_K), strict=True):
            order = np.argsort(draws_N[part], kind="stable")
            chosen.append(part[order[:share]])
    return collect(chosen)


def _shares(parts, count, draws_K):
    """How many to draw from each part, `count` in all."""
    each, remainder = divmod(count, len(parts))
    share_K = np.full(len(parts), each)
    # A part smaller than `each` cannot be: the class has at least `count` examples.
    roomy = np.flatnonzero([len(part) > each for part in parts])
    share_K[roomy[np.argsort(draws_K[roomy], kind="stable")[:remainder]]] += 1
    return share_K
