"""EL2N: the mean error of the softmax early in training."""

import numpy as np

from ddjax.errors import InputError
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

    Source: mansheej/data_diet, which averages an early checkpoint over several runs;
    here one run is averaged over snapshots.
    """
    el2n_SN = trace.require("el2n")
    stop = trace.num_snapshots if stop is None else stop
    if not 0 <= start < stop <= trace.num_snapshots:
        raise InputError(
            f"el2n: snapshots {start}..{stop - 1} were asked for, but the trace has "
            f"0..{trace.num_snapshots - 1}"
        )
    return np.mean(el2n_SN[start:stop], axis=0, dtype=np.float64).astype(np.float32)
