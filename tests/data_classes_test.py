"""What somebody else's class names and labels mean."""

import numpy as np
import pytest

from ddjax.data.classes import align, explained, match
from ddjax.errors import InputError

CLASSES = ("golden fish", "Cat", "sea_lion")
DIGITS = tuple(map(str, range(12)))
SORTED = tuple(sorted(DIGITS))  # "0", "1", "10", "11", "2": as folders are


def test_names_come_in_any_order():
    assert match(["Cat", "sea_lion"], CLASSES, "here") == ([1, 2], ())


@pytest.mark.parametrize(
    "found",
    [
        ["Golden_Fish", "cat", "sea lion"],
        ["golden-fish", "CAT", "Sea_Lion"],
        ["golden  fish ", "Cat", "SEA-LION"],
    ],
)
def test_another_spelling_is_accepted_with_a_remark(found):
    labels, notes = match(found, CLASSES, "here")
    assert labels == [0, 1, 2]
    assert "spelled otherwise" in notes[0] and f"{found[0]!r} for 'golden" in notes[0]


def test_spellings_that_are_two_classes_are_not_mixed_up():
    with pytest.raises(InputError, match="found 'CAT', which no class"):
        match(["CAT"], ("cat", "Cat"), "here")
    with pytest.raises(InputError, match="here: found "):
        match(["cat", "CAT"], CLASSES, "here")


def test_indices_count_as_numbers_do():
    labels, notes = match(["0", "1", "10", "11", "2"], ("a",) * 12, "here")
    assert labels == [0, 1, 10, 11, 2] and "named by index" in notes[0]
    assert match(["10", "2"], SORTED, "here") == ([2, 4], ())  # names come first
    assert match(["00010", "00002"], DIGITS, "here")[0] == [10, 2]


def test_an_index_that_is_the_name_of_another_class_is_refused():
    message = (
        "found '00010', which may be the class '10' or, as an index, the class '8'"
    )
    with pytest.raises(InputError, match=message):
        match(["00000", "00010"], SORTED, "here")


NAMES = tuple("abcdefghijkl")
LABELS = np.repeat(np.arange(12), 10)


def noisy(predicted, share, seed=0):
    """Predicted classes of which a share is anything."""
    rng = np.random.default_rng(seed)
    other = rng.integers(0, 12, len(predicted))
    return np.where(rng.random(len(predicted)) < share, other, predicted)


def test_what_agrees_needs_no_permutation():
    found = align(LABELS, LABELS, 12)
    assert (found.share, found.permuted, found.permutation) == (1, 1, None)
    assert explained(found, NAMES) == ""


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
@pytest.mark.parametrize(
    "order, says",
    [
        (sorted(range(12), key=str), "sorted as text"),
        (np.argsort(sorted(range(12), key=str)), "sorted as text"),
        (np.roll(np.arange(12), -1), "shifted by 1"),
        (np.arange(12)[::-1], ""),
        (np.random.default_rng(1).permutation(12), ""),
    ],
)
def test_a_permutation_is_found_and_named(order, says, noise):
    order = np.asarray(order)
    found = align(noisy(order[LABELS], noise), LABELS, 12)
    np.testing.assert_array_equal(found.permutation, order)
    assert found.share < 0.4 and found.permuted > found.share + 0.2
    text = explained(found, NAMES)
    moved = np.flatnonzero(order != np.arange(12))[0]
    assert f"'{NAMES[moved]}' is '{NAMES[order[moved]]}'" in text and says in text


def test_two_classes_that_were_exchanged_are_found():
    order = np.arange(12)
    order[[3, 4, 7, 8]] = [4, 3, 8, 7]
    found = align(noisy(order[LABELS], 0.1), LABELS, 12)
    np.testing.assert_array_equal(found.permutation, order)
    assert "'d' is 'e', 'e' is 'd', 'h' is 'i', 'i' is 'h'" in explained(found, NAMES)


@pytest.mark.parametrize("each", [1, 2, 10])
@pytest.mark.parametrize("noise", [0.3, 0.5, 0.7, 1.0])
def test_errors_are_no_permutation(each, noise):
    labels = np.repeat(np.arange(12), each)
    drawn = [align(noisy(labels, noise, seed), labels, 12) for seed in range(20)]
    found = sum(one.permutation is not None for one in drawn)
    assert found <= (1 if each == 1 else 0)  # of twelve images chance may say much


def test_classes_that_are_often_confused_are_no_permutation():
    predicted = LABELS.copy()
    predicted[[*range(30, 36), *range(40, 46)]] = [4] * 6 + [3] * 6
    found = align(predicted, LABELS, 12)
    assert found.permutation is None and found.permuted == found.share == 0.9
