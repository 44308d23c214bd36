"""How hard or uncertain each training example is.

Every score is [N] float32 where higher means harder or more uncertain. `SCORES` maps
the names that selections and configs use to what the scores declare of themselves.
"""

from collections.abc import Iterable
from typing import Any

from ddjax.scores.el2n import EL2N, EL2N_SL, el2n, el2n_sl
from ddjax.scores.features import PROTOTYPES, prototypes
from ddjax.scores.fluctuation import (
    CAD,
    CAD_EL2N,
    CAD_TRUE_PROB,
    DUAL,
    DYN_UNC,
    TDDS,
    cad,
    dual,
    dyn_unc,
    tdds,
)
from ddjax.scores.gradients import GRAND, GRAND_LAST_LAYER, LastLayer, grand
from ddjax.scores.learning import AUM, FORGETTING, aum, forgetting
from ddjax.scores.score import (
    REQUIREMENTS,
    SNAPSHOTS,
    Inputs,
    Score,
    mean_over_runs,
    options_of,
)
from ddjax.scores.trace import Trace, snapshot, step_kl
from ddjax.scores.uncertainty import (
    ENTROPY,
    LEAST_CONFIDENCE,
    MARGIN,
    entropy,
    least_confidence,
    margin,
)

SCORES = {
    "el2n": EL2N,
    "el2n_sl": EL2N_SL,
    "forgetting": FORGETTING,
    "aum": AUM,
    "entropy": ENTROPY,
    "least_confidence": LEAST_CONFIDENCE,
    "margin": MARGIN,
    "dyn_unc": DYN_UNC,
    "tdds": TDDS,
    "dual": DUAL,
    "cad": CAD,
    "cad_true_prob": CAD_TRUE_PROB,
    "cad_el2n": CAD_EL2N,
    "grand": GRAND,
    "grand_last_layer": GRAND_LAST_LAYER,
    "prototypes": PROTOTYPES,
}

__all__ = [
    "REQUIREMENTS",
    "SCORES",
    "Inputs",
    "LastLayer",
    "Score",
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
    "options_of",
    "prototypes",
    "snapshot",
    "snapshots_needed",
    "step_kl",
    "tdds",
]


def snapshots_needed(names: Iterable[str], options: Iterable[Any] = ()) -> int:
    """Returns how many snapshots the traces of some scores should have.

    Args:
      names: of the scores, in `SCORES`.
      options: of scores, as of `Inputs`.
    """
    scores = [SCORES[name] for name in names]
    given = [score.options and options_of(options, score.options) for score in scores]
    needed = (score.snapshots(each) for score, each in zip(scores, given, strict=True))
    return max(needed, default=SNAPSHOTS)


def __dir__() -> list[str]:
    return __all__
