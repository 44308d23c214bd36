"""Facility location against brute-force greedy and the brute-force optimum."""

import itertools
import sys

import jax
import numpy as np
import pytest

from ddjax import select
from ddjax.errors import InputError
from ddjax.select.facility_location import greedy_cover


def draw(seed, sizes=(9, 6, 12)):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = rng.normal(size=(sum(sizes), 4)) + rng.normal(size=4)
    return features, labels, rng.uniform(size=sum(sizes))


def similarity(a, b):
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return (1 + (a @ b / norms if norms else 0.0)) / 2


def value(features, weights, pool, chosen):
    return sum(
        weights[i] * max(similarity(features[i], features[j]) for j in chosen)
        for i in pool
    )


def first_of_largest(gains):
    """Gains within 1e-5 of the largest are ties, as the docstring says."""
    return int(np.flatnonzero(np.asarray(gains) >= max(gains) * (1 - 1e-5))[0])


def slow_greedy(features, weights, pool, per_class):
    chosen, reached = [], 0.0
    for _ in range(per_class):
        left = [j for j in pool if j not in chosen]
        gains = [value(features, weights, pool, [*chosen, j]) - reached for j in left]
        chosen.append(left[first_of_largest(gains)])
        reached = value(features, weights, pool, chosen)
    return chosen


def test_facility_location_hand_worked():
    # Three along x, two along y, one along -x. First, x reaches 3 + 2/2 + 0 = 4 and y
    # as much, 3/2 + 2 + 1/2: the lower id. Then y gains 2/2 + 1/2, but -x only 1.
    features = np.array([[1, 0], [2, 0], [5, 0], [0, 1], [0, 3], [-1, 0]])
    labels = np.zeros(6, int)
    for per_class, expected in ((1, [0]), (2, [0, 3]), (3, [0, 3, 5])):
        ids = select.facility_location(features, labels, per_class)
        np.testing.assert_array_equal(ids, expected)
    # With a weight of 9 on -x, x reaches 4, y 8 and -x 10.
    ids = select.facility_location(features, labels, 1, weights=[1, 1, 1, 1, 1, 9])
    np.testing.assert_array_equal(ids, [5])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_facility_location_equals_brute_force_greedy(seed, weighted):
    features, labels, weights = draw(seed)
    expected = []
    for label in range(3):
        pool = np.flatnonzero(labels == label).tolist()
        counted = weights if weighted else np.ones_like(weights)
        expected += slow_greedy(features, counted, pool, 4)
    result = select.facility_location(
        features, labels, 4, weights if weighted else None
    )
    np.testing.assert_array_equal(result, sorted(expected))


def test_facility_location_gives_exact_ties_to_the_lower_id_despite_rounding():
    # Three pairs, each point a mirror image of every other, in general position.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        centre = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        pairs = centre[:3].repeat(2, axis=0) + 0.3 * centre[[3, 4, 3, 4, 3, 4]]
        order = rng.permutation(6)
        ids = select.facility_location(pairs[order], np.zeros(6, int), 1)
        np.testing.assert_array_equal(ids, [0])


@pytest.mark.parametrize("seed", range(4))
def test_facility_location_reaches_most_of_the_optimum(seed):
    features, labels, weights = draw(seed, sizes=(10,))
    pool = range(10)
    for per_class in (1, 2, 3):
        ids = select.facility_location(features, labels, per_class, weights)
        reached = value(features, weights, pool, ids)
        best = max(
            value(features, weights, pool, chosen)
            for chosen in itertools.combinations(pool, per_class)
        )
        assert (1 - 1 / np.e) * best <= reached <= best * (1 + 1e-6)
        if per_class == 1:
            assert reached == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("kept", ["matrix", "blocks"])
def test_facility_location_of_many_blocks_equals_plain_greedy(kept, monkeypatch):
    # One class larger than a block of candidates, and two small ones beside it.
    if kept == "blocks":
        module = sys.modules[select.facility_location.__module__]
        monkeypatch.setattr(module, "_MATRIX_BYTES", 0)
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 20, 130])
    features = rng.normal(size=(450, 6)).astype(np.float32)
    weights = rng.uniform(size=450)
    expected = []
    for label in range(3):
        pool = np.flatnonzero(labels == label)
        unit = features[pool] / np.linalg.norm(features[pool], axis=1, keepdims=True)
        similar = (1 + unit @ unit.T.astype(np.float64)) / 2
        reached = np.zeros(len(pool))
        for _ in range(15):
            gains = weights[pool] @ np.maximum(similar - reached[:, None], 0)
            best = first_of_largest(gains)
            reached = np.maximum(reached, similar[best])
            expected.append(pool[best])
    result = select.facility_location(features, labels, 15, weights)
    np.testing.assert_array_equal(result, np.sort(expected))


def slow_stochastic(similar, weights, draws):
    """The best of the drawn places among those left, all gains computed anew."""
    chosen, left = [], list(range(len(similar)))
    for numbers in draws:
        drawn = sorted({left[number % len(left)] for number in numbers.tolist()})
        gains = []
        for candidate in drawn:
            near = similar[[*chosen, candidate]].max(axis=0)
            old = similar[chosen].max(axis=0) if chosen else 0.0
            gains.append(weights @ (near - old))
        chosen.append(drawn[first_of_largest(gains)])
        left.remove(chosen[-1])
    return chosen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("samples", [1, 5, 400])
def test_greedy_cover_takes_the_best_of_those_drawn(seed, samples):
    # Whole numbers: no rounding, and many ties.
    rng = np.random.default_rng(seed)
    similar = rng.integers(0, 9, (150, 150)).astype(np.float32)
    weights = rng.integers(0, 3, 150)
    draws = rng.integers(0, 2**32, (20, samples), np.uint32)
    found = greedy_cover(lambda rows: similar[rows], weights, 20, draws)
    assert found.tolist() == slow_stochastic(similar, weights, draws)


def test_greedy_cover_takes_any_similarity_and_keeps_the_order_of_choice():
    # 2 covers 5 + 3, then 0 adds 4 and 1 adds 3.
    similar = np.array([[4, 0, 0], [0, 3, 3], [0, 3, 5]], np.float32)
    found = greedy_cover(lambda rows: similar[rows], np.ones(3), 3)
    assert found.tolist() == [2, 0, 1]
    found = greedy_cover(lambda rows: similar[rows], [1, 9, 1], 3)
    assert found.tolist() == [2, 0, 1]
    found = greedy_cover(lambda rows: similar[rows], [9, 1, 0], 2)
    assert found.tolist() == [0, 1]


def test_stochastic_facility_location_reaches_its_bound_on_average():
    features, labels, weights = draw(1, sizes=(11,))
    best = max(
        value(features, weights, range(11), chosen)
        for chosen in itertools.combinations(range(11), 3)
    )
    for epsilon in (0.1, 0.5):
        reached = []
        for seed in range(20):
            ids = select.facility_location(
                features, labels, 3, weights, jax.random.key(seed), epsilon
            )
            reached.append(value(features, weights, range(11), ids))
        assert max(reached) <= best * (1 + 1e-6)
        assert len(set(reached)) > 1
        assert np.mean(reached) >= (1 - 1 / np.e - epsilon) * best


def test_stochastic_facility_location_loses_less_with_a_smaller_epsilon():
    features, labels, weights = draw(2, sizes=(30, 20))
    means = []
    for epsilon in (0.9, 0.1, 1e-30):
        reached = []
        for seed in range(6):
            key = jax.random.key(seed)
            ids = select.facility_location(features, labels, 5, weights, key, epsilon)
            assert np.bincount(labels[ids]).tolist() == [5, 5]
            reached += [
                value(features, weights, pool, pool[np.isin(pool, ids)])
                for pool in (np.flatnonzero(labels == label) for label in (0, 1))
            ]
        means.append(np.mean(reached))
    assert means[0] < means[1] < means[2]
    # Some 400 draws of each class miss next to nobody.
    exact = select.facility_location(features, labels, 5, weights)
    np.testing.assert_array_equal(ids, exact)


def test_stochastic_facility_location_depends_on_the_key_alone():
    features, labels, _ = draw(3)
    first, again, other = (
        select.facility_location(features, labels, 3, key=jax.random.key(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1, np.nan])
def test_facility_location_refuses_bad_epsilon(epsilon):
    features, labels, _ = draw(0)
    with pytest.raises(InputError, match=f"epsilon: {epsilon}, expected .* 0 and 1"):
        select.facility_location(features, labels, 2, epsilon=epsilon)


def test_facility_location_ignores_scales_of_vectors_and_weights():
    features, labels, weights = draw(7)
    plain = select.facility_location(features, labels, 3, weights)
    scales = np.random.default_rng(0).uniform(0.1, 10, (len(labels), 1))
    for factor in (1.0, 1e-200, 1e200):
        result = select.facility_location(
            features * scales * factor, labels, 3, weights * factor
        )
        np.testing.assert_array_equal(result, plain)


def test_facility_location_of_equal_weights_is_the_unweighted_one():
    features, labels, _ = draw(8)
    np.testing.assert_array_equal(
        select.facility_location(features, labels, 3, np.full(len(labels), 0.25)),
        select.facility_location(features, labels, 3),
    )


def test_facility_location_moves_with_the_examples():
    features, labels, weights = draw(9)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = select.facility_location(features[order], labels[order], 4, weights[order])
    np.testing.assert_array_equal(
        np.sort(order[moved]), select.facility_location(features, labels, 4, weights)
    )


def test_facility_location_takes_copies_and_zero_vectors_last():
    features = np.array([[0, 0], [1, 0], [1, 0], [0, 1], [0, 1]])
    labels = np.zeros(5, int)
    ids = select.facility_location(features, labels, 2)
    assert {tuple(features[i]) for i in ids} == {(1, 0), (0, 1)}
    np.testing.assert_array_equal(
        select.facility_location(features, labels, 5), np.arange(5)
    )


def test_facility_location_of_no_weight_takes_the_lowest_ids():
    features, labels, _ = draw(3, sizes=(5,))
    ids = select.facility_location(features, labels, 2, np.zeros(5))
    np.testing.assert_array_equal(ids, [0, 1])


@pytest.mark.parametrize(
    "bad, message",
    [
        (-0.5, r"weights: from -0.5 to .* finite numbers in \[0, inf\)"),
        (np.inf, "weights: from .* to inf"),
        (np.nan, "weights: 1 of 27 are NaN, the first at example 2"),
    ],
)
def test_facility_location_refuses_bad_weights(bad, message):
    features, labels, weights = draw(0)
    weights[2] = bad
    with pytest.raises(InputError, match=message):
        select.facility_location(features, labels, 2, weights)
    with pytest.raises(InputError, match=r"weights: shape \(26,\)"):
        select.facility_location(features, labels, 2, weights[:-1])


def test_facility_location_refuses_bad_features():
    features, labels, _ = draw(0)
    with pytest.raises(InputError, match=r"features: shape \(26, 4\), .* N = 27"):
        select.facility_location(features[:-1], labels, 2)
    features[5, 2] = np.nan
    with pytest.raises(InputError, match="features: 1 of 27 .* example 5"):
        select.facility_location(features, labels, 2)
