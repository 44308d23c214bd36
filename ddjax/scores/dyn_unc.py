"""Dyn-Unc: how much an example fluctuates over a whole run."""

import numpy as np

from ddjax.scores.trace import Trace
from ddjax.scores.windows import check_window, mean_deviation


def dyn_unc(trace: Trace, window: int = 10) -> np.ndarray:
    """Mean deviation of the true class's probability; higher is more uncertain.

    With J = window, all windows k .. k+J-1 for k = 0 .. S-J-1 count: as in the source,
    not the one that ends at the last snapshot. `cad` looks at the last ones only.

    Args:
      trace: a trace with `true_prob`, S snapshots of N examples.
      window: J, at least 2.

    Returns:
      [N] float32 in [0, sqrt(1/2)], the unbiased standard deviation, averaged.

    Raises:
      InputError: `true_prob` was not recorded, the window is too short, or the trace
        has fewer than J + 1 snapshots.

    Source: Dyn-Unc (arXiv 2306.05175) and BAAI-DCAI/Dataset-Pruning, without the
    latter's factor 10, which changes no order.
    """
    values_SN = trace.require("true_prob")
    check_window("dyn_unc", window, trace.num_snapshots, window + 1)
    starts = range(trace.num_snapshots - window)
    return mean_deviation(values_SN, window, starts).astype(np.float32)
