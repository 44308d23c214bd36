"""EL2N: the error of the softmax, against the class or against the teacher's label."""

import numpy as np

from ddjax.scores.score import Score
from ddjax.scores.trace import Trace


def el2n(trace: Trace, start: int = 0, stop: int | None = None) -> np.ndarray:
    """EL2N, the mean of ||p - y||_2 over snapshots start .. stop-1; higher is harder.

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


EL2N = Score(function=el2n, title="EL2N")


def el2n_sl(trace: Trace, start: int = 0, stop: int | None = None) -> np.ndarray:
    """EL2N-SL, the mean of ||p - q||_2 over snapshots; higher is harder.

    q is the teacher's fixed label of the image; the trace should come from a run that
    was trained on these labels.

    Arguments, result and errors are those of `el2n`, with the trace's field `el2n_sl`.

    Source: "Hard Truths", arXiv 2604.18811, Def. 1. Which temperature its q has is not
    known; what is recorded here is at temperature 1, as p is.
    """
    return trace.mean("el2n_sl", start, stop)


EL2N_SL = Score(function=el2n_sl, title="EL2N-SL", requires=("soft_traces",))
