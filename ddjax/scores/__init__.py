"""How hard or uncertain each training example is.

Every score is [N] float32 where higher means harder or more uncertain. `SCORES` maps
names to those that are functions of a `Trace`; `grand` and `LastLayer.norms` look at
gradients, `prototypes` at features.
"""

from ddjax.scores.aum import aum
from ddjax.scores.cad import cad
from ddjax.scores.dual import dual
from ddjax.scores.dyn_unc import dyn_unc
from ddjax.scores.el2n import el2n
from ddjax.scores.el2n_sl import el2n_sl
from ddjax.scores.entropy import entropy
from ddjax.scores.forgetting import forgetting
from ddjax.scores.grand import grand
from ddjax.scores.last_layer import LastLayer
from ddjax.scores.least_confidence import least_confidence
from ddjax.scores.margin import margin
from ddjax.scores.prototypes import prototypes
from ddjax.scores.runs import mean_over_runs
from ddjax.scores.tdds import tdds
from ddjax.scores.trace import Trace, snapshot, step_kl

SCORES = {
    "el2n": el2n,
    "el2n_sl": el2n_sl,
    "forgetting": forgetting,
    "aum": aum,
    "entropy": entropy,
    "least_confidence": least_confidence,
    "margin": margin,
    "dyn_unc": dyn_unc,
    "tdds": tdds,
    "dual": dual,
    "cad": cad,
}

__all__ = [
    "SCORES",
    "LastLayer",
    "Trace",
    "aum",
    "cad",
    "dual",
    "dyn_unc",
    "el2n",
    "el2n_sl",
    "entropy",
    "forgetting",
    "grand",
    "least_confidence",
    "margin",
    "mean_over_runs",
    "prototypes",
    "snapshot",
    "step_kl",
    "tdds",
]


def __dir__() -> list[str]:
    return __all__
