"""Beta sampling: chances against scipy's density and all orders of draws."""

import itertools

import numpy as np
import pytest
from jax.random import key
from scipy import stats

from ddjax.errors import InputError
from ddjax.select.beta import beta

CLASSES = 3000  # every class is a draw


def slow_weights(scores, probs, labels, per_class, c):
    """Density times score, as the published code has them."""
    pruned = 1 - per_class * len(set(labels.tolist())) / len(labels)
    highest = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:10]
    anchor = sum(probs[i] for i in highest) / len(highest)
    b = 15 * (1 - anchor) * (1 - pruned**c)
    return stats.beta.pdf(probs, 16 - b, b) * scores


def slow_chances(weights, count):
    """Chance of each to be among `count` drawn one after the other."""
    chances = np.zeros(len(weights))
    for order in itertools.permutations(range(len(weights)), count):
        chance, left = 1.0, sum(weights)
        for i in order:
            chance *= weights[i] / left
            left -= weights[i]
        chances[list(order)] += chance
    return chances


def many(scores, probs):
    """The same examples in every class."""
    labels = np.repeat(np.arange(CLASSES), len(scores))
    return np.tile(scores, CLASSES), np.tile(probs, CLASSES), labels


def assert_chances(taken, chances):
    spread = 5 * np.sqrt(chances * (1 - chances) / len(taken))
    assert (np.abs(taken.mean(0) - chances) <= spread + 1e-12).all()


@pytest.mark.parametrize("per_class, c", [(1, 4.0), (2, 4.0), (2, 0.7), (4, 11.0)])
def test_beta_chances_are_those_of_draws_in_proportion_to_the_weights(per_class, c):
    values = [1.0, 0.6, 0.8, 2.0, 0.3], [0.3, 0.5, 0.8, 0.6, 0.95]
    scores, probs, labels = many(*values)
    # The ten highest have 2, and the mean of theirs is not that of their classes.
    scores[3 + 5 * np.arange(3)] *= 2.0
    probs[3 + 5 * np.arange(3)] = [0.1, 0.2, 0.4]
    weights = slow_weights(scores, probs, labels, per_class, c)
    ids = beta(key(0), scores, probs, labels, per_class, c)
    assert ids.dtype == np.int32 and (np.diff(ids) > 0).all()
    taken = np.zeros((CLASSES, 5), bool)
    taken.flat[ids] = True
    assert (taken.sum(1) == per_class).all()
    assert_chances(taken[3:], slow_chances(weights.reshape(-1, 5)[3], per_class))


def test_beta_hand_worked():
    # Half is kept, and all have p = 0.5: r = 1/2 and b = 15 * 1/2 * (1 - 1/16), but
    # the density is the same for both. Only the scores count: 3 to 1.
    scores, probs, labels = many([3.0, 1.0], [0.5, 0.5])
    ids = beta(key(0), scores, probs, labels, 1)
    assert_chances((ids % 2 == 0)[:, None], np.array([3 / 4]))
    # The ten highest scores have p = 1/4, so b = 15 * 3/4 * 1/2 = 45/8, and 3/4 is
    # denser than 1/4 by 3^(a - b) = 3^(16 - 45/4) = 3^4.75, which the scores undo.
    scores, probs, labels = many([3**4.75, 1.0], [0.25, 0.75])
    ids = beta(key(0), scores, probs, labels, 1, c=1.0)
    assert_chances((ids % 2 == 0)[:, None], np.array([1 / 2]))


def test_beta_moves_to_easy_examples_as_the_budget_falls():
    rng = np.random.default_rng(0)
    probs, labels = rng.uniform(size=2000), np.zeros(2000, int)
    # Fluctuation is largest in the middle; the hardest of those have the top scores.
    scores = np.sqrt(probs * (1 - probs)) * (1 - probs)
    chosen = [beta(key(0), scores, probs, labels, n) for n in (900, 200, 20)]
    means = [probs[ids].mean() for ids in chosen]
    assert means[0] + 0.1 < means[1] < means[2] - 0.1
    late = beta(key(0), scores, probs, labels, 200, c=11.0)
    assert probs[late].mean() < means[1] - 0.1


def test_beta_depends_on_the_key_and_not_on_the_scale_of_the_scores():
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat([0, 1, 2], [14, 6, 10]))
    scores, probs = rng.uniform(size=30), rng.uniform(size=30)
    plain = beta(key(0), scores, probs, labels, 4)
    assert np.bincount(labels[plain]).tolist() == [4, 4, 4]
    for factor in (1.0, 1e-200, 1e200):
        result = beta(key(0), factor * scores, probs, labels, 4)
        np.testing.assert_array_equal(result, plain)
    assert (beta(key(1), scores, probs, labels, 4) != plain).any()


def test_beta_takes_examples_without_weight_last_and_uniformly():
    scores, probs, labels = many([0, 1, 0, 1, 1], [0.5, 0.4, 1.0, 0.0, 0.6])
    taken = np.zeros((CLASSES, 5), bool)
    taken.flat[beta(key(0), scores, probs, labels, 2)] = True
    np.testing.assert_array_equal(taken, np.tile([0, 1, 0, 0, 1], (CLASSES, 1)))
    taken.flat[beta(key(0), scores, probs, labels, 3)] = True
    assert_chances(taken, np.array([1 / 3, 1, 1 / 3, 1 / 3, 1]))


def test_beta_of_certain_examples_does_not_fail():
    # b < 1: the density grows without bound towards 1. Anchors at 1 make b = 0.
    for top in (0.9, 1.0):
        scores, probs, labels = many([0.5, 1.0, 0.5, 1.0], [1.0, top, 0.3, top])
        ids = beta(key(0), scores, probs, labels, 1, c=0.1)
        assert not (ids % 4 == 2).any()
        assert len(ids) == CLASSES


def test_beta_of_the_whole_class_and_of_few_examples():
    labels = np.array([0, 0, 1, 1])
    scores, probs = [0.0, 1.0, 2.0, 1.0], [0.0, 1.0, 0.2, 0.7]
    ids = beta(key(0), scores, probs, labels, 2)
    np.testing.assert_array_equal(ids, np.arange(4))
    for anchor in (0.0, 1.0):
        ids = beta(key(0), np.zeros(4), np.full(4, anchor), labels, 2)
        np.testing.assert_array_equal(ids, np.arange(4))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"scores": [0, 1, -2, 0]}, "scores: from -2.0 to 1.0, expected finite"),
        ({"scores": [0, 1, np.inf, 0]}, "scores: from 0.0 to inf, expected finite"),
        ({"scores": [0, 1, np.nan, 0]}, "scores: 1 of 4 are NaN"),
        ({"scores": [0, 1, 2]}, r"scores: shape \(3,\), expected \(4,\)"),
        ({"mean_prob": [0, 1, 1.5, 0]}, r"mean_prob: from 0.0 to 1.5, .* in \[0, 1\]"),
        ({"mean_prob": [0, 1, -0.5, 0]}, "mean_prob: from -0.5"),
        ({"mean_prob": [0, 1, np.nan, 0]}, "mean_prob: 1 of 4 are NaN"),
        ({"mean_prob": [0.5]}, r"mean_prob: shape \(1,\), expected \(4,\)"),
        ({"c": 0.0}, "c: 0.0, expected a finite number above 0"),
        ({"c": np.inf}, "c: inf"),
        ({"per_class": 3}, "per_class: 3, but class 0 has only 2"),
    ],
)
def test_beta_refuses_bad_input(changed, message):
    given = dict(
        scores=[0, 1, 2, 0], mean_prob=[0.5] * 4, labels=[0, 0, 1, 1], per_class=1
    )
    with pytest.raises(InputError, match=message):
        beta(key(0), **(given | changed))
