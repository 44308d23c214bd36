"""Losses of one example each, `[..., C] -> [...]`, to be averaged by the caller.

Sums run in float32 (float64 for float64 inputs) whatever the inputs' dtype, and the
teacher's side never receives a gradient. A distillation loss is the distillation part
only: where a recipe adds a cross-entropy with the labels, the caller adds it.

Letters: B batch, C classes; `...` any leading dimensions.
"""

from ddjax.losses.crld import crld
from ddjax.losses.cross_entropy import cross_entropy
from ddjax.losses.dist import dist
from ddjax.losses.dkd import dkd
from ddjax.losses.kl_divergence import kl_divergence
from ddjax.losses.lskd import lskd
from ddjax.losses.mse_gt import mse_gt
from ddjax.losses.nkd import nkd

__all__ = [
    "crld",
    "cross_entropy",
    "dist",
    "dkd",
    "kl_divergence",
    "lskd",
    "mse_gt",
    "nkd",
]


def __dir__() -> list[str]:
    return __all__
