"""Herding by hand, against the definition, and against the running target."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.select.herding import herding


def draw(seed, sizes=(9, 6, 12), integers=False):
    """Integer features make many exact ties, and exact sums."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = rng.normal(size=(sum(sizes), 3)) + rng.normal(size=3)
    return (np.round(features) if integers else features), labels


def error(features, pool, chosen):
    return np.linalg.norm(features[pool].mean(0) - features[chosen].mean(0))


def lowest(values):
    """The first within 1e-9 of the smallest: ties go to the lower id."""
    return int(np.flatnonzero(np.asarray(values) <= min(values) + 1e-9)[0])


def slow_greedy(features, pool, count):
    chosen = []
    for _ in range(count):
        left = [i for i in pool if i not in chosen]
        found = [error(features, pool, [*chosen, i]) for i in left]
        chosen.append(left[lowest(found)])
    return chosen


def running_target(features, pool, count):
    chosen = []
    for k in range(count):
        target = (k + 1) * features[pool].mean(0) - features[chosen].sum(0)
        left = [i for i in pool if i not in chosen]
        found = [np.linalg.norm(target - features[i]) for i in left]
        chosen.append(left[lowest(found)])
    return chosen


def test_herding_hand_worked():
    # The mean is 4. Nearest is 3; then 3 + x nearest to 8 is 6, and 9 + x to 12 is 1,
    # where the runner-up 0 would make 9.
    features = np.array([[0.0], [1.0], [3.0], [6.0], [10.0]])
    labels = np.zeros(5, int)
    for count, expected in ((1, [2]), (2, [2, 3]), (3, [1, 2, 3]), (5, range(5))):
        ids = herding(features, labels, count)
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("sizes", [(9, 6, 12), (10,)])
def test_herding_equals_definition_and_running_target(seed, integers, sizes):
    features, labels = draw(seed, sizes, integers)
    for reference in (slow_greedy, running_target):
        expected = []
        for label in range(len(sizes)):
            pool = np.flatnonzero(labels == label)
            expected += reference(features, pool, 5)
        np.testing.assert_array_equal(herding(features, labels, 5), sorted(expected))


def test_herding_is_the_product_with_the_target_for_vectors_of_length_1():
    features, _ = draw(5, (40,))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    chosen, target = [], features.mean(0)
    for _ in range(8):
        products = features @ target
        products[chosen] = -np.inf
        chosen.append(int(products.argmax()))
        target = target + features.mean(0) - features[chosen[-1]]
    result = herding(features, np.zeros(40, int), 8)
    np.testing.assert_array_equal(result, sorted(chosen))


def test_herding_follows_the_mean_better_than_chance():
    features, labels = draw(6, (60,))
    found = error(features, np.arange(60), herding(features, labels, 10))
    rng = np.random.default_rng(0)
    drawn = [
        error(features, np.arange(60), rng.choice(60, 10, replace=False))
        for _ in range(200)
    ]
    assert found < min(drawn)


def test_herding_gives_mirror_images_to_the_lower_id_despite_rounding():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
        images = rng.permutation(np.concatenate([axes, -axes])) + 0.1
        assert herding(images, np.zeros(8, int), 1) == [0]


def test_herding_ignores_shift_and_scale():
    features, labels = draw(7)
    plain = herding(features, labels, 4)
    for factor, shift in ((1e-6, 0.0), (1e6, 0.0), (1.0, 1e3)):
        moved = herding(features * factor + shift, labels, 4)
        np.testing.assert_array_equal(moved, plain)


def test_herding_moves_with_the_examples():
    features, labels = draw(8)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = herding(features[order], labels[order], 4)
    np.testing.assert_array_equal(np.sort(order[moved]), herding(features, labels, 4))


def test_herding_of_copies_takes_the_lowest_ids():
    features = np.full((6, 3), 0.1)
    np.testing.assert_array_equal(herding(features, [0, 1, 0, 1, 1, 0], 2), range(4))


def test_weights_are_repeated_examples():
    generator = np.random.default_rng(5)
    features, labels = generator.normal(size=(12, 3)), np.arange(12) % 2
    times = generator.integers(0, 4, 12)
    weighted = herding(features, labels, 3, weights=times)
    # The mean is that of the repeated examples, of which each is chosen once.
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        mean = np.repeat(features[own], times[own], axis=0).mean(0)
        chosen, total = [], np.zeros(3)
        for k in range(3):
            left = [i for i in own if i not in chosen]
            total = features[chosen].sum(0)
            chosen.append(
                min(
                    left,
                    key=lambda i: ((mean - (total + features[i]) / (k + 1)) ** 2).sum(),
                )
            )
        assert sorted(chosen) == [i for i in weighted if labels[i] == label]
    plain = herding(features, labels, 3)
    for same in (np.ones(12), np.full(12, 7.0), np.zeros(12)):
        np.testing.assert_array_equal(herding(features, labels, 3, weights=same), plain)


def test_weights_that_make_no_sense_are_refused():
    features, labels = np.eye(4), np.array([0, 0, 1, 1])
    for weights in ([1, 1, 1], [1, 1, 1, -1], [1, 1, 1, np.nan]):
        with pytest.raises(InputError, match="weights"):
            herding(features, labels, 1, weights=weights)


def test_herding_refuses_bad_input():
    features, labels = draw(0)
    with pytest.raises(InputError, match="per_class: 7, but class 1 has only 6"):
        herding(features, labels, 7)
    with pytest.raises(InputError, match=r"features: shape \(26, 3\), .* N = 27"):
        herding(features[:-1], labels, 2)
    features[5, 2] = np.nan
    with pytest.raises(InputError, match="features: 1 of 27 .* example 5"):
        herding(features, labels, 2)
