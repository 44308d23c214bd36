"""FADRM and FADRM+: SRe2L++ whose images are merged with their start on the way."""

import dataclasses
from typing import Any

import jax

from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.recover import Batch, Form, Stage
from ddjax.distill.recovery import SECTIONS, Recovery, form_of, sized
from ddjax.distill.synthesis import TargetsOf, target_of
from ddjax.distill.task import Ipcs, Outline, Task
from ddjax.train.programs import variables_of


@dataclasses.dataclass(frozen=True)
class Fadrm:
    """Stages of the descent, and what is merged between them."""

    stages: int = setting(
        4, "Parts of the descent, equally long; images are merged between.", "[1, 1000]"
    )
    keep: float = setting(
        0.5,
        "What images keep when they are merged, alpha; the rest is real.",
        "[0, 1]",
    )
    sizes: tuple[int, ...] = setting(
        (),
        "Side of the images in each stage, px, the last being the data's own; (): that "
        "in all. ImageNet: 200, 224, 200, 224.",
        "[1, 4096]",
        counts="[0, 1000]",
    )


def fadrm(task: Task, entry: Any) -> TargetsOf:
    """FADRM: SRe2L++ whose images are merged with real ones; several teachers: FADRM+.

    The descent has `stages`. After each but the last, X becomes keep * X + (1 - keep) *
    P, both resized to the next stage's size, P being what X started from: patches of
    medium difficulty. Then Adam begins anew; its rate is one cosine over all stages.
    Of several teachers one counts in each iteration, in turns: FADRM+.

    Source: "FADRM: Fast and Accurate Data Residual Matching for Dataset Distillation",
    NeurIPS 2025; Jiacheng8/FADRM, recover/recover.py. Deviations: it computes in half
    precision; it reads P as images that are made elsewhere, here they are RDED's, see
    `sre2lpp`; and the deviations of `sre2l`.
    """
    del entry
    pairs = tuple((teacher.network, target_of(teacher)) for teacher in task.teachers)
    return lambda batch, views: pairs


def stages_of(entry: Any, batch: Batch) -> tuple[Stage, ...]:
    """Returns the stages of a batch."""
    options, iterations = entry.fadrm, entry.recover.iterations
    return tuple(
        Stage(
            iterations * (index + 1) // options.stages,
            len(batch.slots),
            options.sizes[index] if options.sizes else 0,
            options.keep if index else None,
        )
        for index in range(options.stages)
    )


def _form(entry: Any, batch: Batch) -> Form:
    del batch
    return form_of(entry.recover, rotate=True)


def _refuse(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    del ipcs
    options, iterations = entry.fadrm, entry.recover.iterations
    allowed = "what has real images, which are merged: random, median, rded or a path"
    init = entry.recover.init
    require(init != "noise", join(key, "recover.init"), init, allowed)
    allowed, place = f"at most the {iterations} iterations", join(key, "fadrm.stages")
    require(options.stages <= iterations, place, options.stages, allowed)
    sizes, place = options.sizes, join(key, "fadrm.sizes")
    height, width, _ = outline.image_shape
    allowed = f"() or a side for each of {options.stages} stages, the last being "
    allowed += f"{height}, the data's own"
    fits = len(sizes) == options.stages and sizes[-1] == height == width
    require(not sizes or fits, place, sizes, allowed)
    for name, network in outline.teachers.items():
        whole = jax.tree.map(lambda a: a.shape, variables_of(network))
        for side in set(sizes) - {height}:
            other = jax.tree.map(lambda a: a.shape, variables_of(sized(network, side)))
            allowed = f"only {height}, since {name!r} takes images of one size alone"
            require(other == whole, place, sizes, allowed)


FADRM = Recovery(
    fadrm,
    "FADRM",
    SECTIONS | {"fadrm": Fadrm},
    refuses=_refuse,
    init="rded",
    through=lambda entry: None,
    form=_form,
    stages=stages_of,
)
