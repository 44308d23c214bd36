"""How hard or uncertain each training example is, as functions of a trace.

Every score maps a `Trace` to [N] float32 where higher means harder or more
uncertain. `SCORES` maps the names used elsewhere to the functions.
"""

from ddjax.scores.aum import aum
from ddjax.scores.cad import cad
from ddjax.scores.dual import dual
from ddjax.scores.dyn_unc import dyn_unc
from ddjax.scores.el2n import el2n
from ddjax.scores.entropy import entropy
from ddjax.scores.forgetting import forgetting
from ddjax.scores.trace import Trace, snapshot

SCORES = {
    "el2n": el2n,
    "forgetting": forgetting,
    "aum": aum,
    "entropy": entropy,
    "dyn_unc": dyn_unc,
    "dual": dual,
    "cad": cad,
}

__all__ = ["SCORES", "Trace", "snapshot", *SCORES]
