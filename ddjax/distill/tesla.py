"""TESLA: trajectory matching at the memory of one step of the student."""

import dataclasses

from ddjax.declare import setting
from ddjax.distill import mtt
from ddjax.distill.match.options import again
from ddjax.train.unroll import unroll_by_adjoint


@dataclasses.dataclass(frozen=True)
class Tesla(mtt.Unrolled):
    """Trajectory matching at constant memory."""

    iterations: int = again("iterations", 10_000)
    gradient: str = setting(
        "exact",
        "exact: of trajectory matching, as in MTT. released: that of the authors' "
        "code, which takes the student's earlier weights for constants.",
        ("exact", "released"),
    )


class TeslaStep(mtt.MttStep):
    """TESLA: trajectory matching at the memory of one step of the student.

    What is descended is MTT's loss. Its gradient is put together step by step from the
    last to the first, so that memory holds one step of the student at a time. The
    authors' code leaves out how a step changes what later steps do, a product of
    Hessians: that is another gradient, of another length and direction, and the setting
    `gradient` takes it.

    Source: Cui et al., "Scaling Up Dataset Distillation to ImageNet-1K with Constant
    Memory", arXiv 2211.10586; justincui03/tesla, distill.py. Deviations: those of MTT;
    the released gradient of images has the factor 2 that their code means to give it
    and does not; labels are hard, where theirs may be an expert's predictions.
    """

    def trained(self, loss, params, learned, rate, steps):
        exact = self.options.gradient == "exact"
        return unroll_by_adjoint(loss, params, learned, rate, steps, exact)


TESLA = mtt.method(TeslaStep, "TESLA", "tesla", Tesla, measures=True)
