"""Learning rates that were chosen."""

import dataclasses

from ddjax.report.statistics import RANDOM


@dataclasses.dataclass(frozen=True)
class Rates:
    """The learning rates of a regime and budget.

    Attributes:
      by_method: arm -> rate. RANDOM's is that of all subsets and synthetic sets that
        have none of their own; FULL's is there only under a plain regime
        (`Labels.plain`), as students of the full data are.
      notes: remarks on rates that lie at an end of those that were tried.
    """

    by_method: dict[str, float]
    notes: tuple[str, ...] = ()

    def of(self, method: str) -> float:
        """Returns the rate of an arm's students."""
        return self.by_method[method if method in self.by_method else RANDOM]
