"""The checks that every selection shares, seen through the selections."""

import jax
import numpy as np
import pytest

from ddjax import select
from ddjax.errors import InputError
from ddjax.select.budget import groups

LABELS = np.array([0, 1, 1, 0, 2, 1, 2, 0, 2, 2])  # sizes 3, 3, 4
SCORES = np.arange(10.0)
FEATURES = np.eye(10)[:, :4] + 0.1

BALANCED = {
    "random": lambda labels, n: select.random(jax.random.key(0), labels, n),
    "top": lambda labels, n: select.top(SCORES, labels, n),
    "window": lambda labels, n: select.window(SCORES, labels, n, 0.5),
    "k_center": lambda labels, n: select.k_center(
        jax.random.key(0), FEATURES, labels, n
    ),
    "facility_location": lambda labels, n: select.facility_location(
        FEATURES, labels, n
    ),
}


def test_groups_hand_worked():
    by_class = groups(LABELS, 2)
    expected = [[0, 3, 7], [1, 2, 5], [4, 6, 8, 9]]
    assert [(ids.tolist(), budget) for ids, budget in by_class] == [
        (ids, 2) for ids in expected
    ]
    [(ids, budget)] = groups(LABELS, 2, balanced=False)
    assert (ids.tolist(), budget) == (list(range(10)), 6)


@pytest.mark.parametrize("name", BALANCED)
@pytest.mark.parametrize("per_class", [1, 2, np.int64(3)])
def test_selections_take_per_class_sorted_distinct_ids_of_every_class(name, per_class):
    ids = BALANCED[name](LABELS, per_class)
    assert isinstance(ids, np.ndarray) and ids.dtype == np.int32
    assert (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(np.bincount(LABELS[ids]), [per_class] * 3)
    np.testing.assert_array_equal(ids, BALANCED[name](LABELS, per_class))


@pytest.mark.parametrize("name", BALANCED)
def test_selections_of_a_single_class_can_take_everything(name):
    ids = BALANCED[name](np.zeros(10, int), 10)
    np.testing.assert_array_equal(ids, np.arange(10))


@pytest.mark.parametrize("name", BALANCED)
def test_selections_read_jax_labels(name):
    ids = BALANCED[name](jax.numpy.asarray(LABELS), 2)
    np.testing.assert_array_equal(ids, BALANCED[name](LABELS, 2))


@pytest.mark.parametrize("name", BALANCED)
@pytest.mark.parametrize(
    "labels, per_class, message",
    [
        (LABELS, 0, "per_class: 0, expected an integer of at least 1"),
        (LABELS, 1.5, "per_class: 1.5, expected an integer of at least 1"),
        (LABELS, 4, "per_class: 4, but class 0 has only 3 examples"),
        (LABELS + 1, 1, r"labels: class 0 has no examples, .* are 0\.\.3"),
        (LABELS * 2, 1, r"labels: class 1 has no examples, .* are 0\.\.4"),
        (LABELS - 1, 1, "labels: class -1, expected 0 or more"),
        (LABELS[:, None], 1, r"labels: shape \(10, 1\)"),
        (LABELS * 1.0, 1, "labels: shape .* of float64, expected .* integers"),
        (LABELS[:0], 1, "labels: there are no examples"),
    ],
)
def test_selections_refuse_bad_labels_and_budgets(name, labels, per_class, message):
    with pytest.raises(InputError, match=message):
        BALANCED[name](labels, per_class)


def test_groups_refuses_more_than_there_is_even_unbalanced():
    [(_, budget)] = groups(LABELS, 3, balanced=False)
    assert budget == 9
    with pytest.raises(InputError, match="4 for 3 classes makes 12, .* only 10 exa"):
        groups(LABELS, 4, balanced=False)
    with pytest.raises(InputError, match="class 1 has no examples"):
        groups(LABELS * 2, 1, balanced=False)
