"""How much memory of an accelerator the trainings of a run take.

Counted are the arguments of a training step and what its backward pass waits for: the
values that the linearised network keeps, `programs.activation_bytes`. XLA fuses and
recomputes some of them and adds buffers of its own; on CPU the sum is within a factor
of two of what it then takes.
"""

import dataclasses
import functools
import math

import jax
import numpy as np

from ddjax.stations.context import Context
from ddjax.stations.sweeps import Sweep
from ddjax.train import plans, student
from ddjax.train import programs as train_programs
from ddjax.train.sweep import Bound


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one device.

    Attributes:
      images: of the pool, or of an image set of all seeds; of a stream the subsets of
        the group, or where all train on the whole pool those of two steps.
      weights: with moments, gradients, and the teachers' that answer on the fly.
      labels: a teacher's fixed or stored ones.
      activations: what the backward pass waits for, and the views.
    """

    images: float
    weights: float
    labels: float
    activations: float

    @property
    def total(self) -> float:
        return self.images + self.weights + self.labels + self.activations


def per_device(context: Context, sweep: Sweep, chips: int) -> Memory:
    """Returns what a device holds while a sweep's largest group trains.

    Args:
      context: of `estimate.open_plan`.
      sweep: of `sweeps.sweeps`.
      chips: devices that the run has.
    """
    settings, program = context.settings, sweep.program
    shared, at_once, held = sweep.layout(chips, settings.mesh.data)
    batch, streamed = program.batch_size // shared, settings.data.stream
    classes, pixels = context.source.num_classes, math.prod(context.source.shape)
    shown = 1 + (program.recipe.cutmix > 0)  # a view, and what CutMix pastes in
    images = sweep.held * pixels / shared
    if streamed and sweep.whole == sweep.trainings:
        images = 2 * shown * at_once * batch * pixels
    labels = 0.0
    if program.objective.regime == "soft":
        labels = 4 * sweep.held * classes / shared
    elif sweep.stored:
        labels = 4 * plans.STRETCH * batch * classes * at_once
    teachers = sum(map(variable_bytes, program.objective.teachers))
    weights = held * state_bytes(program) + teachers
    weights += at_once * variable_bytes(program.network)
    seen = batch * (1 + program.two_views)
    each = train_programs.activation_bytes(program.network) + 4 * shown * pixels
    return Memory(images, weights, labels, at_once * seen * each)


@functools.cache
def variable_bytes(network) -> int:
    """Bytes of a network's variables."""
    return nbytes(train_programs.variables_of(network))


@functools.cache
def state_bytes(program: student.Program) -> int:
    """Bytes of one member: variables, moments, and what else is carried along."""
    seed = jax.ShapeDtypeStruct((), np.int32)
    return nbytes(jax.eval_shape(Bound(student.init_student, program), seed))


def nbytes(shapes) -> int:
    """Bytes of a pytree of `jax.ShapeDtypeStruct`."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
