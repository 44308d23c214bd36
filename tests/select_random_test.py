"""Random selection: uniform, nested, and a function of its key."""

import jax
import numpy as np

from ddjax import select

LABELS = np.array([0] * 4 + [1] * 6 + [2] * 5)[np.random.default_rng(0).permutation(15)]


def test_random_depends_on_the_key_only():
    first = select.random(jax.random.key(3), LABELS, 2)
    np.testing.assert_array_equal(first, select.random(jax.random.key(3), LABELS, 2))
    others = [select.random(jax.random.key(k), LABELS, 2) for k in range(20)]
    assert len({tuple(ids) for ids in others}) > 15


def test_random_takes_every_example_equally_often():
    draws = 80
    counts = np.zeros(15)
    together = 0
    for key in jax.random.split(jax.random.key(0), draws):
        ids = select.random(key, LABELS, 2)
        counts[ids] += 1
        together += set(np.flatnonzero(LABELS == 0)[:2]) <= set(ids)
    chance = 2 / np.bincount(LABELS)[LABELS]
    # Five standard deviations of a binomial count.
    spread = 5 * np.sqrt(draws * chance * (1 - chance))
    assert (np.abs(counts - draws * chance) < spread).all()
    # Pairs too: one of the 6 pairs of class 0.
    assert abs(together - draws / 6) < 5 * np.sqrt(draws * 5 / 36)


def test_random_budgets_of_one_key_are_nested():
    sizes = (1, 2, 3, 4)
    subsets = [set(select.random(jax.random.key(7), LABELS, n)) for n in sizes]
    assert subsets[0] < subsets[1] < subsets[2] < subsets[3]


def test_random_unbalanced_takes_the_total_and_ignores_classes():
    subsets = [
        select.random(jax.random.key(k), LABELS, 3, balanced=False) for k in range(20)
    ]
    assert all(len(set(ids)) == 9 and (np.diff(ids) > 0).all() for ids in subsets)
    counts = {tuple(np.bincount(LABELS[ids], minlength=3)) for ids in subsets}
    assert len(counts) > 3
