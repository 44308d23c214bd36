"""Surrogates of a subset against hand-worked values and plain loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import surrogates
from ddjax.scores.surrogates import (
    coverage,
    feature_distance,
    gradient_distance,
    mean_score,
)


def draw(seed, sizes=(7, 4, 9), chosen=(3, 1, 4)):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = rng.integers(-3, 4, (sum(sizes), 5)).astype(np.float32)  # with ties
    errors = rng.normal(size=(sum(sizes), 3)).astype(np.float32)
    ids = [
        rng.choice(np.flatnonzero(labels == label), count, replace=False)
        for label, count in enumerate(chosen)
    ]
    return features, errors, labels, rng.permutation(np.concatenate(ids))


def values_of(features, errors, labels, ids):
    gradients = SimpleNamespace(errors=errors, features=features)
    return [
        feature_distance(features, labels, ids),
        gradient_distance(gradients, labels, ids),
        coverage(features, labels, ids),
    ]


def slow_values(features, errors, labels, ids):
    """Example by example, in Python floats."""
    feature = gradient = cover = 0.0
    features, errors = features.astype(float), errors.astype(float)
    for label in sorted(set(labels.tolist())):
        whole = [i for i in range(len(labels)) if labels[i] == label]
        part = [i for i in ids if labels[i] == label]
        means = [sum(features[i] for i in rows) / len(rows) for rows in (whole, part)]
        feature += np.linalg.norm(means[0] - means[1]) ** 2
        a, b = (
            sum(np.outer(errors[i], features[i]) for i in rows) / len(rows)
            for rows in (whole, part)
        )
        for x, y in zip(a, b, strict=True):
            gradient += 1 - x @ y / np.sqrt((x @ x) * (y @ y))
        for i in whole:
            cover += min(np.linalg.norm(features[i] - features[j]) for j in part)
    return [feature, gradient, cover / len(labels)]


def test_values_hand_worked():
    labels = np.array([0, 1, 0, 1])
    features = np.array([[0, 0], [1, 0], [4, 0], [1, 6]])
    ids = [2, 1]
    # Class means (2, 0) and (1, 3); chosen (4, 0) and (1, 0).
    assert feature_distance(features, labels, ids) == pytest.approx(4 + 9)
    # Distances to the nearest chosen: 4, 0, 0, 6.
    assert coverage(features, labels, ids) == pytest.approx(10 / 4)
    # Class 0: rows of the mean gradient (4, 0)/2 and zero, of the chosen (4, 0) and
    # zero: agreement. Class 1: (3, 6)/2 against (2, 0) and -(3, 6)/2 against -(2, 0).
    errors = np.array([[1, 0], [2, -2], [1, 0], [1, -1]])
    gradients = SimpleNamespace(errors=errors, features=features)
    expected = 2 * (1 - 3 / np.sqrt(45))
    assert gradient_distance(gradients, labels, ids) == pytest.approx(expected)
    assert mean_score([0.5, -1.0, 2.0, np.pi], [2, 0]) == 1.25


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "sizes, chosen",
    [((7, 4, 9), (3, 1, 4)), ((12,), (5,)), ((1, 30), (1, 2))],
)
def test_values_equal_plain_loops(seed, sizes, chosen):
    case = draw(seed, sizes, chosen)
    np.testing.assert_allclose(values_of(*case), slow_values(*case), rtol=1e-6)


def test_coverage_does_not_depend_on_blocks(monkeypatch):
    features, _, labels, ids = draw(1)
    whole = coverage(features, labels, ids)
    monkeypatch.setattr(surrogates, "_BLOCK", 5)
    assert coverage(features, labels, ids) == pytest.approx(whole, rel=1e-12)


def test_the_full_set_is_at_no_distance():
    features, errors, labels, _ = draw(2)
    errors[:, 1] = 0.0  # an output that is never wrong has no gradient
    everything = np.arange(len(labels))
    values = values_of(features, errors, labels, everything)
    np.testing.assert_allclose(values, 0.0, atol=1e-12)


def test_values_do_not_depend_on_the_order():
    features, errors, labels, ids = draw(3)
    expected = values_of(features, errors, labels, ids)
    assert values_of(features, errors, labels, ids[::-1]) == expected
    order = np.random.default_rng(0).permutation(len(labels))
    moved = values_of(
        features[order], errors[order], labels[order], np.argsort(order)[ids]
    )
    np.testing.assert_allclose(moved, expected, rtol=1e-12)


def test_scales():
    features, errors, labels, ids = draw(4)
    distance, angle, cover = values_of(features, errors, labels, ids)
    # A trained network has tiny errors; the angle between gradients is what it was.
    scaled = values_of(3 * features, 1e-6 * errors, labels, ids)
    np.testing.assert_allclose(scaled, [9 * distance, angle, 3 * cover], rtol=1e-5)


def test_gradient_distance_of_opposite_and_of_missing_gradients():
    labels, features = np.zeros(3, int), np.ones((3, 2))
    errors = np.array([[3.0, 1.0], [3.0, 0.0], [-2.0, 0.0]])
    gradients = SimpleNamespace(errors=errors, features=features)
    # Row 0: 4/3 against -2, opposite: 2. Row 1: 1/3 against zero: 1.
    assert gradient_distance(gradients, labels, [2]) == pytest.approx(3.0)


@pytest.mark.parametrize(
    "bad, message",
    [
        ([0, 20, 1, 2], "ids: 20, allowed are 0..19"),
        ([-1, 1, 2], "ids: -1, allowed are 0..19"),
        ([1, 0, 1], "ids: 1 appears more than once"),
        ([0.0, 1.0], r"ids: shape \(2,\) of float64, expected \[m\] integers"),
        ([], "expected .* m >= 1"),
        (np.ones(20, bool), r"ids: shape \(20,\) of bool"),
    ],
)
def test_surrogates_refuse_bad_ids(bad, message):
    features, errors, labels, _ = draw(0)
    gradients = SimpleNamespace(errors=errors, features=features)
    for compute in (
        lambda: mean_score(np.zeros(20), bad),
        lambda: feature_distance(features, labels, bad),
        lambda: gradient_distance(gradients, labels, bad),
        lambda: coverage(features, labels, bad),
    ):
        with pytest.raises(InputError, match=message):
            compute()


def test_surrogates_refuse_bad_data():
    features, errors, labels, ids = draw(0)
    without = [i for i in ids if labels[i] != 1]
    with pytest.raises(InputError, match="ids: none of class 1, expected some of"):
        coverage(features, labels, without)
    with pytest.raises(InputError, match=r"labels: shape \(20,\) of float64"):
        feature_distance(features, labels.astype(float), ids)
    with pytest.raises(InputError, match=r"features: shape \(19, 5\), .* N = 20"):
        feature_distance(features[1:], labels, ids)
    with pytest.raises(InputError, match=r"errors: shape \(20,\)"):
        gradients = SimpleNamespace(errors=errors[:, 0], features=features)
        gradient_distance(gradients, labels, ids)
    features[[3, 8], 1] = np.inf
    with pytest.raises(InputError, match="features: 2 of 20 .* first at example 3"):
        coverage(features, labels, ids)
    with pytest.raises(InputError, match=r"scores: shape \(20, 5\), expected \[N\]"):
        mean_score(features, ids)
    with pytest.raises(InputError, match="scores: 1 of 3 .* first at example 2"):
        mean_score([0.0, 1.0, np.nan], [0])
