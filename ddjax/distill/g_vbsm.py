"""G-VBSM: statistics of many layers of several teachers that take turns."""

import dataclasses
import time

import numpy as np

from ddjax.artifacts import Cost
from ddjax.distill.batches import whole_classes
from ddjax.distill.recover import Batch, Form, form_of
from ddjax.distill.statistics import looking_cost, statistics_of
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.settings.recover import Recover


def g_vbsm(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """Matches what enters batch norms and convolutions, one teacher an iteration.

    A batch holds all images of some classes. Batch norms are matched with their running
    statistics, convolutions with those of the pool, of channels and of patches, see
    `matching`. What is measured is averaged over iterations, and images of a class
    are kept from being alike, see `likeness`.

    Args:
      task: what is distilled, through all of its teachers in turns.
      settings: how.
      start: images to start from instead of noise, as in `sre2l`.

    Returns:
      The image set.

    Raises:
      InputError: as `sre2l`.

    Source: arXiv 2311.17950; shaoshitong/G_VBSM_Dataset_Condensation. Deviations: the
    average of statistics starts from the first ones of each batch, where theirs starts
    from 0 and goes on from one batch to the next, as do the turns of the teachers; the
    pool is measured as it is, not in augmented views; a class is in one batch where it
    fits; on small images theirs are shifted with a border of zeros, mirrored and rolled
    and not cropped, here `area`, `flip` and `jitter` say; and those of `sre2l`.
    """
    began, looks = time.perf_counter(), []
    for teacher in task.teachers:
        look = look_at(teacher)
        measured = statistics_of(
            teacher.network,
            look.variables,
            task.images,
            task.mean,
            task.std,
            settings.patch,
        )
        looks.append(look._replace(statistics=(measured | look.statistics[0],)))
    spent = Cost(seconds=time.perf_counter() - began)
    networks = tuple(teacher.network for teacher in task.teachers)
    made = synthesise(
        task,
        settings,
        lambda batch, views: (networks, tuple(looks)),
        whole_classes(task.num_classes, task.ipc, settings.batch),
        "noise",
        start,
        lambda batch: form(settings, batch),
    )
    for teacher in task.teachers:
        spent += looking_cost(teacher.network, teacher.variables, len(task.labels))
    return dataclasses.replace(made, cost=made.cost + spent)


def form(settings: Recover, batch: Batch) -> Form:
    """Returns what the synthesis of a batch of whole classes does."""
    classes = len(np.unique(batch.labels)) if settings.likeness else 0
    return form_of(
        settings, patch=settings.patch, rotate=True, smooth=True, classes=classes
    )
