"""LPLD: SRe2L class by class, matched with the statistics of the class."""

import functools
from typing import Any

import numpy as np

from ddjax.distill.recovery import SECTIONS, Recovery, check_classes, within_classes
from ddjax.distill.statistics import CHUNK, statistics_of
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Task


def lpld(task: Task, entry: Any) -> TargetsOf:
    """LPLD: SRe2L class by class, so that images of a class differ.

    A batch holds all images of one class, in parts of up to `batch`, and its statistics
    are matched with those of the real images of the class.

    Source: Xiao and He, "Are Large-scale Soft Labels Necessary for Large-scale Dataset
    Distillation?", arXiv 2410.15919; he-y/soft-label-pruning-for-dataset-distillation.
    Deviations: statistics of a class are exact over all its images, see
    `statistics_of`; and those of `sre2l`.
    """
    del entry
    network, plain = task.teachers[0].network, target_of(task.teachers[0])
    chunk = min(CHUNK, int(np.bincount(task.labels).max()))

    @functools.lru_cache(maxsize=1)  # a class may have several batches
    def target_of_class(label):
        images = task.images[task.labels == label]
        numbers = task.mean, task.std
        statistics = statistics_of(
            network, plain.variables, images, *numbers, chunk=chunk
        )
        return plain._replace(statistics=(statistics,))

    return lambda batch, views: ((network, target_of_class(int(batch.labels[0]))),)


LPLD = Recovery(
    lpld,
    "LPLD",
    SECTIONS,
    refuses=check_classes,
    costs=lambda outline, entry, ipc: outline.forward(outline.size, 1),
    batches=within_classes,
)
