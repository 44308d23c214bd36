"""What a run found, or one of its draws, for its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ddjax.artifacts import Artifact
from ddjax.problem import Problem
from ddjax.run import Run
from ddjax.stages.bundle import Teacher
from ddjax.stages.inputs import SelectionInputs
from ddjax.stages.outputs import Parts
from ddjax.stages.requirements import selection_of
from ddjax.stages.subsets import chosen_start
from ddjax.stages.synthetic import SyntheticSets

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What a run found, or one of its draws, for its report.

    Attributes:
      run: where it ran.
      problem: the problem, of one draw with `protocol.resample`.
      parts: takes note of what cannot be written.
      teachers: by name.
      everyone: one row a student, of all networks.
      members: those of the first network.
      summary: of `members`.
      subsets: budget -> artifact.
      sets: budget -> entry of `distill` -> its synthetic sets.
      inputs: budget -> the inputs of the selections.
      losses: budget -> entry of `distill` -> the artifact of its losses.
    """

    run: Run
    problem: Problem
    parts: Parts
    teachers: dict[str, Teacher]
    everyone: pd.DataFrame
    members: pd.DataFrame
    summary: pd.DataFrame
    subsets: dict[int, Artifact]
    sets: dict[int, dict[str, SyntheticSets]]
    inputs: dict[int, SelectionInputs]
    losses: dict[int, dict[str, Artifact]]

    @property
    def own(self) -> pd.DataFrame:
        """Those of `members` that belong to the draw."""
        return self.members[self.members["seed"].isin(self.problem.seeds)]

    def windows(self, method: str, ipc: int) -> Iterator[tuple[str, float | None]]:
        """Yields (regime, start) of a selection's windows; ("", None) without any."""
        if not selection_of(self.problem, method).searches:
            yield "", None
            return
        for regime in self.problem.settings.regimes:
            start = chosen_start(self.problem, self.own, method, regime, ipc)
            yield regime, start
