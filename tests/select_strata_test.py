"""CCS and stratified selection: against slow references, uniform, refused input."""

import fractions
import itertools
import math

import numpy as np
import pytest
from jax.random import key

from ddjax.errors import InputError
from ddjax.select.strata import ccs, stratified

SIZES = (14, 6, 10)


def draw(seed, ties=False):
    """30 examples of uneven classes 0..2; integer scores have ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], SIZES))
    scores = rng.integers(0, 5, 30) if ties else rng.normal(size=30)
    return scores.astype(np.float32), labels


def slow_strata(scores, ids, count, drop, bins):
    """Lists of ids, easiest stratum first, after the hardest are dropped."""
    ids = sorted(ids, key=lambda i: (scores[i], i))
    ids = ids[: max(count, len(ids) - math.floor(drop * len(ids)))]
    exact = {i: fractions.Fraction(float(scores[i])) for i in ids}
    low, width = exact[ids[0]], exact[ids[-1]] - exact[ids[0]]
    strata = [[] for _ in range(bins)]
    for i in ids:
        place = (exact[i] - low) * bins / width if width else 0
        strata[min(int(place), bins - 1)].append(i)
    return strata


def slow_budgets(sizes, count):
    """One at a time to the stratum with the fewest so far, the harder ones first."""
    given = [0] * len(sizes)
    # The published order: the larger a stratum, the sooner it gets a remainder.
    order = sorted(range(len(sizes)), key=lambda k: (sizes[k], k), reverse=True)
    for _ in range(count):
        open_ = [k for k in order if given[k] < sizes[k]]
        given[min(open_, key=given.__getitem__)] += 1
    return given


def test_ccs_hand_worked():
    # Of 12, the three hardest go. [0, 5) has six, [5, 10] three: they give 6 // 2 = 3,
    # all of them, and the six zeros the other three.
    scores = np.array([99, 0, 0, 10, 0, 5, 0, 97, 0, 10, 98, 0])
    seen = set()
    for seed in range(5):
        ids = ccs(key(seed), scores, np.zeros(12, int), 6, 0.25, bins=2)
        assert ids.dtype == np.int32 and (np.diff(ids) > 0).all()
        assert {3, 5, 9} < set(ids) < {1, 2, 3, 4, 5, 6, 8, 9, 11}
        seen.add(tuple(ids))
    assert len(seen) > 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_ccs_takes_as_many_of_each_stratum_as_a_slow_reference(seed, ties, balanced):
    scores, labels = draw(seed, ties)
    pools = [range(30)]
    if balanced:
        pools = [np.flatnonzero(labels == label) for label in range(3)]
    cases = itertools.product((1, 3, 5), (0, 0.3, 0.95), (1, 4, 50))
    for per_class, drop, bins in cases:
        result = ccs(key(0), scores, labels, per_class, drop, bins, balanced)
        count = per_class if balanced else 3 * per_class
        assert len(set(result.tolist())) == 3 * per_class
        for pool in pools:
            strata = slow_strata(scores, pool, count, drop, bins)
            found = [len(set(result) & set(stratum)) for stratum in strata]
            assert found == slow_budgets([len(s) for s in strata], count)


def test_ccs_budgets_are_the_fairest_there_are():
    # Of all ways to spend the budget, the one whose smallest share is largest, then
    # its second smallest, and so on.
    scores, labels = np.repeat([0.0, 1.0, 2.0, 3.0], [1, 4, 7, 18]), np.zeros(30, int)
    sizes = (1, 4, 7, 18)
    for count in range(1, 31):
        ids = ccs(key(0), scores, labels, count, 0, bins=4)
        found = np.bincount(scores[ids].astype(int), minlength=4)
        ways = itertools.product(*(range(size + 1) for size in sizes))
        assert sorted(found) == max(sorted(w) for w in ways if sum(w) == count)


def test_ccs_draws_uniformly_and_independently_inside_a_stratum():
    # Every class is a draw. The last of its six is dropped; the others make strata of
    # three and two, which give one each.
    classes = 1000
    labels = np.repeat(np.arange(classes), 6)
    scores = np.tile([0, 0.1, 0.2, 0.9, 1, 7], classes)
    taken = np.zeros((classes, 6), bool)
    ids = ccs(key(0), scores, labels, 2, 0.2, bins=2)
    taken.flat[ids] = True
    chance = np.array([1 / 3] * 3 + [1 / 2] * 2)
    spread = 5 * np.sqrt(chance * (1 - chance) / classes)
    assert (np.abs(taken[:, :5].mean(0) - chance) < spread).all()
    assert not taken[:, 5].any()
    both = (taken[:, 0] & taken[:, 3]).mean()
    assert abs(both - 1 / 6) < 5 * np.sqrt(5 / 36 / classes)
    np.testing.assert_array_equal(ids, ccs(key(0), scores, labels, 2, 0.2, bins=2))
    other = ccs(key(1), scores, labels, 2, 0.2, bins=2)
    assert (ids != other).any()


def test_ccs_keeps_the_easiest_of_a_class_that_would_be_pruned_too_far():
    scores, labels = draw(4)
    result = ccs(key(0), scores, labels, 5, 0.95)
    expected = [np.flatnonzero(labels == label) for label in range(3)]
    expected = [ids[np.argsort(scores[ids])[:5]] for ids in expected]
    np.testing.assert_array_equal(result, np.sort(np.concatenate(expected)))


def test_ccs_is_invariant_to_shift_and_scale_of_the_scores():
    scores, labels = draw(5, ties=True)
    scores = scores.astype(np.float64)
    plain = ccs(key(0), scores, labels, 4, 0.2, bins=4)
    for changed in (scores * 8 - 100, scores * 1e-200, scores * 1e200):
        result = ccs(key(0), changed, labels, 4, 0.2, bins=4)
        np.testing.assert_array_equal(result, plain)


def test_ccs_puts_infinite_scores_into_the_outer_strata():
    scores = np.zeros(30)
    scores[:11] = [0, 0, 1, 1, 2, 2, 3, 3, np.inf, np.inf, -np.inf]
    labels = np.zeros(30, int)
    for seed in range(5):
        ids = set(ccs(key(seed), scores, labels, 10, 0, bins=4).tolist())
        # 2, 2 and 2 + 2 in the strata of 1, 2 and 3 are smaller than the one of 0.
        assert {2, 3, 4, 5} < ids and len(ids & {6, 7, 8, 9}) == 3
    # All finite scores equal: two strata, not one.
    scores = np.where(np.arange(30) < 3, np.inf, 2.0)
    ids = ccs(key(0), scores, labels, 6, 0, bins=50)
    assert {0, 1, 2} < set(ids.tolist())
    for infinite in (np.inf, -np.inf):
        assert len(ccs(key(0), np.full(30, infinite), labels, 6, 0)) == 6


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300])
def test_ccs_of_equal_scores_is_a_random_sample(value):
    scores, labels = np.full(30, value), draw(0)[1]
    ids = ccs(key(0), scores, labels, 4, 0)
    assert np.bincount(labels[ids]).tolist() == [4, 4, 4]
    assert (ids != ccs(key(9), scores, labels, 4, 0)).any()


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"drop_hardest": 1.0}, "drop_hardest: 1.0, expected .* at least 0, below 1"),
        ({"drop_hardest": -0.1}, "drop_hardest: -0.1"),
        ({"drop_hardest": np.nan}, "drop_hardest: nan"),
        ({"bins": 0}, "bins: 0, expected an integer of at least 1"),
        ({"bins": 2.5}, "bins: 2.5"),
        ({"per_class": 7}, "per_class: 7, but class 1 has only 6"),
        ({"scores": np.zeros(29)}, r"scores: shape \(29,\), expected \(30,\)"),
        ({"scores": np.full(30, np.nan)}, "scores: 30 of 30 are NaN"),
        ({"per_class": 11, "balanced": False}, "makes 33, .* only 30"),
    ],
)
def test_ccs_refuses_bad_input(changed, message):
    scores, labels = draw(0)
    given = dict(scores=scores, labels=labels, per_class=3, drop_hardest=0.3)
    with pytest.raises(InputError, match=message):
        ccs(key(0), **(given | changed))


def draw_uneven(seed, ties=False):
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
    scores, labels = draw_uneven(seed, ties)
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
    # Every class is a draw_uneven: five of 3 + 3 + 2 in three parts.
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
    scores, labels = draw_uneven(1)
    np.testing.assert_array_equal(
        stratified(key(0), scores, labels, 3, strata=1),
        stratified(key(0), -scores, labels, 3, strata=1),
    )


def test_stratified_looks_at_ranks_only():
    scores, labels = draw_uneven(2)
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
    scores, labels = draw_uneven(0)
    given = dict(scores=scores, labels=labels, per_class=3)
    with pytest.raises(InputError, match=message):
        stratified(key(0), **(given | changed))
