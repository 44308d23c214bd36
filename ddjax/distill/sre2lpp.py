"""SRe2L++ and, with a committee of teachers, CV-DD: SRe2L from patches of images."""

import jax
import numpy as np

from ddjax.distill.synthesis import across_classes, look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.recover import Recover


def sre2lpp(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """SRe2L that starts from patches, through one teacher or through all.

    The loss is sum_m w_m (CE_m + bn_weight * distance of the statistics_m) over the
    teachers, w = softmax(prior / 5): a teacher that makes better images counts more.

    Args:
      task: what is distilled, through all of its teachers.
      settings: how.
      start: images to start from, which `init` = "", rded, asks for. The method's are
        RDED's, of medium difficulty.

    Returns:
      The image set.

    Raises:
      InputError: there are priors, but not one a teacher; no images to start from; or
        as `sre2l`.

    Source: section 1.5 of the methods' facts; Jiacheng8/CV-DD. Deviations: CV-DD draws
    two of five teachers for each image index at 50 images a class and takes fixed ones
    at 10, here all are used; priors of one teacher a dataset are settings, none by
    default; and those of SRe2L.
    """
    teachers = task.teachers
    if len(settings.prior) not in (0, len(teachers)):
        raise InputError(
            f"recover.prior: found {settings.prior!r}, allowed is nothing or one "
            f"accuracy for each of {len(teachers)} teachers"
        )
    prior = np.array(settings.prior or [0.0] * len(teachers), np.float32)
    weights = np.asarray(jax.nn.softmax(prior / 5))
    looks = tuple(map(look_at, teachers, weights))
    return synthesise(
        task,
        settings,
        tuple(teacher.network for teacher in teachers),
        lambda batch, views: looks,
        across_classes(task, settings.batch),
        "rded",
        start,
    )
