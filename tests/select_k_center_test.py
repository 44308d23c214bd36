"""Greedy k-centre against brute-force farthest-point selection."""

import sys

import jax
import numpy as np
import pytest

from ddjax import select
from ddjax.errors import InputError


def draw(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [12, 5, 8]))
    return rng.normal(size=(25, 3)).astype(np.float32), labels


def slow_k_center(features, ids, first, per_class):
    """Each time, the example whose nearest chosen one is farthest; all pairs anew."""
    chosen = [first]
    while len(chosen) < per_class:
        best, best_distance = None, -1.0
        for i in ids:
            if i in chosen:
                continue
            distance = min(sum((features[i] - features[j]) ** 2) for j in chosen)
            if distance > best_distance:
                best, best_distance = i, distance
        chosen.append(best)
    return chosen


def test_k_center_hand_worked():
    # On a line: from 0 the farthest is 10; then 4 is 4 away, 7 only 3; then 7.
    features = np.array([[0.0], [10.0], [4.0], [7.0], [1.0]])
    labels = np.zeros(5, int)
    seen = set()
    for seed in range(30):
        first = select.k_center(jax.random.key(seed), features, labels, 1)[0]
        seen.add(int(first))
        if first == 0:
            for count, expected in ((2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])):
                ids = select.k_center(jax.random.key(seed), features, labels, count)
                np.testing.assert_array_equal(ids, expected)
    assert seen == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("seed", range(4))
def test_k_center_equals_brute_force(seed):
    features, labels = draw(seed)
    firsts = select.k_center(jax.random.key(seed), features, labels, 1)
    expected = []
    for first in firsts.tolist():
        ids = np.flatnonzero(labels == labels[first]).tolist()
        expected += slow_k_center(features.astype(np.float64), ids, first, 4)
    result = select.k_center(jax.random.key(seed), features, labels, 4)
    np.testing.assert_array_equal(result, sorted(expected))


def test_k_center_gives_ties_to_the_lower_id_and_copies_last():
    # The corners of a square, twice: every corner comes before any copy.
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 2)
    for seed in range(5):
        key = jax.random.key(seed)
        result = select.k_center(key, corners, np.zeros(8, int), 4)
        assert {tuple(corners[i]) for i in result} == {(0, 0), (0, 1), (1, 0), (1, 1)}
        first = select.k_center(jax.random.key(seed), corners, np.zeros(8, int), 1)[0]
        expected = slow_k_center(corners, range(8), first, 8)[:4]
        np.testing.assert_array_equal(result, sorted(expected))


def test_k_center_ignores_moves_and_scale_of_the_features():
    features, labels = draw(5)
    plain = select.k_center(jax.random.key(0), features, labels, 3)
    moved = select.k_center(jax.random.key(0), 4 * features + 8, labels, 3)
    np.testing.assert_array_equal(plain, moved)


@pytest.mark.parametrize("dtype, far", [(np.float32, 4096), (np.float64, 2**30)])
def test_k_center_keeps_distances_of_features_far_from_zero(dtype, far):
    # |x|^2 - 2xy + |y|^2 in that precision would lose them.
    features, labels = draw(6)
    features = (np.round(features * 64) / 64).astype(dtype)
    plain = select.k_center(jax.random.key(0), features, labels, 4)
    moved = select.k_center(jax.random.key(0), features + dtype(far), labels, 4)
    np.testing.assert_array_equal(plain, moved)


def plain_k_center(features, first, per_class):
    """Every distance anew after each choice, from differences."""
    features = features.astype(np.float64)
    chosen, nearest = [first], np.full(len(features), np.inf)
    while len(chosen) < per_class:
        distances = np.sum((features - features[chosen[-1]]) ** 2, axis=1)
        nearest = np.minimum(nearest, distances)
        nearest[chosen] = -1
        # Rounding is no difference: of those within it, the lowest.
        close = nearest >= nearest.max() * (1 - 1e-9)
        chosen.append(int(np.flatnonzero(close)[0]))
    return chosen


@pytest.mark.parametrize("blocks", [(64, 4096), (3, 20)])
@pytest.mark.parametrize("kind", ["random", "clusters", "grid", "sphere", "outlier"])
def test_k_center_of_many_blocks_equals_plain_greedy(kind, blocks, monkeypatch):
    # "grid" and "sphere" are full of ties, "grid" of copies as well.
    module = sys.modules[select.k_center.__module__]
    monkeypatch.setattr(module, "_BLOCKS", blocks)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 5))
    if kind == "clusters":
        features = features * 0.01 + rng.normal(size=(7, 5))[rng.integers(0, 7, 500)]
    elif kind == "grid":
        features = rng.integers(0, 3, (500, 5)).astype(float)
    elif kind == "sphere":
        features = np.eye(500)[rng.permutation(500)]
    elif kind == "outlier":
        features[17] = 1e6
    labels = np.zeros(500, int)
    first = select.k_center(jax.random.key(1), features, labels, 1)[0]
    for per_class in (2, 40, 300):
        result = select.k_center(jax.random.key(1), features, labels, per_class)
        expected = plain_k_center(features, first, per_class)
        np.testing.assert_array_equal(result, np.sort(expected))


def test_k_center_moves_with_the_examples():
    rng = np.random.default_rng(2)
    features, order = rng.normal(size=(40, 3)), rng.permutation(40)
    labels = np.zeros(40, int)
    first = select.k_center(jax.random.key(0), features, labels, 1)[0]
    # It is drawn by its place: keep it there.
    order = np.insert(order[order != first], first, first)
    moved = select.k_center(jax.random.key(0), features[order], labels, 6)
    np.testing.assert_array_equal(
        np.sort(order[moved]), select.k_center(jax.random.key(0), features, labels, 6)
    )


def test_k_center_takes_features_of_any_size():
    features, labels = draw(4)
    features = features.astype(np.float64)
    plain = select.k_center(jax.random.key(0), features, labels, 4)
    for factor in (1e-200, 3.0, 1e200):
        ids = select.k_center(jax.random.key(0), features * factor, labels, 4)
        np.testing.assert_array_equal(ids, plain)
    for constant in (0.0, 7.5):
        ids = select.k_center(jax.random.key(0), np.full((6, 2), constant), [0] * 6, 6)
        np.testing.assert_array_equal(ids, np.arange(6))


def test_k_center_refuses_bad_features():
    features, labels = draw(0)
    with pytest.raises(InputError, match=r"features: shape \(24, 3\), .* N = 25"):
        select.k_center(jax.random.key(0), features[:-1], labels, 2)
    with pytest.raises(InputError, match=r"features: shape \(25,\)"):
        select.k_center(jax.random.key(0), features[:, 0], labels, 2)
    features[3, 1], features[8] = np.nan, np.inf
    with pytest.raises(InputError, match="features: 2 of 25 .*the first at example 3"):
        select.k_center(jax.random.key(0), features, labels, 2)
