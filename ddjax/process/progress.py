"""A bar with the progress of what takes long, in a terminal."""

from __future__ import annotations

import math
from typing import Any

import tqdm

_NUMBERS = 46  # columns that a bar of a few and its numbers take beside its name
_SHORTEST = 12  # columns that its name has at least
_WITH_TOTAL = "{name} {percentage:3.0f} % {bar} {n_fmt}/{total_fmt} {unit}s{numbers}"
_WITHOUT = "{name}: {n_fmt} {unit}s{numbers}"


class Bar(tqdm.tqdm):
    """A bar that names what is done, its rate and the time that is left.

    The first steps hold the compilation, so the clock begins behind them.
    """

    def __init__(self, label: str, total: int, unit: str, **options: Any):
        """Shows the bar.

        Args:
          label: what is done.
          total: how many units it takes, 0 if that is not known.
          unit: one of them, such as "step".
          **options: of `tqdm.tqdm`.
        """
        super().__init__(
            desc=label,
            total=total or None,
            unit=unit,
            bar_format=_WITH_TOTAL if total else _WITHOUT,
            leave=False,
            smoothing=0.1,
            dynamic_ncols=True,
            **options,
        )

    def update(self, n: float | None = 1) -> bool | None:
        """Counts units."""
        if self.disable or self.n or not n:
            return super().update(n)
        self.n = self.initial = self.last_print_n = n
        self.start_t = self.last_print_t = self._time()
        return self.refresh()

    @property
    def format_dict(self) -> dict[str, Any]:
        """The fields of `bar_format`."""
        found = super().format_dict
        counted, elapsed = found["n"] - found["initial"], found["elapsed"]
        rate = found["rate"] or (counted / elapsed if elapsed else 0.0)
        numbers = f", {rate:.{1 if rate < 10 else 0}f}/s" if rate else ""
        if rate and found["total"]:
            left = max(found["total"] - found["n"], 0) / rate
            numbers += f", {clock(left)} left"
        room = max((found["ncols"] or 80) - _NUMBERS, _SHORTEST)
        name = str(found["prefix"]).removesuffix(": ")
        if len(name) > room:
            name = f"{name[: room - 3]}..."
        return found | {"name": name, "numbers": numbers}


def clock(seconds: float) -> str:
    """Returns a time such as "0:07", "12:30" or "1:02:03"."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest:02d}"
