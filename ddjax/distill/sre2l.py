"""SRe2L, and its variants SRe2L++ and CDA."""

import dataclasses
from typing import Any

import numpy as np

from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.recovery import SECTIONS, Recovery
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Ipcs, Outline, Task


def sre2l(task: Task, entry: Any) -> TargetsOf:
    """SRe2L: images whose statistics are those of a whole training set, from noise on.

    A batch holds one image of each of up to `batch` classes. Its loss is the first
    teacher's cross-entropy plus `bn_weight` times the distance of its statistics from
    the running ones, see `statistics_distance`. No real image is read.

    Source: Yin, Xing and Shen, "Squeeze, Recover and Relabel", arXiv 2306.13092;
    VILA-Lab/SRe2L. Deviations: each image is augmented by its own draw; a last block of
    classes is not smaller than the others by more than one; total variation and the L2
    penalty, which its scripts for ImageNet have and its recipes set to zero, are left
    out; pixels are rounded, not cut off and compressed as JPEG.
    """
    del entry
    pair = task.teachers[0].network, target_of(task.teachers[0])
    return lambda batch, views: (pair,)


def sre2lpp(task: Task, entry: Any) -> TargetsOf:
    """SRe2L++: SRe2L from patches of real images.

    They are RDED's, the method's of medium difficulty: `patches.start` = 0.5.

    Source: Cui et al., "Dataset Distillation via Committee Voting", arXiv 2501.07575,
    its baseline; Jiacheng8/CV-DD, recover/recover.py. Deviations as `sre2l`.
    """
    return sre2l(task, entry)


@dataclasses.dataclass(frozen=True)
class Cda:
    """How the lowest area of a crop falls to `recover.area`."""

    curriculum: str = setting(
        "cosine", "How the lowest area falls from 1.", ("cosine", "linear", "step")
    )
    milestone: float = setting(
        1.0, "The fraction of the iterations in which it does.", "(0, 1]"
    )


def cda(task: Task, entry: Any) -> TargetsOf:
    """CDA: SRe2L that crops whole images first, and ever smaller parts of them.

    See `curriculum`.

    Source: Yin and Shen, "Dataset Distillation via Curriculum Data Synthesis in Large
    Data Era", TMLR 2024; VILA-Lab/SRe2L, folder CDA. Deviations as `sre2l`.
    """
    return sre2l(task, entry)


def curriculum(entry: Any) -> np.ndarray:
    """Returns CDA's lowest area of a crop at each iteration, [T] float64.

    Before iteration `milestone` * T it falls from 1 to `area`, as a cosine or linearly,
    or stays at 1 ("step"); from there on it is `area`.
    """
    iterations, area = entry.recover.iterations, entry.recover.area
    progress_T = np.arange(iterations) / (entry.cda.milestone * iterations)
    falls = {
        "cosine": (1 + np.cos(np.pi * progress_T)) / 2,
        "linear": 1 - progress_T,
        "step": np.ones_like(progress_T),
    }
    rest_T = np.where(progress_T < 1, falls[entry.cda.curriculum], 0.0)
    return area + (1 - area) * rest_T


def refuse_whole_images(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    """Refuses a curriculum that ends at whole images."""
    del outline, ipcs
    area, allowed = entry.recover.area, "a number below 1, at which the curriculum ends"
    require(area < 1, join(key, "recover.area"), area, allowed)


SRE2L = Recovery(sre2l, "SRe2L", SECTIONS)
SRE2LPP = Recovery(sre2lpp, "SRe2L++", SECTIONS, init="rded")
CDA = Recovery(
    cda,
    "CDA",
    SECTIONS | {"cda": Cda},
    refuses=refuse_whole_images,
    numbers=lambda entry: {"areas": curriculum(entry)},
)
