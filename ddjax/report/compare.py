"""Comparing runs: what students of one run have against those of another.

A cell is a method, budget and label regime. Every run is compared with the first one,
cell by cell. Two students are a pair where source, split, seed and subset are the same.
A cell is paired where the pairs are at least half of the seeds of the run with fewer;
else its interval is Welch's, for independent students. A difference of gaps to random
is paired by the subsets of random: what differs then is what the methods make of the
same seed. All differences of accuracy are one family of Holm's correction, all
differences of gaps another, and the means over cells a third.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ddjax.errors import InputError, named
from ddjax.report import names, results
from ddjax.report.contrasts import (
    MARGIN,
    SHOWN,
    SMALL,
    UNDECIDED,
    Contrast,
    contrast,
    corrected,
    judged,
    unpaired,
)
from ddjax.report.results import MEMBERS, RunResults
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    ordered_methods,
    ordered_regimes,
    summarise,
)

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[str, int, str]
PAIRED, UNPAIRED = "paired", "unpaired"
# What a table has of each difference, behind its name.
PARTS = ("", "_ci95", "_n", "_pairing", "_p_holm", "_state")
NEEDED = "_seeds_needed"
ACCURACY, GAP = "difference", "gap_difference"

_CELL = ["regime", "ipc", "method"]
_OWN = ["method", "ipc", "regime", "accuracy", "ci95", "n", "failed"]
_OWN += ["gap", "gap_ci95", "gap_n"]
MEANINGS = {
    SHOWN: "shown",
    SMALL: f"smaller than {MARGIN:g} point",
    UNDECIDED: "not decided",
}
_SHOWN = 3  # differences that a sentence names


@dataclasses.dataclass(frozen=True, eq=False)
class Runs:
    """The runs that are compared.

    Attributes:
      all: in the order in which they were given; all others are compared with the
        first.
    """

    all: tuple[RunResults, ...]

    @property
    def first(self) -> RunResults:
        """The run that all others are compared with."""
        return self.all[0]

    @functools.cached_property
    def columns(self) -> list[tuple[_Column, _Column | None]]:
        """Every network of every run, and what it is compared with.

        That is the same network of the first run, where it has that, else its first.
        """
        every = [_Column(run, name) for run in self.all for name in run.networks]
        first = [column for column in every if column.run is self.first]
        found: list[tuple[_Column, _Column | None]] = []
        for column in every:
            same = [each for each in first if each.network == column.network]
            found.append((column, None if column in first else (same or first)[0]))
        return found


def read(folders: Sequence[str | os.PathLike]) -> Runs:
    """Reads the students and settings of runs.

    Args:
      folders: two or more workdirs, or folders with the `members.jsonl` and the
        `manifest.json` of one; the latter may be missing.

    Raises:
      InputError: fewer than two; one is no folder of a run, is given twice, has no
        students (yet), or a damaged file.
    """
    if len(folders) < 2:
        raise InputError(
            f"compare: found {len(folders)} run{'s' * (len(folders) != 1)}, allowed "
            "are two or more, such as ddjax compare runs/a runs/b"
        )
    return Runs(results.read_all("compare", folders))


def table(runs: Runs) -> pd.DataFrame:
    """Returns every cell of every run, and its difference to that of the first run.

    Args:
      runs: of `read`.

    Returns:
      A row for each regime, budget, method, run and network: run (its label), source,
      network, reference_network (of the first run; "" of that itself); method, ipc,
      regime, accuracy, ci95, n, failed, gap, gap_ci95 and gap_n as of
      `statistics.summarise`; and, where the first run has the cell, `difference` (of
      accuracy, in points; NaN where test images differ) and `gap_difference`, each with
      `_ci95` (95 % half width), `_n` (pairs, or the students of both runs), `_pairing`
      ("paired", "unpaired" or ""), `_p_holm` and `_state` ("shown", "small": shown to
      be smaller than 1 point, "undecided" or "").

    Raises:
      InputError: students of a run are not as `statistics` wants them.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    found: dict[str, list[_Difference | None]] = {ACCURACY: [], GAP: []}
    for column, other in runs.columns:
        for row in column.summary.to_dict("records"):
            rows.append(
                {
                    "run": column.run.label,
                    "source": column.run.source.get("name", ""),
                    "network": column.network,
                    "reference_network": other.network if other else "",
                    **{name: row[name] for name in _OWN},
                }
            )
            cell = row["regime"], row["ipc"], row["method"]
            for kind, differences in found.items():
                differences.append(
                    None if other is None else column.against(other, kind, [cell])
                )
    made = pd.DataFrame(rows)
    for kind, differences in found.items():
        values = _corrected(differences)
        for part in PARTS:
            made[kind + part] = values[part]
    made = made.astype({f"{kind}_n": "Int64" for kind in found})
    regimes = ordered_regimes(made["regime"])
    methods = ordered_methods(made["method"])
    order = sorted(
        made.index,
        key=lambda at: (
            regimes.index(made.at[at, "regime"]),
            made.at[at, "ipc"],
            methods.index(made.at[at, "method"]),
            at,
        ),
    )
    return made.loc[order].reset_index(drop=True)


def averaged(runs: Runs) -> pd.DataFrame:
    """Returns differences of means over all cells that a run shares with the first one.

    They are few, so that Holm's correction costs them little. `difference` is that of
    random, averaged over budgets; `gap_difference` that of the gaps of all methods that
    are not bad on purpose, averaged over methods and budgets. A seed that lacks one of
    the cells drops out.

    Args:
      runs: of `read`.

    Returns:
      A row for each run but the first, network and regime that both have: run, network,
      reference_network, regime, methods (number of those averaged), and the two
      differences as of `table`, which are one family, with `_seeds_needed`: how many
      pairs would decide, None where that is not known or it is decided.

    Raises:
      InputError: as `table`.
    """
    import pandas as pd

    rows, found = [], []
    regimes = ordered_regimes(r for run in runs.all for r in run.members["regime"])
    for column, other in runs.columns:
        if other is None:
            continue
        for regime in regimes:
            cells = [c for c in column.cells if c[0] == regime and c in other.cells]
            good = [
                cell
                for cell in cells
                if cell[2] not in (RANDOM, FULL) and not names.is_control(cell[2])
            ]
            if not cells:
                continue
            rows.append(
                {
                    "run": column.run.label,
                    "network": column.network,
                    "reference_network": other.network,
                    "regime": regime,
                    "methods": len({method for *_, method in good}),
                }
            )
            of_random = [cell for cell in cells if cell[2] == RANDOM]
            found += [
                column.against(other, ACCURACY, of_random),
                column.against(other, GAP, good),
            ]
    values = _corrected(found, with_seeds=True)
    made = pd.DataFrame(rows)
    for first, kind in enumerate((ACCURACY, GAP)):
        for part in (*PARTS, NEEDED):
            made[kind + part] = values[part][first::2]
    return made


def answers(runs: Runs, compared: pd.DataFrame) -> dict[str, str]:
    """Returns what is found of each run but the first, cell by cell.

    Args:
      runs: of `read`.
      compared: the result of `table`.

    Returns:
      What `who` calls a network of a run -> a sentence.
    """
    found = {}
    for column, other in runs.columns:
        if other is None:
            continue
        own = (compared["run"] == column.run.label) & (
            compared["network"] == column.network
        )
        parts = (
            _counts(compared[own], ACCURACY, "Accuracy"),
            _counts(compared[own], GAP, "Gap to random"),
        )
        text = " ".join(filter(None, parts)) or "Nothing can be compared."
        found[who(compared, column.run.label, column.network)] = text
    return found


def who(compared: pd.DataFrame, run: str, network: str) -> str:
    """Returns what a run's network is called, the run alone where all have the same."""
    return f"{run} ({network})" if compared["network"].nunique() > 1 else run


def _counts(rows: pd.DataFrame, kind: str, words: str) -> str:
    """A sentence on the differences of a kind, with the largest; "" without any."""
    rows = rows[rows[f"{kind}_state"] != ""]
    if rows.empty:
        return ""
    state, shown = rows[f"{kind}_state"], rows[rows[f"{kind}_state"] == SHOWN]
    counts = (
        ((shown[kind] > 0).sum(), "higher"),
        ((shown[kind] < 0).sum(), "lower"),
        ((state == SMALL).sum(), MEANINGS[SMALL]),
        ((state == UNDECIDED).sum(), MEANINGS[UNDECIDED]),
    )
    pairs = int((rows[f"{kind}_pairing"] == PAIRED).sum())
    paired = {0: "unpaired", len(rows): "paired"}.get(pairs, f"{pairs} paired")
    listed = ", ".join(f"{count} {word}" for count, word in counts if count)
    cells = "1 cell" if len(rows) == 1 else f"{len(rows)} cells"
    text = f"{words} in {cells} ({paired}): {listed}"
    largest = shown.loc[shown[kind].abs().sort_values(ascending=False).index[:_SHOWN]]
    examples = [
        f"{names.title(row['method'])}, {row['regime']}, IPC {row['ipc']} "
        f"{names.signed(row[kind])} ±{row[f'{kind}_ci95']:.1f}"
        for row in largest.to_dict("records")
    ]
    return f"{text} (the largest: {'; '.join(examples)})." if examples else f"{text}."


@dataclasses.dataclass(frozen=True)
class _Difference:
    """Of one cell of two runs.

    Attributes:
      contrast: not corrected for others.
      pairing: PAIRED or UNPAIRED.
      n: pairs, or the students of both.
    """

    contrast: Contrast
    pairing: str
    n: int


class _Column:
    """The students of one network of a run, by cell (regime, budget, method)."""

    def __init__(self, run: RunResults, network: str):
        self.run, self.network = run, network
        members = run.members[run.members["network"] == network]
        with named(str(run.folder / MEMBERS)):
            self.summary = summarise(members)
        good = members[members["status"] == "ok"].set_index("seed")
        self.cells: dict[Cell, pd.DataFrame] = dict(list(good.groupby(_CELL)))
        self._grain = 100 / run.test_images if run.test_images else 0.0

    def against(
        self, other: _Column, kind: str, cells: Sequence[Cell]
    ) -> _Difference | None:
        """Returns the difference to another column of the mean over cells.

        Args:
          other: what is subtracted.
          kind: ACCURACY, which needs the same test images, or GAP.
          cells: of both.

        Returns:
          The difference, None where there is none.
        """
        if kind == ACCURACY and not self.run.same_test(other.run):
            return None
        own, theirs = self._means(kind, cells), other._means(kind, cells)
        fewer = min(len(own), len(theirs))
        if not fewer:
            return None
        grains = [self._grain, other._grain]
        if kind == GAP:  # four accuracies, each rounded to whole images
            grains = [math.sqrt(2) * grain for grain in grains]
        name, regime = f"{self.run.label} − {other.run.label}", cells[0][0]
        pairs = [
            seed
            for seed in own.index.intersection(theirs.index)
            if all(self._alike(other, kind, cell, seed) for cell in cells)
        ]
        if len(pairs) >= min(2, fewer) and 2 * len(pairs) >= fewer:
            found = contrast(name, regime, own[pairs] - theirs[pairs], max(grains))
            return _Difference(found, PAIRED, len(pairs))
        found = unpaired(name, regime, own, theirs, (grains[0], grains[1]))
        return _Difference(found, UNPAIRED, len(own) + len(theirs))

    def _means(self, kind: str, cells: Sequence[Cell]) -> pd.Series:
        """Accuracies or gaps by seed, of those seeds that have all cells."""
        import pandas as pd

        if kind == GAP and any(cell[2] == RANDOM for cell in cells):
            cells = ()
        found = [self._accuracy(cell) for cell in cells]
        if kind == GAP:
            found = [
                values - self._accuracy(_of_random(cell))
                for cell, values in zip(cells, found, strict=True)
            ]
        if not found:
            return pd.Series(dtype=float)
        return pd.concat(found, axis=1, sort=True).dropna().mean(axis=1)

    def _accuracy(self, cell: Cell) -> pd.Series:
        import pandas as pd

        if cell not in self.cells:
            return pd.Series(dtype=float)
        return self.cells[cell]["accuracy"].astype(float)

    def _alike(self, other: _Column, kind: str, cell: Cell, seed: int) -> bool:
        """Whether a seed's students (of gaps those of random) have the same subset."""
        if not self.run.same_split(other.run):
            return False
        at = cell if kind == ACCURACY else _of_random(cell)
        subset = self.cells[at]["subset"][seed]
        return bool(subset) and subset == other.cells[at]["subset"][seed]


def _of_random(cell: Cell) -> Cell:
    return (*cell[:2], RANDOM)


def _corrected(
    found: Sequence[_Difference | None], with_seeds: bool = False
) -> dict[str, list[Any]]:
    """Corrects differences that are one family.

    Args:
      found: None where there is none.
      with_seeds: whether to count the seeds that would decide, which takes a while.

    Returns:
      `PARTS` and `NEEDED` -> a value for each.
    """
    family = [each.contrast for each in found if each is not None]
    family = judged(family) if with_seeds else corrected(family)
    rest = iter(family)
    rows: list[tuple[Any, ...]] = []
    for each in found:
        if each is None:
            rows.append((math.nan, math.nan, None, "", math.nan, "", None))
            continue
        of = next(rest)
        rows.append(
            (of.mean, of.half_width, each.n, each.pairing, of.p, of.state, of.needed)
        )
    return {part: [row[at] for row in rows] for at, part in enumerate((*PARTS, NEEDED))}
