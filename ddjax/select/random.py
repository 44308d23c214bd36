"""Random selection, the baseline of every comparison."""

import jax
import numpy as np

from ddjax.select.budget import bits, collect, groups
from ddjax.select.selection import Selection


def random(key, labels, per_class: int, balanced: bool = True) -> np.ndarray:
    """Random selection, uniform and without replacement.

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


# A clone, so that a key's random subset is the one that `random` gives for it.
RANDOM = Selection(
    function=random,
    title="Random",
    choose=lambda inputs, per_class: random(
        jax.random.clone(inputs.key), inputs.labels, per_class
    ),
)
