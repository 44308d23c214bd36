"""Graph cut against brute-force greedy and the brute-force optimum."""

import itertools

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.select.graph_cut import graph_cut


def draw(seed, sizes=(9, 6, 12), integers=False):
    """Integer features make copies, zero vectors and ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = rng.normal(size=(sum(sizes), 3)) + 0.5 * rng.normal(size=3)
    return (np.round(features) if integers else features), labels


def value(features, pool, chosen, penalty):
    norms = np.linalg.norm(features, axis=1)
    products = np.outer(norms, norms)
    cosines = np.divide(
        features @ features.T,
        products,
        out=np.zeros(products.shape),
        where=products > 0,
    )
    similar = (1 + cosines) / 2
    covered = similar[np.ix_(pool, chosen)].sum()
    return covered - penalty * similar[np.ix_(chosen, chosen)].sum()


def slow_greedy(features, pool, count, penalty):
    chosen = []
    for _ in range(count):
        left = [i for i in pool if i not in chosen]
        found = [value(features, pool, [*chosen, i], penalty) for i in left]
        chosen.append(left[np.flatnonzero(np.array(found) >= max(found) - 1e-9)[0]])
    return chosen


def test_graph_cut_hand_worked():
    # Three along x, two along y, one along -x: sums of similarities 4, 4 and 2. First a
    # tie of x and y. At a penalty of 0.5, a second x then gains 4 - 1 - 1/2, the first
    # y 4 - 1/2 - 1/2 and -x 2 - 0 - 1/2. At none, sums alone count.
    features = np.array([[1, 0], [2, 0], [5, 0], [0, 1], [0, 3], [-1, 0]])
    labels = np.zeros(6, int)
    for count, expected in ((1, [0]), (2, [0, 3])):
        np.testing.assert_array_equal(graph_cut(features, labels, count), expected)
    np.testing.assert_array_equal(graph_cut(features, labels, 5, 0.0), range(5))
    # At 2, y gains 4 - 2 - 2 after the first x, but -x 2 - 0 - 2: a tie. At 3, -x.
    np.testing.assert_array_equal(graph_cut(features, labels, 2, 2.0), [0, 3])
    np.testing.assert_array_equal(graph_cut(features, labels, 2, 3.0), [0, 5])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 20.0])
def test_graph_cut_equals_brute_force_greedy(seed, integers, penalty):
    for sizes in ((9, 6, 12), (10,)):
        features, labels = draw(seed, sizes, integers)
        expected = []
        for label in range(len(sizes)):
            pool = np.flatnonzero(labels == label)
            expected += slow_greedy(features, pool, 5, penalty)
        result = graph_cut(features, labels, 5, penalty)
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, sorted(expected))


@pytest.mark.parametrize("seed", range(4))
def test_graph_cut_reaches_most_of_the_optimum(seed):
    features, labels = draw(seed, (9,))
    pool, last = range(9), 0.0
    for count in (1, 2, 3):
        reached = value(features, pool, graph_cut(features, labels, count), 0.5)
        best = max(
            value(features, pool, chosen, 0.5)
            for chosen in itertools.combinations(pool, count)
        )
        assert (1 - 1 / np.e) * best <= reached <= best + 1e-9
        assert reached >= last
        last = reached
        if count == 1:
            assert reached == pytest.approx(best)


def test_graph_cut_default_is_the_largest_monotone_penalty():
    features, labels = draw(0, (40,))
    half = slow_greedy(features, range(40), 20, 0.5)
    np.testing.assert_array_equal(graph_cut(features, labels, 20), sorted(half))
    # All of a class, the last gain is half its similarity to itself: not negative.
    values = [value(features, range(40), half[:k], 0.5) for k in range(21)]
    assert (np.diff(values) > 0).all()


def test_graph_cut_with_more_penalty_is_more_diverse():
    features, labels = draw(5, (60,))
    within = [
        value(features, [], graph_cut(features, labels, 8, penalty), -1.0)
        for penalty in (0.0, 2.0, 50.0)
    ]
    assert within[0] > within[1] > within[2]


def test_graph_cut_gives_exact_ties_to_the_lower_id_despite_rounding():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        images = rng.permutation(np.concatenate([axes, -axes])) * 7.3
        assert graph_cut(images, np.zeros(12, int), 1) == [0]


def test_graph_cut_ignores_lengths():
    features, labels = draw(7)
    lengths = np.random.default_rng(0).uniform(0.1, 10, (len(labels), 1))
    for factor in (1.0, 1e-200, 1e200):
        np.testing.assert_array_equal(
            graph_cut(features * lengths * factor, labels, 3),
            graph_cut(features, labels, 3),
        )


def test_graph_cut_moves_with_the_examples():
    features, labels = draw(9)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = graph_cut(features[order], labels[order], 4)
    np.testing.assert_array_equal(np.sort(order[moved]), graph_cut(features, labels, 4))


@pytest.mark.parametrize("penalty", [-0.1, np.nan, np.inf])
def test_graph_cut_refuses_bad_penalty(penalty):
    features, labels = draw(0)
    with pytest.raises(InputError, match=f"penalty: {penalty}, .* at least 0"):
        graph_cut(features, labels, 2, penalty)


def test_graph_cut_refuses_bad_input():
    features, labels = draw(0)
    with pytest.raises(InputError, match="per_class: 7, but class 1 has only 6"):
        graph_cut(features, labels, 7)
    with pytest.raises(InputError, match=r"features: shape \(26, 3\), .* N = 27"):
        graph_cut(features[:-1], labels, 2)
    features[5, 2] = np.inf
    with pytest.raises(InputError, match="features: 1 of 27 .* example 5"):
        graph_cut(features, labels, 2)
