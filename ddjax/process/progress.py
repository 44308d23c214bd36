"""A bar with the progress of what takes long, in a terminal."""

from __future__ import annotations

import math
from typing import Any

import tqdm

_NUMBERS = 46  # columns that a bar of a few and its numbers take beside its name
_SHORTEST = 12  # columns that its name has at least
_BAR = len(" 100 % ") + 4  # columns of a short bar
_WITH_TOTAL = "{name} {percentage:3.0f} % {bar} {counts}{numbers}"
_WITHOUT = "{name}: {counts}{numbers}"


class Bar(tqdm.tqdm):
    """A bar that names what is done, its rate and the time that is left.

    The first steps hold the compilation, so the clock begins behind them.
    """

    n: float  # units so far

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
        columns = found["ncols"] or 80
        room = max(columns - _NUMBERS, _SHORTEST)
        name = str(found["prefix"]).removesuffix(": ")
        if len(name) > room:
            name = f"{name[: room - 3]}..."
        counts = f"{found['n']}/{found['total']}" if found["total"] else f"{found['n']}"
        counts += f" {found['unit']}s"
        parts = []
        if rate:
            parts.append(f", {rate:.{1 if rate < 10 else 0}f}/s")
        if rate and found["total"]:
            left = max(found["total"] - found["n"], 0) / rate
            parts.append(f", {clock(left)} left")
        # In a narrow terminal the rate goes first.
        while parts and len(name) + _BAR + len(counts + "".join(parts)) > columns:
            del parts[0]
        return found | {"name": name, "counts": counts, "numbers": "".join(parts)}


def clock(seconds: float) -> str:
    """Returns a time such as "0:07", "12:30" or "1:02:03"."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest:02d}"
