"""CV-DD: SRe2L++ through a committee of teachers."""

import jax
import numpy as np

from ddjax.distill.batches import across_classes
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.recover import Recover

_DRAW = 1  # a stream of random numbers beside those of `synthesise`


def cv_dd(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """SRe2L++ whose images please several teachers at once.

    The loss is sum_m w_m (CE_m + bn_weight * distance of the statistics_m) over
    `drawn` of the teachers, others for each image index, w = softmax(prior / 5): a
    teacher that makes better images alone counts more.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from, as in `sre2lpp`.

    Returns:
      The image set.

    Raises:
      InputError: there are fewer teachers than `drawn`; there are priors, but not one a
        teacher; or as `sre2lpp`.

    Source: Cui et al., "Dataset Distillation via Committee Voting", arXiv 2501.07575;
    Jiacheng8/CV-DD, recover/recover.py. Deviations: two of its five teachers are drawn
    at 50 images a class; at 10 each image index has another one of the ten pairs, in a
    fixed order; at 1 it takes a fixed pair of each data set. Here `drawn` of them are
    drawn at any number. The priors of its data sets are settings, none by default; and
    the deviations of `sre2l`.
    """
    teachers = task.teachers
    if settings.drawn > len(teachers):
        raise InputError(
            f"recover.drawn: found {settings.drawn}, allowed is at most the "
            f"{len(teachers)} teachers, or 0 for all of them"
        )
    if len(settings.prior) not in (0, len(teachers)):
        raise InputError(
            f"recover.prior: found {settings.prior!r}, allowed is nothing or one "
            f"accuracy for each of {len(teachers)} teachers"
        )
    prior = np.array(settings.prior or [0.0] * len(teachers), np.float32)
    plain = [look_at(teacher) for teacher in teachers]
    key = jax.random.fold_in(task.key, _DRAW)

    def looks(batch, views):
        index = int(batch.slots[0]) % task.ipc
        order = jax.random.permutation(jax.random.fold_in(key, index), len(teachers))
        members = sorted(np.asarray(order)[: settings.drawn or None].tolist())
        weights = np.asarray(jax.nn.softmax(prior[members] / 5))
        return tuple(teachers[member].network for member in members), tuple(
            plain[member]._replace(weight=weight)
            for member, weight in zip(members, weights, strict=True)
        )

    batches = across_classes(task.num_classes, task.ipc, settings.batch)
    return synthesise(task, settings, looks, batches, "rded", start)
