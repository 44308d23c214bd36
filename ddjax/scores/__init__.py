"""How hard or uncertain each training example is, as functions of a trace.

Every score maps a `Trace` to [N] float32 where higher means harder or more
uncertain. `SCORES` maps the names used elsewhere to the functions.
"""

from ddjax.scores.aum import aum
from ddjax.scores.cad import cad
from ddjax.scores.el2n import el2n
from ddjax.scores.forgetting import forgetting
from ddjax.scores.trace import Trace, snapshot

SCORES = {"el2n": el2n, "forgetting": forgetting, "aum": aum, "cad": cad}

__all__ = ["SCORES", "Trace", "aum", "cad", "el2n", "forgetting", "snapshot"]
