"""A study as its verdicts see it: accuracies by labels, budget, seed and arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.report import names
from ddjax.report.contrasts import Contrast, contrast, jackknife, pick, picked
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    accuracies,
    ordered_methods,
    ordered_regimes,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of a difference: an arm, or the best or worst of several.

    Attributes:
      regime: under which labels.
      arms: one arm, or those to pick from.
      worst: picks the worst.
    """

    regime: str
    arms: tuple[str, ...]
    worst: bool = False


class Study:
    """The students of a study as its verdicts see them.

    Attributes:
      regimes: kinds of labels, in the order of reports.
      ipcs: budgets in images a class, ascending.
      arms: names of everything that is compared with random, without the full data.
      sensible: random and the arms that are not bad on purpose.
      sets: the arms that are synthetic sets.
      tested: the arms that the study is about, () for none in particular.
      grain: points that one test image is worth, 0 if not known.
    """

    def __init__(
        self,
        members: pd.DataFrame,
        sets: Sequence[str] = (),
        test_images: int = 0,
    ):
        """Reads the accuracies.

        Args:
          members: one row a student, see `statistics`.
          sets: arms that are synthetic sets; all others are selections.
          test_images: how many there are, 0 if that is not known.

        Raises:
          InputError: see `statistics.summarise`.
        """
        self.grain = 100 / test_images if test_images else 0.0
        self.regimes = ordered_regimes(members["regime"])
        present = ordered_methods(members["method"])
        self.arms = [name for name in present if name not in (RANDOM, FULL)]
        self.sets = tuple(name for name in sets if name in self.arms)
        good = [name for name in self.arms if not names.is_control(name)]
        self.sensible = [name for name in present if name in (RANDOM, *good)]
        self.tested = self.sets or tuple(n for n in good if names.is_claim(n))[:1]
        if not self.tested and len(good) == 1:
            self.tested = tuple(good)
        self.ipcs = sorted({int(ipc) for ipc in members["ipc"]})
        self._seeds = sorted({*members["seed"]})
        self._columns = {name: index for index, name in enumerate(present)}
        self._accuracy = self._array(members, "accuracy")
        self._validation = self._array(members, "val_accuracy")
        # A budget counts for an arm if one of its students was trained on it.
        self._budgets = ~np.isnan(self._accuracy).all(2)

    def _array(self, members: pd.DataFrame, column: str) -> np.ndarray:
        """Percent, [regimes, budgets, seeds, arms]; NaN where there is no student."""
        import pandas as pd

        rows = pd.MultiIndex.from_product([self.regimes, self.ipcs, self._seeds])
        table = accuracies(members, column).reindex(rows)
        sizes = len(self.regimes), len(self.ipcs), len(self._seeds), -1
        return table[[*self._columns]].to_numpy().reshape(sizes)

    def of(self, regime: str, arm: str) -> pd.Series:
        """Returns an arm's test accuracies in percent, averaged over its budgets.

        Args:
          regime: under which labels.
          arm: its name, or one that there is not.

        Returns:
          A number a seed, NaN where it lacks a student.
        """
        side = self.side(regime, (arm,))
        return self._series(self._tables(side, side)[0][:, :1])

    def validated(self, regime: str, arm: str) -> float:
        """Returns an arm's mean validation accuracy in percent, -inf if not known."""
        side = self.side(regime, (arm,))
        values = self._tables(side, side)[1]
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else float("-inf")

    def best(
        self, regime: str, arms: Iterable[str], worst: bool = False
    ) -> tuple[pd.Series, str]:
        """Returns (each seed's test accuracy, the name) of the best arm on validation.

        A seed's arm is picked by all other seeds; the name is of the arm that all seeds
        pick together, "" if they can pick none. A contrast with it is `contrast`'s.

        Args:
          regime: under which labels.
          arms: to pick from; only those that have students for all budgets are.
          worst: picks the worst instead.
        """
        side = self.side(regime, arms, worst)
        accuracy, validation = self._tables(side, side)
        if not side.arms:
            return self._series(accuracy), ""
        return self._series(picked(accuracy, validation, worst)), self.name(side)

    def side(self, regime: str, arms: Iterable[str], worst: bool = False) -> Side:
        """Returns a side of those arms that have a student, see `best`."""
        row = self._budgets[self.regimes.index(regime)]
        there = [
            arm
            for arm in arms
            if arm in self._columns and row[:, self._columns[arm]].any()
        ]
        if len(there) > 1:
            every = row[:, [self._columns[arm] for arm in there]].any(1)
            there = [a for a in there if (row[:, self._columns[a]] == every).all()]
        return Side(regime, tuple(there), worst)

    def name(self, side: Side) -> str:
        """Returns the arm that all seeds pick together for a side, "" for none."""
        if len(side.arms) < 2:
            return "".join(side.arms)
        index = pick(self._tables(side, side)[1], side.worst)
        return side.arms[index] if index >= 0 else ""

    def contrast(
        self, name: str, one: Side, other: Side, ipc: int | None = None
    ) -> Contrast:
        """Returns the contrast of two sides, over the budgets that both have.

        A seed that lacks a student there drops out.

        Args:
          name: what is compared.
          one, other: the sides.
          ipc: one of the budgets, over which alone; None: all.
        """
        if not (one.arms and other.arms):
            return contrast(name, one.regime, [])
        tables = [self._tables(each, one, other, ipc=ipc) for each in (one, other)]

        def differences(seeds: np.ndarray) -> np.ndarray:
            first, second = (
                picked(accuracy[seeds], validation[seeds], side.worst)
                for side, (accuracy, validation) in zip(
                    (one, other), tables, strict=True
                )
            )
            return first - second

        values, error = differences(np.arange(len(self._seeds))), 0.0
        if len(one.arms) > 1 or len(other.arms) > 1:
            error = float(jackknife(differences, len(values)))
        return contrast(name, one.regime, values, self.grain, error)

    def _tables(
        self, side: Side, *sides: Side, ipc: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies of a side's arms [seeds, arms], over budgets that sides share."""
        budgets = np.all([self._trained(each) for each in sides], axis=0)
        if ipc is not None:
            budgets &= np.array(self.ipcs) == ipc
        row = self.regimes.index(side.regime)
        test, validation = (
            each[row][..., [self._columns[arm] for arm in side.arms]]
            for each in (self._accuracy, self._validation)
        )
        if not budgets.any():
            nothing = np.full(test.shape[1:], np.nan)
            return nothing, nothing
        return test[budgets].mean(0), validation[budgets].mean(0)

    def _trained(self, side: Side) -> np.ndarray:
        """Whether all arms of a side were trained on each budget."""
        columns = [self._columns[arm] for arm in side.arms]
        return self._budgets[self.regimes.index(side.regime)][:, columns].all(1)

    def _series(self, values: np.ndarray) -> pd.Series:
        import pandas as pd

        filled = values.ravel() if values.size else np.full(len(self._seeds), np.nan)
        return pd.Series(filled, self._seeds, dtype=float)
