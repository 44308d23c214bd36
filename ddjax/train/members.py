"""The students of one group, the parts of it that one call trains, and their plans.

Letters: M members, W members of a part, L presentations of a stretch, C classes.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ddjax.train import batches, order, student
from ddjax.train.student import HParams
from ddjax.train.supervision import Supervision

# Steps whose presentations are laid out at once. Long enough to make the layout cheap,
# short enough to keep it small: 256 steps of 256 presentations are 0.8 MB a member.
STRETCH = 256


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


def make_plan(run, program: student.Program, ids: np.ndarray, part: Members, step: int):
    """Returns the plan of a part's next stretch, arrays [W,L,...] on the host.

    Every process draws the whole of it.

    Args:
      run: (key, function, arguments) -> result, compiling once a key.
      program: what is trained.
      ids: [N] int32, of the pool.
      part: the members.
      step: the first of the stretch.
    """
    rows = [_row(run, program, ids, part, row, step) for row in range(len(part))]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def _row(run, program, ids, part, row: int, step: int) -> batches.Plan:
    length = STRETCH * program.batch_size
    seed, subset = part.seeds[row], part.subsets[row]
    supervision = part.supervision
    presented = run(
        (order.presentations, length, supervision),
        functools.partial(order.presentations, length=length, supervision=supervision),
        (seed, subset, ids[subset], np.int32(step * program.batch_size)),
    )
    mixed = supervision if supervision and supervision.mixes else None
    make = functools.partial(
        batches.make_plan,
        program.recipe,
        program.network.image_shape,
        supervision=mixed,
    )
    plan = run((batches.make_plan, make.args, mixed), make, (ids, seed, presented))
    if part.targets is None:
        return plan
    steps_left = int(part.hparams.total_steps[row]) - step
    wanted = np.arange(length) < steps_left * program.batch_size
    if plan.weights is not None:
        wanted &= np.asarray(plan.weights[0]) > 0
    found = part.targets[row](
        np.asarray(presented.epochs)[wanted], np.asarray(presented.positions)[wanted]
    )
    targets = np.zeros((length, found.shape[1]), np.float32)
    targets[wanted] = found
    return plan._replace(targets=targets)


def steps_of(plan: Any, first: int, stop: int, batch_size: int) -> Any:
    """Returns the presentations of some steps of a plan of one member, [1,B*T,...].

    Args:
      plan: on the host, [1,L,...].
      first, stop: steps of the stretch.
      batch_size: B.
    """
    return jax.tree.map(lambda a: a[:, first * batch_size : stop * batch_size], plan)


class Watch:
    """Callbacks of a training. They do nothing here; subclasses show and record."""

    def progress(self, steps: int) -> None:
        """Is called with the number of member-steps that were just done."""

    def say(self, line: str) -> None:
        """Is called with a message, such as that a checkpoint is damaged."""

    def at_most(self, count: int) -> int:
        """Returns how many of `count` steps may be done in one call."""
        return count

    def stepped(self, step: int, count: int, numbers: dict[str, float]) -> None:
        """Is called after every stretch of steps.

        Args:
          step: steps that were done since the beginning.
          count: of them, those of the call.
          numbers: name -> what was measured.
        """
