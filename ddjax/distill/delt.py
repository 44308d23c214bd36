"""DELT: CDA from images of medium difficulty, some of which join late."""

import dataclasses
from typing import Any

import numpy as np

from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.recover import Batch, Stage
from ddjax.distill.recovery import SECTIONS, Recovery, whole_classes
from ddjax.distill.sre2l import Cda, curriculum, refuse_whole_images, sre2l
from ddjax.distill.synthesis import TargetsOf
from ddjax.distill.task import Ipcs, Outline, Task


@dataclasses.dataclass(frozen=True)
class Delt:
    """When images join the descent."""

    rounds: int = setting(
        8,
        "Parts of the descent, equally long. A class's images are as many groups, of "
        "which one joins at the beginning of each.",
        "[1, 1000]",
    )


def delt(task: Task, entry: Any) -> TargetsOf:
    """DELT: CDA that optimises images of a class for shorter and shorter times.

    A batch holds all images of some classes. Each class's images are divided into
    `rounds` groups, the first of them larger by one where they do not divide evenly. In
    the first round the first group alone is optimised, in every other one more group
    joins: with r rounds of T iterations the last group has T / r of them. Statistics
    are those of the images that take part. The rate, the crops' curriculum (see
    `cda`) and the count of Adam's corrections go over all T iterations. Images start
    from real ones of median difficulty, see `patches.median_images`.

    With fewer images a class than rounds, groups have one image or none; with one, this
    is CDA.

    Source: Shen et al., "DELT: A Simple Diversity-driven EarlyLate Training for Dataset
    Distillation", CVPR 2025; VILA-Lab/DELT, recover/recover.py and data_selection.py.
    Deviations: its batch is the next 100 images, which may divide a class, and leaves
    out rounds in which none of them is optimised; here a class is in one batch where it
    fits, and if not, each part of it has all rounds. Its rounds have a given length,
    here their number is given. Its option of another rate in each round has no effect
    in its code and is left out. And the deviations of `sre2l`.
    """
    return sre2l(task, entry)


def by_index(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of whole classes, the first image of each class first.

    So the images of the first groups are the first of a batch; see `whole_classes`.
    """
    batches = []
    for slots, labels in whole_classes(num_classes, ipc, size):
        shape = len(np.unique(labels)), -1
        columns = (a.reshape(shape).T.reshape(-1) for a in (slots, labels))
        batches.append(Batch(*columns))
    return batches


def rounds_of(entry: Any, batch: Batch) -> tuple[Stage, ...]:
    """Returns the rounds of a batch of `by_index`, those without a new image as one."""
    rounds, iterations = entry.delt.rounds, entry.recover.iterations
    classes = len(np.unique(batch.labels))
    groups = np.array_split(np.arange(len(batch.slots) // classes), rounds)
    joined = np.cumsum([len(group) for group in groups]) * classes
    stops = iterations * np.arange(1, rounds + 1) // rounds
    last = dict(zip(joined.tolist(), stops.tolist(), strict=True))
    return tuple(Stage(stop, rows) for rows, stop in last.items())


def _refuse_short_rounds(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    refuse_whole_images(outline, entry, key, ipcs)
    rounds, iterations = entry.delt.rounds, entry.recover.iterations
    allowed = f"at most the {iterations} iterations"
    require(rounds <= iterations, join(key, "delt.rounds"), rounds, allowed)


DELT = Recovery(
    delt,
    "DELT",
    SECTIONS | {"cda": Cda, "delt": Delt},
    refuses=_refuse_short_rounds,
    init="median",
    batches=by_index,
    stages=rounds_of,
    numbers=lambda entry: {"areas": curriculum(entry)},
)
