"""TDDS: how much an example's prediction changes, weighted to the end of a run."""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace
from ddjax.scores.windows import check_window, mean_deviation


def tdds(
    trace: Trace, window: int = 10, stop: int | None = None, decay: float = 0.9
) -> np.ndarray:
    """Moving average of how unevenly the prediction changes; higher is kept.

    Each window of J snapshots k .. k+J-1 among the first T has J-1 changes
    (`scores.step_kl`); its value is the L2 norm of their deviations from their mean,
    and its weight d (1-d)^(T-J-k). With d = 0.9 the last window counts ten times as
    much as the one before it.

    Args:
      trace: a trace with `step_kl`, S snapshots of N examples.
      window: J, at least 3: of two snapshots there is one change, which cannot deviate.
      stop: T, one past the last snapshot that counts, J to S; None: S. The source sets
        (T, J) by hand for each pruning rate, from (90, 10) down to (10, 5).
      decay: d, in (0, 1].

    Returns:
      [N] float32, at least 0.

    Raises:
      InputError: `step_kl` was not recorded, or an argument is out of range.

    Source: zhangxin-xd/Dataset-Pruning-TDDS.
    """
    values_SN = trace.require("step_kl")
    stop = trace.num_snapshots if stop is None else stop
    if stop > trace.num_snapshots:
        raise InputError(
            f"tdds: stop is {stop}, allowed is at most the trace's "
            f"{trace.num_snapshots} snapshots"
        )
    check_window("tdds", window, stop, window, shortest=3)
    if not 0 < decay <= 1:
        raise InputError(f"tdds: decay is {decay}, allowed is a number in (0, 1]")
    # A window of J snapshots has J - 1 changes, the first of them in its second.
    starts = range(1, stop - window + 2)
    weights = decay * (1 - decay) ** np.arange(len(starts))[::-1]
    summed_N = mean_deviation(values_SN, window - 1, starts, weights=weights)
    # From the unbiased deviation to the norm of what it is the mean square of.
    return (np.sqrt(window - 2) * summed_N).astype(np.float32)
