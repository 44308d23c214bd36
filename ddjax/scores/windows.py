"""Sliding windows over the snapshots of a trace.

Shape letters: S snapshots, N examples, b of a block.
"""

import os
from concurrent import futures
from typing import NamedTuple

import numpy as np

from ddjax.errors import InputError

_BLOCK = 4096  # examples a thread takes at once: few enough for the caches


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

    The sums of squares are about each window's own mean, merged from those of parts, so
    that a late window of small deviations keeps its digits after early large ones.

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
    """A window takes no longer for being long, and nothing is ever subtracted.

    The snapshots are cut into blocks as long as a window. A window is the tail of a
    block and the head of the next; the moments of the tails are found from a block's
    end, those of the heads grow, and the two are merged.
    """
    values_Sb = values_Sb.astype(np.float64)
    total_b = np.zeros_like(values_Sb[0])
    tails, head = [], None
    for start, weight in enumerate(weights):
        place = start % window
        if place == 0:
            tails = [_Moments.of(values_Sb[start + window - 1])]
            for value_b in values_Sb[start : start + window - 1][::-1]:
                tails.append(tails[-1].merged(_Moments.of(value_b)))
            moments, head = tails.pop(), None
        else:
            last = _Moments.of(values_Sb[start + window - 1])
            head = head.merged(last) if head else last
            moments = tails.pop().merged(head)
        deviation_b = np.sqrt(moments.square)
        if weigh is not None:
            deviation_b *= weigh(moments.mean)
        total_b += weight * deviation_b
    return total_b / np.sqrt(window - 1)


class _Moments(NamedTuple):
    """How many snapshots, their mean, and their summed squares about it."""

    snapshots: int
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, value_b) -> "_Moments":
        return cls(1, value_b, np.zeros_like(value_b))

    def merged(self, other: "_Moments") -> "_Moments":
        count = self.snapshots + other.snapshots
        apart_b = other.mean - self.mean
        mean_b = self.mean + apart_b * (other.snapshots / count)
        square_b = apart_b * apart_b
        square_b *= self.snapshots * other.snapshots / count
        square_b += self.square
        square_b += other.square
        return _Moments(count, mean_b, square_b)
