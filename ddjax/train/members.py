"""The students of one group, and the parts of it that one call trains.

Letters: M members, L presentations, C classes.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from ddjax.train.student import HParams
from ddjax.train.supervision import Supervision


@dataclasses.dataclass(frozen=True, eq=False)
class Members:
    """The students of one group.

    Attributes:
      seeds: [M] int32.
      subsets: M arrays of int32 positions in the pool; sizes may differ.
      hparams: HParams of [M] float32 arrays.
      supervision: the group's label schedule and pool of views; None: neither.
      targets: for each member a function (epochs [L], positions [L]) -> stored teacher
        logits [L,C] float32 of those views; None where nothing is stored.
    """

    seeds: np.ndarray
    subsets: list[np.ndarray]
    hparams: HParams
    supervision: Supervision | None = None
    targets: list[Callable[[np.ndarray, np.ndarray], np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self.subsets)

    def parts(self, width: int) -> list["Members"]:
        """Returns groups of `width`, the last one filled up with the first member."""
        padding = np.zeros(-len(self) % width, int)
        rows = np.concatenate([np.arange(len(self)), padding]).reshape(-1, width)
        return [
            Members(
                self.seeds[part],
                [self.subsets[row] for row in part],
                jax.tree.map(lambda a, part=part: a[part], self.hparams),
                self.supervision,
                self.targets and [self.targets[row] for row in part],
            )
            for part in rows
        ]
