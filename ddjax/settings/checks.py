"""Checks of one value: each raises with the key, the value and what is allowed."""

import math
from typing import Any

from ddjax.errors import InputError


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    if not condition:
        raise InputError(f"{key}: found {value!r}, allowed is {allowed}")


def one_of(key: str, value: Any, known: tuple[str, ...]) -> None:
    require(value in known, key, value, f"one of {', '.join(known)}")


def finite(key: str, value: float, low: float = -math.inf, high=math.inf) -> None:
    require(
        math.isfinite(value) and low <= value <= high,
        key,
        value,
        f"a finite number in [{low:g}, {high:g}]",
    )


def positive(key: str, value: float) -> None:
    require(math.isfinite(value) and value > 0, key, value, "a finite number > 0")
