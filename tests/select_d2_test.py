"""D2 pruning by hand, against a dense reference, and refused input."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.select import METHODS
from ddjax.select.d2 import D2Options, d2


def draw(seed, sizes=(14, 9, 20), integers=False):
    """Integer features and scores make ties of neighbours, distances and scores."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = rng.normal(size=(sum(sizes), 2))
    scores = rng.uniform(size=sum(sizes))
    if integers:
        features, scores = np.round(features), np.round(4 * scores)
    return scores, features, labels


def dense(scores, features, count, neighbors, gamma):
    """Matrices instead of edges, a scan instead of a heap."""
    size = len(scores)
    apart = np.linalg.norm(features[:, None] - features, axis=2)
    linked = np.zeros((size, size), bool)
    ranked = np.round(apart, 6)  # equal but for rounding is a tie
    np.fill_diagonal(ranked, np.inf)
    for i, near in enumerate(np.argsort(ranked, kind="stable")[:, :neighbors]):
        linked[i, near] = linked[near, i] = True
    values = scores + np.where(linked, np.exp(-apart), 0) @ scores
    chosen = []
    while len(chosen) < count:
        left = [i for i in range(size) if i not in chosen]
        best = left[int(np.argmax(np.round(values[left], 6)))]
        chosen.append(best)
        for j in range(size):
            if linked[best, j]:
                values[j] -= np.exp(-gamma * apart[best, j]) * max(values[best], 0)
    return chosen


def reference(scores, features, labels, per_class, neighbors, gamma, drop_hardest):
    scores = scores - min(scores.min(), 0)
    chosen = []
    for label in range(labels.max() + 1):
        pool = [i for i in range(len(labels)) if labels[i] == label]
        dropped = int(drop_hardest * len(pool))
        hardest = sorted(pool, key=lambda i: (-scores[i], -i))[:dropped]
        pool = [i for i in pool if i not in hardest]
        found = dense(scores[pool], features[pool], per_class, neighbors, gamma)
        chosen += [pool[i] for i in found]
    return sorted(chosen)


def test_d2_hand_worked():
    # On a line at 0, 1, 3 and 10, one neighbour each: edges 0-1, 1-2 and 2-3. Forward,
    # with f = exp(-1) = .368, exp(-2) = .135, exp(-7) = .001:
    #   1 + 2 f = 1.736;  2 + f + 1.2 * .135 = 2.530;  1.2 + .271 + .001 = 1.472;  1.001
    # Example 1 first. At gamma 0 it takes 2.530 from 0 and 2: then 3, and of -.795 and
    # -1.06 - 1.001 example 0. At gamma 1 it takes .931 and .342: example 2 with 1.129
    # is next, which leaves .805 to 0 and 1.000 to 3.
    scores, features = np.array([1.0, 2.0, 1.2, 1.0]), np.array([[0], [1], [3], [10]])
    labels = np.zeros(4, int)
    for gamma, order in ((0.0, [1, 3, 0, 2]), (1.0, [1, 2, 3, 0])):
        for count in range(1, 5):
            ids = d2(scores, features, labels, count, neighbors=1, gamma=gamma)
            assert ids.dtype == np.int32
            np.testing.assert_array_equal(ids, sorted(order[:count]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("sizes", [(14, 9, 20), (16,)])
@pytest.mark.parametrize(
    "neighbors, gamma, drop_hardest",
    [(1, 0.1, 0.0), (5, 0.1, 0.0), (3, 1.0, 0.3), (4, 0.0, 0.4)],
)
def test_d2_equals_dense_reference(
    seed, integers, sizes, neighbors, gamma, drop_hardest
):
    given = draw(seed, sizes, integers)
    for per_class in (2, 5):
        settings = per_class, neighbors, gamma, drop_hardest
        np.testing.assert_array_equal(
            d2(*given, *settings), reference(*given, *settings)
        )


def test_d2_of_many_blocks_equals_dense_reference():
    given = draw(0, (300, 40))
    found = d2(*given, 20)  # and the defaults
    np.testing.assert_array_equal(found, reference(*given, 20, 5, 0.1, 0.0))


def test_d2_far_apart_is_the_hardest_examples():
    scores, features, labels = draw(1, (15,))
    ids = d2(scores, 1e4 * features, labels, 5)
    np.testing.assert_array_equal(ids, np.sort(np.argsort(-scores)[:5]))


def test_d2_chooses_in_every_cluster():
    # Four tight clusters; the hardest examples are all in one of them.
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(4), 10)
    features = 20 * np.eye(4)[cluster] + 0.01 * rng.normal(size=(40, 4))
    scores = np.where(cluster == 2, 1.0, 0.5) + 0.01 * rng.uniform(size=40)
    ids = d2(scores, features, np.zeros(40, int), 4, neighbors=9)
    np.testing.assert_array_equal(np.sort(cluster[ids]), range(4))


def test_d2_scales_with_scores_and_shifts_negative_ones():
    scores, features, labels = draw(3)
    plain = d2(scores - scores.min(), features, labels, 4)
    for factor in (1e-3, 1.0, 1e3):
        ids = d2(factor * (scores - 5), features, labels, 4)
        np.testing.assert_array_equal(ids, plain)


def test_d2_moves_with_the_examples():
    scores, features, labels = draw(4)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = d2(scores[order], features[order], labels[order], 4, drop_hardest=0.3)
    np.testing.assert_array_equal(
        np.sort(order[moved]), d2(scores, features, labels, 4, drop_hardest=0.3)
    )


def test_d2_of_copies_takes_the_lowest_ids_despite_rounding():
    # All have the lowest ids as neighbours, so these have most edges.
    for seed in range(10):
        features = np.tile(np.random.default_rng(seed).normal(size=50), (40, 1))
        ids = d2(np.ones(40), features, np.arange(40) % 2, 3, neighbors=2)
        np.testing.assert_array_equal(ids, range(6))


def test_d2_drops_the_hardest_of_every_class():
    scores, features, labels = draw(5, (10, 10))
    scores = scores + labels  # class 1 is harder as a whole
    ids = d2(scores, features, labels, 7, neighbors=3, drop_hardest=0.3)
    for label in range(2):
        pool = np.flatnonzero(labels == label)
        easiest = pool[np.argsort(scores[pool])[:7]]
        np.testing.assert_array_equal(ids[labels[ids] == label], np.sort(easiest))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"neighbors": 0}, "neighbors: 0, expected an integer of at least 1"),
        ({"neighbors": 2.0}, "neighbors: 2.0, expected an integer"),
        ({"neighbors": 9}, "neighbors: 9, .* than the 9 examples that class 1 keeps"),
        (
            {"neighbors": 5, "drop_hardest": 0.5},
            "neighbors: 5, .* than the 5 examples that class 1 keeps",
        ),
        ({"gamma": -0.1}, "gamma: -0.1, expected a finite number of at least 0"),
        ({"gamma": np.nan}, "gamma: nan"),
        ({"drop_hardest": 1}, "drop_hardest: 1, expected a number from 0 to below 1"),
        ({"drop_hardest": -0.1}, "drop_hardest: -0.1"),
        ({"drop_hardest": np.nan}, "drop_hardest: nan"),
        (
            {"drop_hardest": 0.9},
            "drop_hardest: 0.9 leaves class 0 2 of its 14 examples, .* per_class is 3",
        ),
    ],
)
def test_d2_refuses_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        d2(*draw(0), 3, **settings)


def test_d2_refuses_bad_data():
    scores, features, labels = draw(0)
    with pytest.raises(InputError, match="per_class: 10, but class 1 has only 9"):
        d2(scores, features, labels, 10)
    with pytest.raises(InputError, match=r"features: shape \(42, 2\), .* N = 43"):
        d2(scores, features[:-1], labels, 2)
    with pytest.raises(InputError, match=r"scores: shape \(42,\), expected \(43,\)"):
        d2(scores[:-1], features, labels, 2)
    scores[3] = np.inf
    with pytest.raises(InputError, match="scores: from .* to inf, expected finite"):
        d2(scores, features, labels, 2)


def test_options_that_do_not_fit_the_smallest_class_are_refused_before_any_compute():
    check = METHODS["d2"].check
    check(D2Options(neighbors=27), (2, 28), 40)  # 28 of 40 are kept
    with pytest.raises(InputError, match="d2.neighbors: found 28, .* less than the 28"):
        check(D2Options(neighbors=28), (2,), 40)
    with pytest.raises(InputError, match="d2.drop_hardest: found 0.3, .* leaves 28"):
        check(D2Options(), (2, 29), 40)
