"""Sliding windows over the snapshots of a trace.

Shape letters: S snapshots, N examples, b of a block.
"""

import os
from concurrent import futures

import numpy as np

from ddjax.errors import InputError

_BLOCK = 32768  # examples a thread takes at once: few enough for the caches


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
    values_SN: np.ndarray, window: int, starts: range, weigh=None, weights=None
) -> np.ndarray:
    """Returns the unbiased standard deviation of windows, averaged over them.

    Args:
      values_SN: [S, N] float.
      window: snapshots of a window, at least 2.
      starts: the windows' first snapshots, one or more in a row.
      weigh: elementwise, of a window's mean, the factor of its deviation; None: 1.
      weights: of the windows, one each, for a weighted sum in place of the average.

    Returns:
      [N] float64.
    """
    values_SN = values_SN[starts[0] : starts[-1] + window]
    if weights is None:
        weights = np.full(len(starts), 1 / len(starts))
    size = values_SN.shape[1]
    mean_N = np.empty(size)

    def fill(start):
        block = slice(start, start + _BLOCK)
        mean_N[block] = _summed(values_SN[:, block], window, weigh, weights)

    with futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(fill, range(0, size, _BLOCK)))
    return mean_N


def _summed(values_Sb, window, weigh, weights):
    """Running sums: a window takes no longer for being long."""
    origin_b = values_Sb[0].astype(np.float64)
    # Offsets from a snapshot, so that little cancels and a constant leaves exactly 0.
    values_Sb = values_Sb - origin_b
    squares_Sb = values_Sb * values_Sb
    sum_b = values_Sb[: window - 1].sum(axis=0)
    square_b = squares_Sb[: window - 1].sum(axis=0)
    total_b = np.zeros_like(origin_b)
    deviation_b = np.empty_like(origin_b)
    for start, weight in enumerate(weights):
        sum_b += values_Sb[start + window - 1]
        square_b += squares_Sb[start + window - 1]
        np.multiply(sum_b, sum_b, out=deviation_b)
        deviation_b *= -1 / window
        deviation_b += square_b
        np.maximum(deviation_b, 0.0, out=deviation_b)
        np.sqrt(deviation_b, out=deviation_b)
        if weigh is not None:
            deviation_b *= weigh(sum_b / window + origin_b)
        deviation_b *= weight
        total_b += deviation_b
        sum_b -= values_Sb[start]
        square_b -= squares_Sb[start]
    return total_b / np.sqrt(window - 1)
