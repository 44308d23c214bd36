"""The programs of a run with abstract arguments: what is lowered, but not compiled."""

import dataclasses

import numpy as np

from ddjax import distill, models
from ddjax.models import Network
from ddjax.settings import Distill
from ddjax.stations.bundle import read_bundle, section_of
from ddjax.stations.context import Context
from ddjax.train import student
from ddjax.train.programs import native


def teacher_network(context: Context, name: str) -> Network:
    """Returns a teacher's network, with XLA's convolutions.

    Args:
      context: the run.
      name: `teacher`, or a member of the settings' `committee`.
    """
    settings, source = context.teacher_settings(name), context.source
    if not settings.path or settings.is_file:
        return native(context.teacher_network(name))
    bundle = read_bundle(settings.path, section_of(name)).manifest["settings"]
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in bundle["options"].items()
    }
    network = models.network(
        bundle["network"], source.num_classes, source.shape, **options
    )
    return native(network)


def teacher_program(context: Context, name: str) -> student.Program:
    """Returns what is compiled to train a teacher on an accelerator; see above."""
    settings, network = context.teacher_settings(name), teacher_network(context, name)
    program = context.program(network, settings.optimizer, settings.batch_size, "hard")
    return dataclasses.replace(program, micro_batch=0)


def student_program(context: Context, regime: str) -> student.Program:
    """Returns what is compiled to train students on an accelerator.

    Args:
      context: the run.
      regime: their labels; teachers that answer on the fly are in the program.
    """
    recipe, labels = context.settings.student, context.labels(regime)
    asked = context.teachers(regime)
    if labels.regime != "soft_kd" or labels.codec:
        asked = ()
    program = context.program(
        native(context.student_network),
        recipe.optimizer,
        recipe.batch_size,
        regime,
        tuple(teacher_network(context, name) for name in asked),
    )
    return dataclasses.replace(program, micro_batch=0)


def outline(
    context: Context, entry: Distill, start: distill.SyntheticSet | None = None
) -> distill.Outline:
    """Returns what is known of a synthetic set's task, with XLA's convolutions.

    Args:
      context: the run.
      entry: of the settings.
      start: the set that was read to start from.
    """
    names, source = distill.METHODS[entry.method].teachers(entry), context.source
    return distill.Outline(
        source.num_classes,
        np.bincount(context.pool.labels, minlength=source.num_classes),
        source.shape,
        {name: teacher_network(context, name) for name in names},
        start,
    )
