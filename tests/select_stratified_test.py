"""Stratified selection: as many of each quantile, and uniform inside."""

import numpy as np
import pytest
from ddjax.select.stratified import stratified
from jax.random import key

from ddjax.errors import InputError

SIZES = (14, 6, 10)


def draw(seed, ties=False):
    """30 examples of uneven classes 0..2; integer scores have ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], SIZES))
    scores = rng.integers(0, 4, 30) if ties else rng.normal(size=30)
    return scores.astype(np.float32), labels


def slow_parts(scores, pool, strata):
    """The ranking dealt out in turn: each part gets its share of ranks."""
    ranking = sorted(pool, key=lambda i: (scores[i], i))
    sizes = [len(range(k, len(ranking), strata)) for k in range(strata)]
    return [[ranking.pop(0) for _ in range(size)] for size in sizes]


def test_stratified_hand_worked():
    # Six of one class in three pairs of difficulty: 1 4 | 0 3 | 2 5.
    scores, labels = np.array([3, 1, 5, 4, 1, np.inf]), np.zeros(6, int)
    for seed in range(5):
        ids = stratified(key(seed), scores, labels, 3)
        assert ids.dtype == np.int32 and (np.diff(ids) > 0).all()
        assert [len(set(ids) & pair) for pair in ({1, 4}, {0, 3}, {2, 5})] == [1, 1, 1]
    # Four of three pairs: one pair whole.
    ids = stratified(key(0), scores, labels, 4, strata=3)
    counts = [len(set(ids) & pair) for pair in ({1, 4}, {0, 3}, {2, 5})]
    assert sorted(counts) == [1, 1, 2]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("strata", [None, 1, 2, 4, 20])
def test_stratified_takes_as_many_of_each_part(seed, ties, strata):
    scores, labels = draw(seed, ties)
    for per_class in (1, 4, 6):
        ids = set(stratified(key(0), scores, labels, per_class, strata).tolist())
        assert len(ids) == 3 * per_class
        for label in range(3):
            pool = np.flatnonzero(labels == label).tolist()
            parts = slow_parts(scores, pool, strata or per_class)
            counts = [len(ids & set(part)) for part in parts]
            assert sum(counts) == per_class
            least = per_class // len(parts)
            assert all(least <= count <= least + 1 for count in counts)


def test_stratified_draws_uniformly_and_independently():
    # Every class is a draw: five of 3 + 3 + 2 in three parts.
    classes = 1000
    labels = np.repeat(np.arange(classes), 8)
    scores = np.tile(np.arange(8.0), classes)
    ids = stratified(key(0), scores, labels, 5, strata=3)
    taken = np.zeros((classes, 8), bool)
    taken.flat[ids] = True
    # Two of three parts give two: 2/3 * 2/3 + 1/3 * 1/3, and 2/3 * 1 + 1/3 * 1/2.
    chance = np.array([5 / 9] * 6 + [5 / 6] * 2)
    spread = 5 * np.sqrt(chance * (1 - chance) / classes)
    assert (np.abs(taken.mean(0) - chance) < spread).all()
    # A pair of the first part: the part gives two, and these two.
    pair = (taken[:, 0] & taken[:, 1]).mean()
    assert abs(pair - 2 / 9) < 5 * np.sqrt(2 / 9 * 7 / 9 / classes)
    np.testing.assert_array_equal(ids, stratified(key(0), scores, labels, 5, strata=3))


def test_stratified_gives_the_remainder_to_parts_with_room():
    # Parts of 2, 2, 2 and 1: of seven, all; of six, never two of the last.
    scores, labels = np.arange(7.0), np.zeros(7, int)
    ids = stratified(key(0), scores, labels, 7, 4)
    np.testing.assert_array_equal(ids, np.arange(7))
    for seed in range(10):
        ids = stratified(key(seed), scores, labels, 6, 4)
        assert 6 in ids and len(set(ids)) == 6


def test_stratified_of_one_part_ignores_the_scores():
    scores, labels = draw(1)
    np.testing.assert_array_equal(
        stratified(key(0), scores, labels, 3, strata=1),
        stratified(key(0), -scores, labels, 3, strata=1),
    )


def test_stratified_looks_at_ranks_only():
    scores, labels = draw(2)
    np.testing.assert_array_equal(
        stratified(key(0), scores, labels, 4),
        stratified(key(0), np.exp(50 * scores.astype(np.float64)), labels, 4),
    )


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"strata": 0}, "strata: 0, expected an integer of at least 1, or None"),
        ({"strata": 1.5}, "strata: 1.5"),
        ({"per_class": 7}, "per_class: 7, but class 1 has only 6"),
        ({"per_class": 0}, "per_class: 0"),
        ({"scores": np.zeros(29)}, r"scores: shape \(29,\), expected \(30,\)"),
        ({"scores": np.full(30, np.nan)}, "scores: 30 of 30 are NaN"),
    ],
)
def test_stratified_refuses_bad_input(changed, message):
    scores, labels = draw(0)
    given = dict(scores=scores, labels=labels, per_class=3)
    with pytest.raises(InputError, match=message):
        stratified(key(0), **(given | changed))
