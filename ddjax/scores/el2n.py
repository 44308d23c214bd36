"""EL2N: the mean error of the softmax early in training."""

import numpy as np

from ddjax.scores.trace import Trace


def el2n(trace: Trace, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Mean of ||p - y||_2 over snapshots start .. stop-1; higher is harder.

    Args:
      trace: a trace with `el2n`, S snapshots of N examples.
      start: first snapshot, 0 <= start < stop.
      stop: one past the last snapshot, at most S; None means S.

    Returns:
      [N] float32 in [0, sqrt(2)].

    Raises:
      InputError: if `el2n` was not recorded or the snapshots are not in the trace.

    Source: mansheej/data_diet, which averages an early checkpoint over several
    runs (start = k, stop = k + 1, and `mean_over_runs`).
    """
    return trace.mean("el2n", start, stop)
