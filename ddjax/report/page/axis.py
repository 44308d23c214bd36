"""Axes of pictures: places in percent of the width, and round numbers beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from ddjax.report.names import signed
from ddjax.report.page.text import percent

_STEPS = (1, 2, 5)


@dataclasses.dataclass(frozen=True)
class Axis:
    """A linear axis.

    Attributes:
      low, high: its ends, low < high.
      ticks: round numbers on it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Returns where a value lies: 0 at the lower end, 1 at the upper one."""
        return (value - self.low) / (self.high - self.low)

    def x(self, value: float) -> str:
        """Returns the same in percent of the width; beyond the ends, the end."""
        return percent(100 * min(max(self.share(value), 0.0), 1.0))

    def inside(self, value: float) -> bool:
        """Whether a value lies on it."""
        return self.low <= value <= self.high

    def named(self, sign: bool = False) -> list[tuple[float, str]]:
        """Returns (tick, its text), with a sign where differences are drawn."""
        plain = [f"{tick:g}".replace("-", "−") for tick in self.ticks]
        if not sign:
            return list(zip(self.ticks, plain, strict=True))
        texts = [
            signed(tick).removesuffix(".0") if tick else "0" for tick in self.ticks
        ]
        return list(zip(self.ticks, texts, strict=True))


def linear(values: Iterable[float], most: int = 4, margin: float = 0.05) -> Axis:
    """Returns an axis that has all values on it, NaNs left out.

    Args:
      values: at least one that is a number.
      most: about so many ticks.
      margin: share of the span that is added at both ends.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    span = max(high - low, 1e-9 * max(1.0, abs(high)))
    if high - low < 1e-9:
        span, low, high = 2.0, low - 1, high + 1
    low, high = low - margin * span, high + margin * span
    return Axis(low, high, tuple(_ticks(low, high, most)))


def of_gaps(means: Iterable[float], ends: Iterable[float], most: float = 25.0) -> Axis:
    """Returns an axis of differences, with 0 on it and not too many points wide.

    Args:
      means: of the differences, NaN where there is none.
      ends: of their intervals, likewise.
      most: points below and above 0 beyond which a difference is cut off.
    """
    wanted = [v for v in (*means, *ends) if math.isfinite(v)]
    low, high = min([-1.5, *wanted]), max([1.5, *wanted])
    low, high = max(low, -most), min(high, most)
    return linear([low, high], most=4, margin=0.04)


def _ticks(low: float, high: float, most: int) -> list[float]:
    step = _step((high - low) / most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10 ... times a power of ten that is not below it."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(
        step * power for step in (*_STEPS, 10) if step * power >= least * (1 - 1e-9)
    )


@dataclasses.dataclass(frozen=True)
class Log:
    """A logarithmic axis with a place for zero at its left.

    Attributes:
      low, high: its ends, 0 < low < high.
      zero: whether there is a zero.
      start, stop: where it lies, in percent of the width.
    """

    low: float
    high: float
    zero: bool
    start: float
    stop: float

    def x(self, value: float) -> float:
        """Returns where a value lies, in percent of the width."""
        left = self.start + (10.0 if self.zero else 0.0)
        if value <= 0:
            return self.start
        share = math.log10(value / self.low) / math.log10(self.high / self.low)
        return left + (self.stop - left) * share

    def named(self) -> list[float]:
        """Returns the values that are written below it."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = [d * 10.0**p for p in range(first, last + 1) for d in _STEPS]
        inside = [step for step in steps if self.low <= step <= self.high]
        if len(inside) > 5:
            inside = [s for s in inside if abs(math.log10(s) % 1) < 1e-6]
        return [0.0, *inside] if self.zero else inside


def logarithmic(values: Iterable[float], start: float, stop: float) -> Log:
    """Returns an axis of non-negative values, at least one of which is positive."""
    known = [value for value in values if math.isfinite(value)]
    positive = [value for value in known if value > 0]
    low, high = min(positive), max(positive)
    if high / low < 2:
        low, high = low / 1.5, high * 1.5
    return Log(low, high, min(known) <= 0, start, stop)
