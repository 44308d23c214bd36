"""Sliding windows over the snapshots of a trace.

Shape letters: S snapshots, N examples.
"""

from collections.abc import Iterable

import numpy as np

from ddjax.errors import InputError


def check_window(
    score: str, window: int, snapshots: int, least: int, shortest: int = 2
) -> None:
    """Checks a window's length.

    Args:
      score: the name of the score, for the message.
      window: snapshots of a window.
      snapshots: S, of the trace or of its part that the score reads.
      least: how many snapshots the score needs.
      shortest: the shortest window that makes sense.

    Raises:
      InputError: the window is shorter than `shortest`, or the trace than `least`.
    """
    if window < shortest:
        raise InputError(f"{score}: window is {window}, allowed is at least {shortest}")
    if snapshots < least:
        raise InputError(
            f"{score}: a window of {window} needs {least} snapshots, but the trace has "
            f"{snapshots}"
        )


def mean_deviation(
    values_SN: np.ndarray, window: int, starts: Iterable[int], weigh=None
) -> np.ndarray:
    """Returns the unbiased standard deviation of windows, averaged over them.

    Args:
      values_SN: [S, N] float.
      window: snapshots of a window, at least 2.
      starts: the windows' first snapshots, one or more.
      weigh: of each window's mean [N], a factor [N] of its deviation; None: 1.

    Returns:
      [N] float64.
    """
    starts = list(starts)
    total_N = np.zeros(values_SN.shape[1])
    for start in starts:
        part = values_SN[start : start + window]
        mean_N = np.mean(part, axis=0, dtype=np.float64)
        # One snapshot at a time: a window in float64 would be the largest array.
        squares_N = sum(np.square(values_N - mean_N) for values_N in part)
        deviation_N = np.sqrt(squares_N / (window - 1))
        total_N += deviation_N if weigh is None else deviation_N * weigh(mean_N)
    return total_N / len(starts)
