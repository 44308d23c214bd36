"""GradMatch against pursuit on materialised gradients, and its limits."""

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from ddjax.errors import InputError
from ddjax.scores.gradients import LastLayer
from ddjax.select.gradmatch import gradmatch


def draw(seed, sizes=(9, 6, 12), features=4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    logits = rng.normal(size=(sum(sizes), 3))
    inputs = rng.normal(size=(sum(sizes), features))
    return LastLayer.from_logits(logits, labels, inputs), labels


def dense(gradients):
    inputs = np.insert(gradients.features, 0, 1, axis=1).astype(np.float64)
    return np.einsum("nd,nc->ndc", inputs, gradients.errors).reshape(len(inputs), -1)


def weights_of(full, target, chosen, penalty):
    """Non-negative ridge regression as plain least squares with rows added."""
    size = len(chosen)
    rows = np.vstack([full[chosen].T, np.sqrt(penalty) * np.eye(size)])
    return nnls(rows, np.append(target, np.zeros(size)))[0]


def slow_pursuit(full, target, per_class, penalty):
    chosen, residual = [], target
    for _ in range(per_class):
        left = [j for j in range(len(full)) if j not in chosen]
        fits = [round(float(full[j] @ residual), 9) for j in left]
        chosen.append(left[int(np.argmax(fits))])
        weights = weights_of(full, target, chosen, penalty)
        residual = target - weights @ full[chosen]
    return chosen


def plane(points):
    """Gradients [x, y, -x, -y] in a layer whose features are 0."""
    errors = np.array(points, float)
    return LastLayer(np.concatenate([errors, -errors], 1), np.zeros((len(points), 1)))


def test_gradmatch_hand_worked():
    # The mean is (3, 1). The first, (6, 0), correlates most, 18 (doubled), and takes
    # weight 1/2: the residual is (0, 1), along which (1, 4) goes farthest.
    gradients = plane([[6, 0], [5, 0], [1, 4], [0, 0]])
    labels = np.zeros(4, int)
    for per_class, expected in ((1, [0]), (2, [0, 2])):
        found = gradmatch(gradients, labels, per_class, penalty=0)
        np.testing.assert_array_equal(found, expected)
    # With 10^6 the weight is near 0 and the residual is still (3, 1): (5, 0) is next.
    np.testing.assert_array_equal(gradmatch(gradients, labels, 2, penalty=1e6), [0, 1])


@pytest.mark.parametrize("sizes, per_class", [((9, 6, 12), 6), ((25,), 14)])
@pytest.mark.parametrize("penalty", [0.01, 0.5, 20.0])
@pytest.mark.parametrize("seed", [0, 1, 4])
def test_gradmatch_equals_slow_pursuit(seed, penalty, sizes, per_class):
    gradients, labels = draw(seed, sizes)
    full = dense(gradients)
    expected = []
    for label in range(len(sizes)):
        pool = np.flatnonzero(labels == label)
        picks = slow_pursuit(full[pool], full[pool].mean(axis=0), per_class, penalty)
        expected += pool[picks].tolist()
    found = gradmatch(gradients, labels, per_class, penalty)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, sorted(expected))
    if penalty == 0.5:
        np.testing.assert_array_equal(gradmatch(gradients, labels, per_class), found)


@pytest.mark.parametrize("seed", range(3))
def test_gradmatch_of_one_is_the_most_aligned_and_of_three_good(seed):
    gradients, labels = draw(seed, sizes=(12,))
    full = dense(gradients)
    target = full.mean(axis=0)

    def error(chosen):
        weights = weights_of(full, target, list(chosen), 0.5)
        residual = target - weights @ full[list(chosen)]
        return residual @ residual + 0.5 * weights @ weights

    assert gradmatch(gradients, labels, 1) == [np.argmax(full @ target)]
    errors = [error(chosen) for chosen in itertools.combinations(range(12), 3)]
    found = error(gradmatch(gradients, labels, 3))
    assert min(errors) - 1e-12 <= found < np.quantile(errors, 0.25)


def test_gradmatch_of_a_large_penalty_ranks_by_the_mean_gradient():
    gradients, labels = draw(5, sizes=(20,))
    full = dense(gradients)
    expected = np.sort(np.argsort(-full @ full.mean(axis=0))[:7])
    np.testing.assert_array_equal(gradmatch(gradients, labels, 7, 1e9), expected)
    # The penalty is in units of a squared gradient.
    small = LastLayer(gradients.errors * 1e-3, gradients.features)
    np.testing.assert_array_equal(
        gradmatch(small, labels, 7, 0.5e-6), gradmatch(gradients, labels, 7, 0.5)
    )


def test_gradmatch_moves_with_the_examples():
    gradients, labels = draw(6)
    order = np.random.default_rng(1).permutation(len(labels))
    moved = gradmatch(gradients.take(order), labels[order], 5)
    np.testing.assert_array_equal(
        np.sort(order[moved]), gradmatch(gradients, labels, 5)
    )


def test_gradmatch_spends_the_budget_when_the_residual_is_zero():
    # The mean, (1, 0), is reached with example 2; all others then tie.
    gradients = plane([[0, 1], [0, -1], [4, 0], [0, 2], [0, -2], [2, 0]])
    labels = np.zeros(6, int)
    found = gradmatch(gradients, labels, 4, penalty=0)
    np.testing.assert_array_equal(found, [0, 1, 2, 3])
    zeros = plane(np.zeros((4, 2)))
    for penalty in (0, 0.5):
        np.testing.assert_array_equal(gradmatch(zeros, labels[:4], 2, penalty), [0, 1])


@pytest.mark.parametrize("penalty", [0, 1e-30, 0.5])
def test_gradmatch_of_copies_and_the_whole_class(penalty):
    gradients, labels = draw(7, sizes=(4,), features=2)
    copies = gradients.take(np.tile(np.arange(4), 10))
    labels = np.zeros(40, int)
    found = gradmatch(copies, labels, 1, penalty)
    assert found[0] < 4
    np.testing.assert_array_equal(gradmatch(copies, labels, 40, penalty), np.arange(40))


@pytest.mark.parametrize("penalty", [-0.1, np.inf, np.nan])
def test_gradmatch_refuses_bad_penalties(penalty):
    gradients, labels = draw(0)
    with pytest.raises(InputError, match=f"penalty: {penalty}, expected a finite"):
        gradmatch(gradients, labels, 2, penalty)


def test_gradmatch_refuses_labels_and_budgets_that_do_not_fit():
    gradients, labels = draw(0)
    with pytest.raises(InputError, match="per_class: 7, but class 1 has only 6"):
        gradmatch(gradients, labels, 7)
    with pytest.raises(InputError, match=r"labels: shape \(26,\) .* expected 27"):
        gradmatch(gradients, labels[:-1], 2)
