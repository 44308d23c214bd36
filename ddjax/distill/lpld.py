"""LPLD: SRe2L class by class, matched with the statistics of the class."""

import dataclasses
import functools

import numpy as np

from ddjax.distill.batches import within_classes
from ddjax.distill.statistics import CHUNK, looking_cost, statistics_of
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.recover import Recover


def lpld(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """Recovers all images of a class together, which makes them differ.

    As SRe2L, but a batch holds all images of one class, in parts of up to `batch`, and
    its statistics are matched with those of the real images of the class.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from instead of noise, as in `sre2l`.

    Returns:
      The image set.

    Raises:
      InputError: a class has no image in the pool, or as `sre2l`.

    Source: Xiao and He, "Are Large-scale Soft Labels Necessary for Large-scale Dataset
    Distillation?", arXiv 2410.15919; he-y/soft-label-pruning-for-dataset-distillation.
    Deviations: statistics of a class are exact over all its images, see
    `statistics_of`; and those of `sre2l`.
    """
    teacher = task.teachers[0]
    plain = look_at(teacher)
    counts = np.bincount(task.labels, minlength=task.num_classes)
    if counts.min() < 1:
        raise InputError(
            f"images: found none of class {counts.argmin()}, allowed for lpld is at "
            "least one a class, whose statistics are matched"
        )
    chunk = min(CHUNK, int(counts.max()))

    @functools.lru_cache(maxsize=1)  # a class may have several batches
    def look_of(label):
        statistics = statistics_of(
            teacher.network,
            plain.variables,
            task.images[task.labels == label],
            task.mean,
            task.std,
            chunk=chunk,
        )
        return plain._replace(statistics=(statistics,))

    made = synthesise(
        task,
        settings,
        lambda batch, views: ((teacher.network,), (look_of(int(batch.labels[0])),)),
        within_classes(task.num_classes, task.ipc, settings.batch),
        "noise",
        start,
    )
    looked = looking_cost(teacher.network, plain.variables, len(task.labels))
    return dataclasses.replace(made, cost=made.cost + looked)
