"""Margin: how close the second class comes to the first."""

import numpy as np

from ddjax.scores.trace import Trace


def margin(trace: Trace, at: int = -1) -> np.ndarray:
    """One minus the lead of the first class over the second; higher is more uncertain.

    The label plays no part, unlike in `aum` and in the trace's field `margin`.

    Args:
      trace: a trace with `least_confidence` and `second_prob`, S snapshots of N
        examples.
      at: the snapshot, -S .. S-1; -1, the default, is the last.

    Returns:
      [N] float32 in [0, 1], 1 - (p1 - p2) for the two largest probabilities.

    Raises:
      InputError: a field was not recorded, or the snapshot is not there.

    Source: PatrickZH/DeepCore (uncertainty.py), whose score p1 - p2 is turned here.
    """
    return trace.at("least_confidence", at) + trace.at("second_prob", at)
