"""CRAIG against brute-force greedy on materialised gradients and the optimum."""

import itertools
import sys

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores.gradients import LastLayer
from ddjax.select.craig import craig
from ddjax.select.facility_location import greedy_cover


def draw(seed, sizes=(9, 6, 12), classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    logits = rng.normal(size=(sum(sizes), classes))
    features = rng.normal(size=(sum(sizes), 4))
    return LastLayer.from_logits(logits, labels, features), labels


def dense(gradients):
    inputs = np.insert(gradients.features, 0, 1, axis=1).astype(np.float64)
    return np.einsum("nd,nc->ndc", inputs, gradients.errors).reshape(len(inputs), -1)


def distance(full, pool, chosen):
    """How far the examples of the pool are from the nearest chosen one, in all."""
    return sum(min(np.linalg.norm(full[i] - full[j]) for j in chosen) for i in pool)


def slow_greedy(full, pool, per_class):
    chosen = []
    for _ in range(per_class):
        left = [j for j in pool if j not in chosen]
        totals = [distance(full, pool, [*chosen, j]) for j in left]
        chosen.append(left[int(np.argmin(np.round(totals, 6)))])
    return chosen


def on_a_line(positions):
    """One feature of 0 and errors along a line: gradients at these positions."""
    errors = np.outer(positions, [1.0, -1.0])
    return LastLayer(errors, np.zeros((len(positions), 1)))


def test_craig_hand_worked():
    # First the median 2, at distance 0 + 1 + 2 + 10 + 11; then 12 saves 10 + 9 and 13
    # as much: the lower id.
    gradients = on_a_line([0.0, 1.0, 2.0, 12.0, 13.0])
    labels = np.zeros(5, int)
    np.testing.assert_array_equal(craig(gradients, labels, 1), [2])
    # After 2 and 12 are left 2 + 1 + 1: 0 and 1 save 2 each.
    np.testing.assert_array_equal(craig(gradients, labels, 2), [2, 3])
    np.testing.assert_array_equal(craig(gradients, labels, 3), [0, 2, 3])


@pytest.mark.parametrize("sizes", [(9, 6, 12), (15,)])
@pytest.mark.parametrize("seed", range(3))
def test_craig_equals_brute_force_greedy(seed, sizes):
    gradients, labels = draw(seed, sizes)
    full = dense(gradients)
    expected = []
    for label in range(len(sizes)):
        expected += slow_greedy(full, np.flatnonzero(labels == label).tolist(), 4)
    found = craig(gradients, labels, 4)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, sorted(expected))


@pytest.mark.parametrize("seed", range(3))
def test_craig_saves_most_of_what_can_be_saved(seed):
    gradients, labels = draw(seed, sizes=(10,))
    full, pool = dense(gradients), range(10)
    for per_class in (1, 2, 3):
        reached = distance(full, pool, craig(gradients, labels, per_class))
        best = min(
            distance(full, pool, chosen)
            for chosen in itertools.combinations(pool, per_class)
        )
        # The guarantee holds for what is saved from the largest distance.
        worst = 10 * max(np.linalg.norm(a - b) for a in full for b in full)
        assert (1 - 1 / np.e) * (worst - best) <= worst - reached <= worst - best + 1e-6


def test_craig_in_blocks_equals_matrix(monkeypatch):
    gradients, labels = draw(3, sizes=(300, 40))
    whole = craig(gradients, labels, 20)
    module = sys.modules[greedy_cover.__module__]
    monkeypatch.setattr(module, "_MATRIX_BYTES", 0)
    np.testing.assert_array_equal(craig(gradients, labels, 20), whole)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_ROWS", 7)
    np.testing.assert_array_equal(craig(gradients, labels, 20), whole)


def test_craig_moves_with_the_examples_and_ignores_their_scale():
    # Few of many: two examples left that are each other's nearest would tie exactly.
    gradients, labels = draw(4, sizes=(30, 25, 40))
    expected = craig(gradients, labels, 3)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = craig(gradients.take(order), labels[order], 3)
    np.testing.assert_array_equal(np.sort(order[moved]), expected)
    scaled = LastLayer(gradients.errors * 1e-6, gradients.features)
    np.testing.assert_array_equal(craig(scaled, labels, 3), expected)


def test_craig_takes_the_lower_id_of_copies():
    # Three groups of copies in general position, the largest first.
    rng = np.random.default_rng(0)
    group = np.array([0, 1, 2, 0, 1, 0, 2, 0])
    gradients = LastLayer(
        rng.normal(size=(3, 5))[group], rng.normal(size=(3, 7))[group]
    )
    labels = np.zeros(8, int)
    np.testing.assert_array_equal(craig(gradients, labels, 1), [0])
    np.testing.assert_array_equal(craig(gradients, labels, 3), [0, 1, 2])
    np.testing.assert_array_equal(craig(gradients, labels, 8), np.arange(8))


def test_craig_of_gradients_that_differ_by_rounding_takes_the_lowest_ids():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rounding = 1 + np.finfo(float).eps * rng.integers(0, 4, (20, 5))
        features = np.tile(rng.normal(size=7), (20, 1))
        gradients = LastLayer(rng.normal(size=5) * rounding, features)
        np.testing.assert_array_equal(craig(gradients, np.zeros(20, int), 3), [0, 1, 2])


def test_craig_refuses_labels_and_budgets_that_do_not_fit():
    gradients, labels = draw(0)
    with pytest.raises(InputError, match="per_class: 7, but class 1 has only 6"):
        craig(gradients, labels, 7)
    with pytest.raises(InputError, match=r"labels: shape \(26,\) .* expected 27"):
        craig(gradients, labels[:-1], 2)
    with pytest.raises(InputError, match=r"labels: classes 0 to 3, .* 0\.\.2"):
        craig(gradients, np.append(labels[:-1], 3), 1)
