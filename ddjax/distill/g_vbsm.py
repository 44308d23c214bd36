"""G-VBSM: statistics of many layers of several teachers that take turns."""

import dataclasses
from typing import Any

import numpy as np

from ddjax.declare import setting
from ddjax.distill.recover import Batch, Form
from ddjax.distill.recovery import (
    SECTIONS,
    LayerStatistics,
    Recovery,
    form_of,
    whole_classes,
)
from ddjax.distill.statistics import statistics_of
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Task


@dataclasses.dataclass(frozen=True)
class GVbsm(LayerStatistics):
    """Statistics of convolutions, and the likeness of a class's images."""

    likeness: float = setting(
        1.0, "Weight of the likeness of a class's images.", "[0, 1e6]"
    )


def g_vbsm(task: Task, entry: Any) -> TargetsOf:
    """G-VBSM: statistics of many layers of several teachers, one in each iteration.

    A batch holds all images of some classes. Batch norms are matched with their running
    statistics, convolutions with those of the pool, of channels and of patches, see
    `moments_with_patches`. What is measured is averaged over iterations, and images of
    a class are kept from being alike, see `likeness`.

    Source: arXiv 2311.17950; shaoshitong/G_VBSM_Dataset_Condensation. Deviations: the
    average of statistics starts from the first ones of each batch, where theirs starts
    from 0 and goes on from one batch to the next, as do the turns of the teachers; the
    pool is measured as it is, not augmented; a class is in one batch where it fits; on
    small images theirs are shifted with a border of zeros, mirrored and rolled and not
    cropped, here `area`, `flip` and `jitter` decide; and those of `sre2l`.
    """
    pool, patch = (task.images, task.mean, task.std), entry.g_vbsm.patch

    def pair_of(teacher):
        plain = target_of(teacher)
        measured = statistics_of(teacher.network, plain.variables, *pool, patch)
        both = measured | plain.statistics[0]
        return teacher.network, plain._replace(statistics=(both,))

    pairs = tuple(map(pair_of, task.teachers))
    return lambda batch, views: pairs


def _form(entry: Any, batch: Batch) -> Form:
    options = entry.g_vbsm
    classes = len(np.unique(batch.labels)) if options.likeness else 0
    parts = {"patch": options.patch, "classes": classes}
    return form_of(entry.recover, rotate=True, smooth=True, **parts)


G_VBSM = Recovery(
    g_vbsm,
    "G-VBSM",
    SECTIONS | {"g_vbsm": GVbsm},
    costs=lambda outline, entry, ipc: outline.forward(outline.size),
    through=lambda entry: None,
    batches=whole_classes,
    form=_form,
    numbers=lambda entry: {
        "momentum": entry.g_vbsm.momentum,
        "drop_rate": entry.g_vbsm.drop_rate,
        "likeness": entry.g_vbsm.likeness,
    },
)
