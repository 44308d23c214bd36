"""EDC: G-VBSM from good images, which matches classes as well as the whole."""

import dataclasses
import time

import numpy as np

from ddjax.artifacts import Cost
from ddjax.distill.batches import whole_classes
from ddjax.distill.recover import Batch, Form, form_of
from ddjax.distill.statistics import looking_cost, mixture, statistics_of
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.recover import Recover


def edc(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """Matches what enters the layers with the pool's and with the classes' statistics.

    As G-VBSM without its likeness term, and with half of the distance to the statistics
    of the classes of the batch. With `flatness`, the teachers should also think of the
    images what they think of the images' average over iterations.

    Args:
      task: what is distilled, through all of its teachers in turns.
      settings: how.
      start: images to start from, which `init` = "", rded, asks for.

    Returns:
      The image set.

    Raises:
      InputError: a class has no image in the pool, there are no images to start from,
        or as `sre2l`.

    Source: "Elucidating the Design Space of Dataset Condensation"; shaoshitong/EDC.
    Deviations: the statistics of classes are those of their images together, where
    theirs leave out what differs between images, and between the classes of a batch,
    and have patches' means and variances exchanged; the start images are neither
    mirrored nor shuffled; and those of `g_vbsm`.
    """
    counts = np.bincount(task.labels, minlength=task.num_classes)
    if counts.min() < 1:
        raise InputError(
            f"images: found none of class {counts.argmin()}, allowed for edc is at "
            "least one a class, whose statistics are matched"
        )
    began = time.perf_counter()
    plain, every = [look_at(teacher) for teacher in task.teachers], []
    for teacher, look in zip(task.teachers, plain, strict=True):
        of_classes = [
            statistics_of(
                teacher.network,
                look.variables,
                task.images[task.labels == label],
                task.mean,
                task.std,
                settings.patch,
            )
            for label in range(task.num_classes)
        ]
        every.append((of_classes, mixture(of_classes, counts) | look.statistics[0]))

    spent = Cost(seconds=time.perf_counter() - began)

    def looks(batch, views):
        labels, weights = np.unique(batch.labels, return_counts=True)
        return networks, tuple(
            look._replace(
                statistics=(
                    whole,
                    mixture([of_classes[label] for label in labels], weights),
                )
            )
            for look, (of_classes, whole) in zip(plain, every, strict=True)
        )

    networks = tuple(teacher.network for teacher in task.teachers)
    made = synthesise(
        task,
        settings,
        looks,
        whole_classes(task.num_classes, task.ipc, settings.batch),
        "rded",
        start,
        lambda batch: form(settings, batch),
    )
    for teacher in task.teachers:
        spent += looking_cost(teacher.network, teacher.variables, len(task.labels))
    return dataclasses.replace(made, cost=made.cost + spent)


def form(settings: Recover, batch: Batch) -> Form:
    """Returns what the synthesis of a batch does, whatever the batch."""
    del batch
    flat = settings.flatness > 0
    return form_of(settings, patch=settings.patch, rotate=True, smooth=True, flat=flat)
