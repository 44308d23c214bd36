"""What is compared with what: the rows and columns that tables and pictures share.

In a study of selections a row is an arm and a column a kind of labels; gaps are to
random images. In a study of labels a row is a kind of labels, all on random images, and
gaps are to the first of them, hard labels where there are any.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from ddjax.report import names
from ddjax.report.contrasts import Contrast, contrast, corrected
from ddjax.report.page.record import Record
from ddjax.report.statistics import FULL, RANDOM, REFERENCE, accuracies, ordered_methods
from ddjax.report.verdicts import HARD

if TYPE_CHECKING:
    import pandas as pd

TESTED, BEST, CONTROL, BASE, REST = "tested", "best", "control", "base", "rest"
# What labels a kind is, below its name.
LABELS = {
    "hard": "the class",
    "soft": "teacher, per image",
    "soft_kd": "teacher, per view",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: an arm, or a kind of labels on random images or the full data.

    Attributes:
      key: its name in the settings.
      title: its name for people.
      method: the students' method.
      regime: the students' labels in a study of labels, else "".
      role: TESTED, CONTROL, BASE (what gaps are to), FULL or REST.
    """

    key: str
    title: str
    method: str
    regime: str
    role: str


@dataclasses.dataclass(frozen=True)
class Column:
    """Kinds of columns that a page shows together: of one kind of labels.

    Attributes:
      key: "0", "1", ..., by which a page selects it.
      regime: the labels; "" in a study of labels.
      title: for people.
      note: a few words below the title.
    """

    key: str
    regime: str
    title: str
    note: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """Students of a row and column at one budget, or over all of them.

    Attributes:
      row: of the grid.
      column: of the grid.
      ipc: the budget; None: the mean over budgets.
      accuracy, ci95: percent; NaN where there is none, and in a mean.
      n, failed: students that succeeded, and that did not.
      gap: to the base, corrected for all arms of the column; None of the base itself.
      bytes: of a student's labels, NaN: not stored.
      passes: image passes to find the set, NaN: not known.
      note: what settings were chosen on, if not on validation.
    """

    row: Row
    column: Column
    ipc: int | None
    accuracy: float
    ci95: float
    n: int
    failed: int
    gap: Contrast | None
    bytes: float
    passes: float
    note: str


class Grid:
    """Rows, columns and cells of a study.

    Attributes:
      of_labels: whether rows are kinds of labels.
      base: the title of what gaps are to.
      rows: the base first, then the best first by the mean gap in the first column,
        full data last.
      columns: one a kind of labels; a single one of a study of labels.
      budgets: images per class, ascending.
    """

    def __init__(self, record: Record):
        """Computes all gaps.

        Args:
          record: of a run with students.
        """
        self._study = study = record.study
        # By (regime, budget): a row a seed, a column a method.
        self._accuracy: dict[tuple[str, int], pd.DataFrame] = {
            key: table.droplevel(["regime", "ipc"])
            for key, table in accuracies(record.members).groupby(["regime", "ipc"])
        }
        self._rows = {
            (row.regime, int(row.ipc), row.method): row
            for row in record.summary.itertuples()
        }
        self.budgets = record.budgets
        self.of_labels = not study.arms and len(study.regimes) > 1
        known = [regime for regime in (HARD, REFERENCE) if regime in study.regimes]
        self._base_regime = (known or study.regimes)[0]
        if self.of_labels:
            self.base = self._base_regime
            self.columns = [Column("0", "", "random images", "")]
        else:
            self.base = RANDOM
            self.columns = [
                Column(str(index), regime, regime, LABELS.get(regime, ""))
                for index, regime in enumerate(study.regimes)
            ]
        methods = ordered_methods(record.members["method"])
        rows = self._label_rows() if self.of_labels else [*map(self._row, methods)]
        self._gaps = {
            (column.key, ipc): self._family(rows, column, ipc)
            for column in self.columns
            for ipc in (*self.budgets, None)
        }
        self.rows = sorted(rows, key=self._place)

    @functools.cached_property
    def best(self) -> dict[str, str]:
        """Column -> the method that is best on validation, "" if none is known."""
        if self.of_labels:
            return {}
        return {
            column.key: self._study.best(column.regime, self._study.sensible)[1]
            for column in self.columns
        }

    @functools.cached_property
    def tested(self) -> dict[str, str]:
        """Column -> what the study tests, of several what is best on validation."""
        if self.of_labels or not self._study.tested:
            return {}
        return {
            column.key: self._study.best(column.regime, self._study.tested)[1]
            for column in self.columns
        }

    def role(self, row: Row, column: Column) -> str:
        """Returns what a row is in a column: its own role, or BEST."""
        if row.role not in (REST, TESTED):
            return row.role
        if row.method == self.tested.get(column.key):
            return TESTED
        return BEST if row.method == self.best.get(column.key) else REST

    def gap(self, row: Row, column: Column, ipc: int | None = None) -> Contrast | None:
        """Returns a row's gap to the base, None of the base."""
        return self._gaps[column.key, ipc].get(row.key)

    def cell(self, row: Row, column: Column, ipc: int | None) -> Cell | None:
        """Returns a cell, None where no student was trained."""
        gap = self.gap(row, column, ipc)
        nothing = float("nan")
        if ipc is None:
            found: dict[str, Any] = {"accuracy": nothing, "ci95": nothing}
            found |= {"n": gap.n if gap else 0, "failed": 0, "note": ""}
            found |= {"bytes": nothing, "passes": nothing}
            return Cell(row, column, ipc, gap=gap, **found)
        one = self._rows.get((row.regime or column.regime, ipc, row.method))
        if one is None:
            return None
        return Cell(
            row,
            column,
            ipc,
            one.accuracy,
            one.ci95,
            one.n,
            one.failed,
            gap,
            one.label_bytes,
            one.find_passes,
            one.note,
        )

    def seeds(self, row: Row, column: Column, ipc: int) -> pd.Series:
        """Returns a row's test accuracies in percent, one a seed.

        Args:
          row: of the grid.
          column: of the grid.
          ipc: the budget.
        """
        import pandas as pd

        table = self._accuracy.get((row.regime or column.regime, ipc))
        if table is None or row.method not in table:
            return pd.Series(dtype=float)
        return table[row.method]

    def _family(
        self, rows: list[Row], column: Column, ipc: int | None
    ) -> dict[str, Contrast]:
        """The gaps of a column; those of full data stand outside Holm's correction."""
        base = next((row for row in rows if row.role == BASE), None)
        if base is None:
            return {}
        found = {}
        for row in rows:
            if row.role == BASE or (self.of_labels and row.role == FULL):
                continue
            found[row.key] = self._contrast(row, base, column, ipc)
        judged = [row.key for row in rows if row.key in found and row.role != FULL]
        return found | dict(
            zip(judged, corrected([found[key] for key in judged]), strict=True)
        )

    def _contrast(
        self, row: Row, base: Row, column: Column, ipc: int | None
    ) -> Contrast:
        """A gap that is not corrected for others."""
        name, study = f"{row.key} − {base.key}", self._study
        regimes = [each.regime or column.regime for each in (row, base)]
        if ipc is None:
            one, other = (
                study.side(regime, (each.method,))
                for regime, each in zip(regimes, (row, base), strict=True)
            )
            return study.contrast(name, one, other)
        first, second = (self.seeds(each, column, ipc) for each in (row, base))
        return contrast(name, regimes[0], first - second, study.grain)

    def _row(self, method: str) -> Row:
        if method in (RANDOM, FULL):
            role = BASE if method == RANDOM else FULL
        elif method == next(iter(self.tested.values()), ""):
            role = TESTED
        else:
            role = CONTROL if names.is_control(method) else REST
        return Row(method, names.title(method), method, "", role)

    def _label_rows(self) -> list[Row]:
        rows = []
        for regime in self._study.regimes:
            if not any(key[0] == regime and key[2] == RANDOM for key in self._rows):
                continue
            role = BASE if regime == self._base_regime else REST
            rows.append(Row(regime, regime, RANDOM, regime, role))
        rows += [
            Row(f"{regime}/{FULL}", f"Full data, {regime}", FULL, regime, FULL)
            for regime in self._study.regimes
            if any(key[0] == regime and key[2] == FULL for key in self._rows)
        ]
        return rows

    def _place(self, row: Row) -> tuple[int, float]:
        gap = self.gap(row, self.columns[0])
        mean = gap.mean if gap is not None and gap.n else float("-inf")
        return {BASE: 0, FULL: 2}.get(row.role, 1), -mean
