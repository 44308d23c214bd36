"""Random selection, the baseline of every comparison."""

import numpy as np

from ddjax.select.budget import collect, groups
from ddjax.select.draws import bits


def random(key, labels, per_class: int, balanced: bool = True) -> np.ndarray:
    """A uniformly random subset without replacement.

    Every example gets one random number and the smallest of each class are kept. So
    for one key a smaller budget is contained in a larger one.

    Args:
      key: typed PRNG key, consumed.
      labels: [N] int, classes 0..C-1.
      per_class: budget of a class.
      balanced: exactly `per_class` of every class; otherwise `per_class * C` in all.

    Returns:
      Sorted int32 example ids.

    Raises:
      InputError: if the labels do not cover 0..C-1 or the budget is impossible.
    """
    pools = groups(labels, per_class, balanced)
    draws_N = bits(key, np.shape(labels))
    return collect(
        [ids[np.argsort(draws_N[ids], kind="stable")[:count]] for ids, count in pools]
    )
