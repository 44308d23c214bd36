"""DUAL: uncertain and difficult early in training."""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace
from ddjax.scores.windows import check_window, mean_deviation


def dual(trace: Trace, window: int = 10, stop: int | None = 30) -> np.ndarray:
    """Mean of deviation times error of the true class; higher is harder.

    Each window of J snapshots among the first `stop` gives its unbiased standard
    deviation of the true class's probability times one minus its mean.

    Args:
      trace: a trace with `true_prob`, S snapshots of N examples.
      window: J, at least 2.
      stop: T, one past the last snapshot that counts, J to S; None: S.

    Returns:
      [N] float32, at least 0.

    Raises:
      InputError: `true_prob` was not recorded, the window is too short, or T is less
        than J or more than S.

    Source: behaapyy/dual-pruning (T = 30 on CIFAR, 60 on ImageNet, of longer runs),
    without its factor 10, which changes no order.
    """
    values_SN = trace.require("true_prob")
    stop = trace.num_snapshots if stop is None else stop
    if stop > trace.num_snapshots:
        raise InputError(
            f"dual: stop is {stop}, allowed is at most the trace's "
            f"{trace.num_snapshots} snapshots"
        )
    check_window("dual", window, stop, window)
    starts = range(stop - window + 1)
    score_N = mean_deviation(values_SN, window, starts, lambda mean_N: 1.0 - mean_N)
    return score_N.astype(np.float32)
