"""CV-DD: SRe2L++ through an ensemble of teachers."""

import dataclasses
from typing import Any

import jax
import numpy as np

from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.recovery import SECTIONS, Recovery
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Ipcs, Outline, Task

_DRAW = 1  # a stream of random numbers beside those of the descent


@dataclasses.dataclass(frozen=True)
class CvDd:
    """Which teachers count, and how much."""

    prior: tuple[float, ...] = setting(
        (),
        "For each teacher, the accuracy in percent of students of the images that it "
        "gave alone; (): all count the same.",
        "[0, 100]",
    )
    drawn: int = setting(
        2, "Teachers that are drawn for each image index; 0: all.", "[0, 1000]"
    )


def cv_dd(task: Task, entry: Any) -> TargetsOf:
    """CV-DD: SRe2L++ through an ensemble of teachers at once.

    The loss is sum_m w_m (CE_m + bn_weight * distance of the statistics_m) over
    `drawn` of the teachers, others for each image index, w = softmax(prior / 5): a
    teacher that gives better images alone counts more.

    Source: Cui et al., "Dataset Distillation via Committee Voting", arXiv 2501.07575;
    Jiacheng8/CV-DD, recover/recover.py. Deviations: two of its five teachers are drawn
    at 50 images a class; at 10 each image index has another one of the ten pairs, in a
    fixed order; at 1 it takes a fixed pair of each data set. Here `drawn` of them are
    drawn at any number. The priors of its data sets are settings, none by default; and
    the deviations of `sre2l`.
    """
    teachers, options = task.teachers, entry.cv_dd
    prior = np.array(options.prior or [0.0] * len(teachers), np.float32)
    plain = [target_of(teacher) for teacher in teachers]
    key = jax.random.fold_in(task.key, _DRAW)

    def targets_of(batch, views):
        index = int(batch.slots[0]) % task.ipc
        order = jax.random.permutation(jax.random.fold_in(key, index), len(teachers))
        members = sorted(np.asarray(order)[: options.drawn or None].tolist())
        weights = np.asarray(jax.nn.softmax(prior[members] / 5))
        return tuple(
            (teachers[member].network, plain[member]._replace(weight=weight))
            for member, weight in zip(members, weights, strict=True)
        )

    return targets_of


def _refuse_other_teachers(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    del ipcs
    count, options = len(outline.teachers), entry.cv_dd
    allowed = f"() or one accuracy for each of {count} teachers"
    fits = len(options.prior) in (0, count)
    require(fits, join(key, "cv_dd.prior"), options.prior, allowed)
    allowed = f"at most the {count} teachers, or 0 for all of them"
    require(options.drawn <= count, join(key, "cv_dd.drawn"), options.drawn, allowed)


CV_DD = Recovery(
    cv_dd,
    "CV-DD",
    SECTIONS | {"cv_dd": CvDd},
    refuses=_refuse_other_teachers,
    init="rded",
    through=lambda entry: entry.cv_dd.drawn or None,
)
