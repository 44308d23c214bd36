"""Losses of one example each, `[..., C] -> [...]`, to be averaged by the caller.

Sums run in float32 (float64 for float64 inputs) whatever the inputs' dtype, and the
teacher's side never receives a gradient. A distillation loss is the distillation part
only: where a recipe adds a cross-entropy with the labels, the caller adds it.

`LOSSES` maps the names of `labels.NAME.loss` to the losses that match a teacher.

Letters: B batch, C classes; `...` any leading dimensions.
"""

from ddjax.losses.crld import CRLD, crld
from ddjax.losses.cross_entropy import cross_entropy
from ddjax.losses.dist import DIST, dist
from ddjax.losses.dkd import DKD, dkd
from ddjax.losses.kl_divergence import KL, kl_divergence
from ddjax.losses.loss import Loss
from ddjax.losses.lskd import LSKD, lskd
from ddjax.losses.mse_gt import MSE_GT, mse_gt
from ddjax.losses.nkd import NKD, nkd

LOSSES = {
    "kl": KL,
    "mse_gt": MSE_GT,
    "dkd": DKD,
    "nkd": NKD,
    "lskd": LSKD,
    "dist": DIST,
    "crld": CRLD,
}

__all__ = [
    "LOSSES",
    "Loss",
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
