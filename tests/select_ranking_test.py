"""Ends and windows of a ranking, and the choice between windows."""

import numpy as np
import pytest

from ddjax import select
from ddjax.errors import InputError


def draw(seed, ties):
    """30 examples of uneven classes 0..2; integer scores have ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [14, 6, 10]))
    scores = rng.integers(0, 4, 30) if ties else rng.normal(size=30)
    return scores.astype(np.float32), labels


def slow_top(scores, labels, per_class, largest):
    chosen = []
    for label in sorted(set(labels.tolist())):
        left = [i for i in range(len(labels)) if labels[i] == label]
        for _ in range(per_class):
            best = left[0]
            for i in left[1:]:
                better = (
                    scores[i] > scores[best] if largest else scores[i] < scores[best]
                )
                best = i if better else best
            left.remove(best)
            chosen.append(best)
    return sorted(chosen)


def test_top_hand_worked():
    labels = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([5, 7, 6, 1, 1, 0])
    np.testing.assert_array_equal(select.top(scores, labels, 2), [1, 2, 3, 4])
    np.testing.assert_array_equal(select.top(scores, labels, 1), [1, 3])
    low = select.top(scores, labels, 2, largest=False)
    np.testing.assert_array_equal(low, [0, 2, 3, 5])
    free = select.top(scores, labels, 1, balanced=False)
    np.testing.assert_array_equal(free, [1, 2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("largest", [False, True])
def test_top_equals_slow_reference(seed, ties, largest):
    scores, labels = draw(seed, ties)
    for per_class in (1, 3, 6):
        expected = slow_top(scores, labels, per_class, largest)
        result = select.top(scores, labels, per_class, largest)
        np.testing.assert_array_equal(result, expected)
        pooled = slow_top(scores, np.zeros(30, int), 3 * per_class, largest)
        result = select.top(scores, labels, per_class, largest, balanced=False)
        np.testing.assert_array_equal(result, pooled)


def test_top_ranks_infinite_scores():
    labels, scores = np.zeros(4, int), [1.0, np.inf, 2.0, np.inf]
    np.testing.assert_array_equal(select.top(scores, labels, 3), [1, 2, 3])
    np.testing.assert_array_equal(
        select.top(scores, labels, 3, largest=False), [0, 1, 2]
    )


def test_top_moves_with_the_examples():
    scores, labels = draw(0, ties=False)
    order = np.random.default_rng(1).permutation(30)
    moved = select.top(scores[order], labels[order], 4)
    np.testing.assert_array_equal(np.sort(order[moved]), select.top(scores, labels, 4))


def test_window_hand_worked():
    # Easy to hard: class 0 is 2, 0, 3, 1, 4; class 1 is 7, 6, 5.
    labels = np.array([0] * 5 + [1] * 3)
    scores = np.array([2, 4, 1, 3, 5, 9, 8, 7])
    for start, expected in {
        0: [0, 2, 6, 7],
        0.25: [0, 3, 6, 7],  # ranks round(.75) = 1 and round(.25) = 0
        0.5: [1, 3, 6, 7],  # ranks round(1.5) = 2 and round(.5) = 0, halves to even
        1: [1, 4, 5, 6],
    }.items():
        result = select.window(scores, labels, 2, start)
        np.testing.assert_array_equal(result, expected, err_msg=str(start))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ties", [False, True])
def test_window_equals_slow_reference(seed, ties):
    scores, labels = draw(seed, ties)
    for start in (0.0, 0.3, 0.71, 1.0):
        chosen = []
        for label in range(3):
            ids = [i for i in range(30) if labels[i] == label]
            ids.sort(key=lambda i: (scores[i], i))
            first = int(np.rint(start * (len(ids) - 4)))
            chosen += ids[first : first + 4]
        result = select.window(scores, labels, 4, start)
        np.testing.assert_array_equal(result, sorted(chosen))


def test_window_at_the_ends_is_top():
    scores, labels = draw(4, ties=False)
    for balanced in (True, False):
        for start, largest in ((0, False), (1, True)):
            np.testing.assert_array_equal(
                select.window(scores, labels, 3, start, balanced),
                select.top(scores, labels, 3, largest, balanced),
            )


def test_window_moves_from_easy_to_hard():
    scores, labels = draw(5, ties=False)
    means = [
        scores[select.window(scores, labels, 3, start, balanced=False)].mean()
        for start in np.linspace(0, 1, 6)
    ]
    assert (np.diff(means) > 0).all()


@pytest.mark.parametrize("start", [-0.1, 1.01, np.nan])
def test_window_refuses_a_start_outside_zero_to_one(start):
    scores, labels = draw(0, ties=False)
    with pytest.raises(InputError, match="start: .*, expected a number from 0 to 1"):
        select.window(scores, labels, 2, start)


@pytest.mark.parametrize(
    "choose", [select.top, lambda s, y, n: select.window(s, y, n, 0)]
)
def test_ranking_refuses_scores_that_are_not_one_number_each(choose):
    scores, labels = draw(0, ties=False)
    with pytest.raises(InputError, match=r"scores: shape \(29,\), expected \(30,\)"):
        choose(scores[:-1], labels, 2)
    with pytest.raises(InputError, match=r"scores: shape \(30, 1\)"):
        choose(scores[:, None], labels, 2)
    scores[[7, 9]] = np.nan
    with pytest.raises(InputError, match="scores: 2 of 30 are NaN, the first at .* 7"):
        choose(scores, labels, 2)


def test_best_window_takes_the_highest_accuracy_and_the_easier_of_equals():
    candidates = {0.5: [3], 0.0: [1], 1.0: [2]}
    assert select.best_window(candidates, {0.0: 0.1, 0.5: 0.3, 1.0: 0.2}) == 0.5
    assert select.best_window(candidates, {1.0: 0.3, 0.5: 0.3, 0.0: 0.1}) == 0.5
    assert select.best_window(candidates, {1.0: 0.3, 0.5: 0.3, 0.0: 0.3}) == 0.0


@pytest.mark.parametrize(
    "candidates, accuracies, message",
    [
        ({}, {}, "there are no candidates"),
        ({0.0: [1], 0.5: [2]}, {0.0: 1.0}, r"start at \[0.0, 0.5\], .* for \[0.0\]"),
        ({0.0: [1]}, {0.0: np.nan}, "accuracy nan at start 0.0"),
    ],
)
def test_best_window_refuses_incomplete_accuracies(candidates, accuracies, message):
    with pytest.raises(InputError, match=message):
        select.best_window(candidates, accuracies)
