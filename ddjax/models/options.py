"""Checks for the options of a network, each naming the option it refuses."""

import numbers
import operator
from collections.abc import Sequence
from typing import Any

from ddjax.errors import InputError

STEMS = ("auto", "small", "large")
_LARGEST_SMALL = 64


def integer(name: str, value: Any, minimum: int) -> int:
    """Returns `value` as a Python int, or refuses it.

    Args:
      name: the option's name, which begins the message.
      value: what the user gave; any integer type, but neither bool nor float.
      minimum: smallest allowed value.

    Returns:
      The value, an int of at least `minimum`.

    Raises:
      InputError: the value is no integer or is too small.
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < minimum:
        raise InputError(
            f"{name}: found {value!r}, allowed is an integer of at least {minimum}"
        )
    return found


def integers(name: str, value: Any, minimum: int) -> tuple[int, ...]:
    """Returns `value` as a tuple of ints, or refuses it.

    Args:
      name: the option's name, which begins the message.
      value: what the user gave; a tuple or list, possibly empty.
      minimum: smallest allowed entry.

    Returns:
      The entries, each an int of at least `minimum`.

    Raises:
      InputError: the value is no tuple or list, or an entry is refused.
    """
    if not isinstance(value, tuple | list):
        raise InputError(
            f"{name}: found {value!r}, allowed is a tuple of integers of at least "
            f"{minimum}"
        )
    return tuple(integer(f"{name}[{i}]", v, minimum) for i, v in enumerate(value))


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """Returns `value` if it is one of `allowed`, or refuses it.

    Args:
      name: the option's name, which begins the message.
      value: what the user gave.
      allowed: the known values.

    Returns:
      The value.

    Raises:
      InputError: the value is not among the allowed ones.
    """
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name}: found {value!r}, allowed: {', '.join(allowed)}")
    return value


def rate(name: str, value: Any) -> float:
    """Returns `value` as a float, or refuses it as a probability of dropping.

    Args:
      name: the option's name, which begins the message.
      value: what the user gave; a number in [0, 1), not a bool.

    Returns:
      The value.

    Raises:
      InputError: the value is no number or out of range.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise InputError(
            f"{name}: found {value!r}, allowed is a number of at least 0 and below 1"
        )
    return float(value)


def small_stem(stem: Any, image_size: int) -> bool:
    """Returns whether a network begins as those for small images do.

    Args:
      stem: what the user gave for the option: "small", "large" or "auto".
      image_size: height and width of the images, px; up to 64 are small.

    Returns:
      Whether the stem is the small one.

    Raises:
      InputError: the stem is unknown.
    """
    stem = choice("stem", stem, STEMS)
    return stem == "small" or (stem == "auto" and image_size <= _LARGEST_SMALL)
