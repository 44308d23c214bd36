"""What the members of a part are shown in a stretch of steps, laid out ahead.

Letters: W members of a part, L presentations of a stretch, C classes.
"""

import functools
from typing import Any

import jax
import numpy as np

from ddjax.train import batches, order, student
from ddjax.train.members import Members

# Steps whose presentations are laid out at once. Long enough to make the layout cheap,
# short enough to keep it small: 256 steps of 256 presentations are 0.8 MB a member.
STRETCH = 256


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
    asked = np.arange(length) < steps_left * program.batch_size
    if plan.weights is not None:
        asked &= np.asarray(plan.weights[0]) > 0
    found = part.targets[row](
        np.asarray(presented.epochs)[asked], np.asarray(presented.positions)[asked]
    )
    targets = np.zeros((length, found.shape[1]), np.float32)
    targets[asked] = found
    return plan._replace(targets=targets)


def steps_of(plan: Any, first: int, stop: int, batch_size: int) -> Any:
    """Returns the presentations of some steps of a plan of one member, [1,B*T,...].

    Args:
      plan: on the host, [1,L,...].
      first, stop: steps of the stretch.
      batch_size: B.
    """
    return jax.tree.map(lambda a: a[:, first * batch_size : stop * batch_size], plan)
