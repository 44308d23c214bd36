"""EDC: G-VBSM from good images, which matches classes as well as the whole."""

import dataclasses
from typing import Any

import numpy as np

from ddjax.declare import setting
from ddjax.distill.recover import Batch, Form
from ddjax.distill.recovery import (
    SECTIONS,
    LayerStatistics,
    Recovery,
    check_classes,
    form_of,
    whole_classes,
)
from ddjax.distill.statistics import mixture, statistics_of
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Task


@dataclasses.dataclass(frozen=True)
class Edc(LayerStatistics):
    """Statistics of convolutions, and a loss that is flat around images."""

    flatness: float = setting(
        0.0,
        "Weight of the flatness term, which its paper has and its recipes leave off.",
        "[0, 1e6]",
    )
    flatness_momentum: float = setting(
        0.99, "Of the images' average; ImageNet: 0.9.", "[0, 1)"
    )


def edc(task: Task, entry: Any) -> TargetsOf:
    """EDC: G-VBSM from RDED's images, matched with the pool and with its classes.

    As G-VBSM without its likeness term, and with half of the distance to the statistics
    of the classes of the batch. With `flatness`, the teachers' logits of the images are
    drawn to those of the images' average over iterations.

    Source: "Elucidating the Design Space of Dataset Condensation"; shaoshitong/EDC.
    Deviations: the statistics of classes are those of their images together, where
    theirs leave out what differs between images, and between the classes of a batch,
    and have patches' means and variances exchanged; the start images are neither
    mirrored nor shuffled; and those of `g_vbsm`.
    """
    counts = np.bincount(task.labels, minlength=task.num_classes)
    plain, every = [target_of(teacher) for teacher in task.teachers], []
    for teacher, target in zip(task.teachers, plain, strict=True):
        of_classes = [
            statistics_of(
                teacher.network,
                target.variables,
                task.images[task.labels == label],
                task.mean,
                task.std,
                entry.edc.patch,
            )
            for label in range(task.num_classes)
        ]
        every.append((of_classes, mixture(of_classes, counts) | target.statistics[0]))

    def targets_of(batch, views):
        labels, weights = np.unique(batch.labels, return_counts=True)
        found = []
        for teacher, target, (classes, whole) in zip(
            task.teachers, plain, every, strict=True
        ):
            part = mixture([classes[label] for label in labels], weights)
            statistics = (whole, part)
            found.append((teacher.network, target._replace(statistics=statistics)))
        return tuple(found)

    return targets_of


def _form(entry: Any, batch: Batch) -> Form:
    del batch
    parts = {"patch": entry.edc.patch, "flat": entry.edc.flatness > 0}
    return form_of(entry.recover, rotate=True, smooth=True, **parts)


EDC = Recovery(
    edc,
    "EDC",
    SECTIONS | {"edc": Edc},
    refuses=check_classes,
    costs=lambda outline, entry, ipc: outline.forward(outline.size),
    init="rded",
    through=lambda entry: None,
    batches=whole_classes,
    form=_form,
    numbers=lambda entry: {
        "momentum": entry.edc.momentum,
        "drop_rate": entry.edc.drop_rate,
        "flatness": entry.edc.flatness,
        "flatness_momentum": entry.edc.flatness_momentum,
    },
)
