"""AUM: the area under the margin, with its sign turned."""

import numpy as np

from ddjax.scores.trace import Trace


def aum(trace: Trace) -> np.ndarray:
    """The mean margin over all snapshots, negated; higher is harder.

    Args:
      trace: a trace with `margin` (of logits, not of probabilities), S snapshots of N
        examples.

    Returns:
      [N] float32, in units of logits.

    Raises:
      InputError: if `margin` was not recorded.

    Source: asappresearch/aum, negated, and averaged over snapshots instead of updates.
    """
    margin_SN = trace.require("margin")
    return -np.mean(margin_SN, axis=0, dtype=np.float64).astype(np.float32)
