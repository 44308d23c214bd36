"""Which class a name in somebody else's files means."""

import pytest

from ddjax.data.classes import match
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
