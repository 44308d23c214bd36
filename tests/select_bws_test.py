"""BWS against least squares with extra rows, and windows that are known to be bad."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.select.bws import bws, window_accuracies
from ddjax.select.ranking import window

STARTS = (0.0, 0.3, 0.75, 1.0)


def draw(seed, dimension=4, ties=False):
    """60 examples of uneven classes 0..2 with overlapping features."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [28, 12, 20]))
    means = 2 / np.sqrt(dimension) * rng.normal(size=(3, dimension))
    features = rng.normal(size=(60, dimension)) + means[labels]
    scores = rng.integers(0, 5, 60) if ties else rng.normal(size=60)
    return scores.astype(np.float32), features.astype(np.float32), labels


def slow_accuracy(features, labels, ids, regularization):
    """The ridge as rows: each weight is asked to be 0."""
    x = [[1.0, *features[i].tolist()] for i in ids]
    y = [[float(labels[i] == c) for c in range(3)] for i in ids]
    dimension = len(x[0])
    x += (np.sqrt(regularization) * np.eye(dimension)).tolist()
    y += [[0.0] * 3] * dimension
    weights = np.linalg.lstsq(np.array(x), np.array(y), rcond=None)[0]
    right = 0
    for feature, label in zip(features.tolist(), labels, strict=True):
        outputs = [np.dot([1.0, *feature], weights[:, c]) for c in range(3)]
        right += outputs.index(max(outputs)) == label
    return right / len(labels)


def test_bws_hand_worked():
    # The easy two are 1 and -1: x'x = 2 I, so the weights are (1, 1)/3 and (1, -1)/3,
    # and positive is class 0, right for four of five. The hard two are 2 and -1 with
    # the classes swapped: x'x + I = [[3, 1], [1, 6]], determinant 17, and outputs
    # (8 - 4x)/17 for class 0 and (4 + 11x)/17: class 0 below x = 4/15, right for one.
    features = np.array([[1.0], [-1.0], [2.0], [-1.0], [3.0]])
    labels, scores = np.array([0, 1, 1, 0, 0]), np.array([0, 0, 9, 9, 5])
    accuracies = window_accuracies(scores, features, labels, 1, starts=(0, 1))
    assert accuracies == {0: 3 / 5, 1: 2 / 5}
    np.testing.assert_array_equal(bws(scores, features, labels, 1, (1, 0)), [0, 1])
    np.testing.assert_array_equal(bws(scores, features, labels, 1, (1,)), [2, 3])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimension", [2, 14, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_bws_equals_slow_reference(seed, dimension, ties):
    # Windows of 15 against 3, 15 and 41 weights: both forms of the solution.
    scores, features, labels = draw(seed, dimension, ties)
    for regularization in (1.0, 0.01, 100.0):
        expected = {
            start: slow_accuracy(
                features, labels, window(scores, labels, 5, start), regularization
            )
            for start in STARTS
        }
        given = (scores, features, labels, 5, STARTS, regularization)
        assert window_accuracies(*given) == expected
        best = max(STARTS, key=lambda start: (expected[start], -start))
        np.testing.assert_array_equal(bws(*given), window(scores, labels, 5, best))


def test_bws_avoids_windows_of_wrong_labels():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 40)
    features = 4 * np.eye(3)[truth] + 0.1 * rng.normal(size=(120, 3))
    # In each class, the hardest 15 really belong to the next, the easiest 15 are alike.
    hard = np.tile(np.arange(40) >= 25, 3)
    labels = truth.copy()
    labels[hard] = (truth[hard] + 1) % 3
    scores = np.tile(np.arange(40.0), 3)
    accuracies = window_accuracies(scores, features, labels, 10)
    assert list(accuracies) == [step / 20 for step in range(21)]
    assert accuracies[0.0] == 75 / 120 and accuracies[1.0] == 45 / 120
    assert not hard[bws(scores, features, labels, 10)].any()


def test_bws_gives_ties_to_the_easiest():
    scores, _, labels = draw(1)
    features = np.eye(3)[labels]
    assert set(window_accuracies(scores, features, labels, 4).values()) == {1.0}
    expected = window(scores, labels, 4, 0.3)
    for starts in ((0.3, 0.7), (0.7, 0.3)):
        ids = bws(scores, features, labels, 4, starts)
        np.testing.assert_array_equal(ids, expected)
        assert ids.dtype == np.int32


def test_bws_moves_with_the_examples():
    scores, features, labels = draw(2)
    order = np.random.default_rng(1).permutation(60)
    moved = bws(scores[order], features[order], labels[order], 5)
    np.testing.assert_array_equal(
        np.sort(order[moved]), bws(scores, features, labels, 5)
    )


def test_bws_of_rotated_features_is_the_same():
    scores, features, labels = draw(3)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert window_accuracies(scores, features, labels, 5) == window_accuracies(
        scores, features @ rotation, labels, 5
    )


def test_bws_scales_of_features_and_ridge_go_together():
    # Ten times the features and a hundred times the ridge change nothing, but for the
    # constant; next to a large constant in the data, that hardly counts.
    scores, features, labels = draw(4)
    given = dict(scores=scores, labels=labels, per_class=5)
    padded = np.concatenate([features, np.full((60, 1), 1e4)], axis=1)
    assert window_accuracies(
        features=padded, regularization=1e-2, **given
    ) == window_accuracies(features=10 * padded, regularization=1.0, **given)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"starts": ()}, "starts: there are none, expected at least one"),
        ({"starts": (0.5, 1.5)}, "start: 1.5, expected a number from 0 to 1"),
        (
            {"regularization": 0.0},
            "regularization: 0.0, expected a finite number above",
        ),
        ({"regularization": np.inf}, "regularization: inf"),
        ({"regularization": np.nan}, "regularization: nan"),
        ({"per_class": 13}, "per_class: 13, but class 1 has only 12"),
        ({"scores": np.full(60, np.nan)}, "scores: 60 of 60 are NaN"),
        ({"features": np.zeros((59, 4))}, r"features: shape \(59, 4\), .* N = 60"),
        ({"features": np.full((60, 4), np.inf)}, "features: 60 of 60 .* not finite"),
    ],
)
@pytest.mark.parametrize("function", [bws, window_accuracies])
def test_bws_refuses_bad_input(function, changed, message):
    scores, features, labels = draw(0)
    given = dict(scores=scores, features=features, labels=labels, per_class=3)
    with pytest.raises(InputError, match=message):
        function(**(given | changed))
