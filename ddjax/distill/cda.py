"""CDA: SRe2L that looks at whole images first, and at ever smaller parts of them."""

import numpy as np

from ddjax.distill.batches import across_classes
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.recover import Recover


def cda(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """SRe2L with a curriculum on the lowest area of a crop, see `curriculum`.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from instead of noise, as in `sre2l`.

    Returns:
      The image set.

    Raises:
      InputError: `area` is 1, or as `sre2l`.

    Source: Yin and Shen, "Dataset Distillation via Curriculum Data Synthesis in Large
    Data Era", TMLR 2024; VILA-Lab/SRe2L, folder CDA. Deviations as `sre2l`.
    """
    if settings.area >= 1:
        raise InputError(
            f"recover.area: found {settings.area}, allowed for cda is a number below "
            "1, at which its curriculum ends"
        )
    teacher = task.teachers[0]
    looks = (teacher.network,), (look_at(teacher),)
    return synthesise(
        task,
        settings,
        lambda batch, views: looks,
        across_classes(task.num_classes, task.ipc, settings.batch),
        "noise",
        start,
        areas_T=curriculum(settings),
    )


def curriculum(settings: Recover) -> np.ndarray:
    """Returns the lowest area of a crop at each iteration, [T] float64.

    Before iteration `milestone` * T it falls from 1 to `area`, as a cosine or linearly,
    or stays at 1 ("step"); from there on it is `area`.

    Args:
      settings: the method's.
    """
    length = settings.milestone * settings.iterations
    progress_T = np.arange(settings.iterations) / length
    falls = {
        "cosine": (1 + np.cos(np.pi * progress_T)) / 2,
        "linear": 1 - progress_T,
        "step": np.ones_like(progress_T),
    }
    rest_T = np.where(progress_T < 1, falls[settings.curriculum], 0.0)
    return settings.area + (1 - settings.area) * rest_T
