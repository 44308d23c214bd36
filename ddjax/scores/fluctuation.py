"""How much a prediction fluctuates in windows of snapshots: CAD, Dyn-Unc, DUAL, TDDS.

Shape letters: S snapshots, N examples, J the span of a window, W windows, b examples of
a block.
"""

import dataclasses
import os
from concurrent import futures
from typing import NamedTuple

import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.scores.score import Score
from ddjax.scores.trace import Trace

DUAL_STOP = 30  # snapshots of a run that DUAL's source reads
_WINDOW = 10  # of the sources; a shorter trace gets the longest that it allows
QUANTITIES = ("true_prob", "el2n")


def cad(
    trace: Trace,
    span: int | None = 6,
    windows: int = 2,
    quantity: str = "true_prob",
) -> np.ndarray:
    """CAD, the mean deviation over the last W windows; higher is more uncertain.

    With J = span and W = windows, the windows are k = S-J-W .. S-J-1, each over the
    snapshots k .. k+J-1: the last snapshot lies outside every window, as the equation
    has it. The trace should come from a run as long as the students' budget
    (compute-aligned), which is what makes the score aware of the budget.

    Args:
      trace: a trace with `quantity`, S snapshots of N examples.
      span: J, at least 2; None means the longest the trace allows, S - W.
      windows: W, at least 1.
      quantity: what fluctuates, "true_prob" or "el2n". The published equations fit the
        probability of the true class; an independent re-implementation took EL2N.

    Returns:
      [N] float32, the unbiased standard deviation of each window, averaged.

    Raises:
      InputError: if `quantity` is unknown or was not recorded, `span` or `windows` is
        too small, or the trace has fewer than J + W snapshots.

    Source: "Hard Truths", arXiv 2604.18811, Eq. 1 and 2. J = 6 and W = 2 are the values
    for ImageNet; on CIFAR-100 an independent re-implementation needed J = S - W.
    """
    if quantity not in QUANTITIES:
        raise InputError(
            f"quantity: {quantity!r}, expected one of {', '.join(QUANTITIES)}"
        )
    if windows < 1:
        raise InputError(f"windows: {windows}, expected at least 1")
    if span is not None and span < 2:
        raise InputError(f"span: {span}, expected at least 2, or None")
    values_SN = trace.require(quantity)
    num_snapshots = trace.num_snapshots
    shortest = 2 if span is None else span
    if num_snapshots < shortest + windows:
        raise InputError(
            f"cad: span {shortest} and windows {windows} need {shortest + windows} "
            f"snapshots, but the trace has {num_snapshots}"
        )
    span = num_snapshots - windows if span is None else span
    first = num_snapshots - span - windows
    starts = range(first, first + windows)
    return mean_deviation(values_SN, span, starts).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class CadOptions:
    """Options of `cad`."""

    span: int = setting(
        0,
        "Snapshots that a window spans (J); 0: the longest the trace allows.",
        "[2, 10000]",
        also=(0,),
    )
    windows: int = setting(2, "Windows that are averaged (W).", "[1, 10000]")
    quantity: str = setting("true_prob", "What S of CAD is.", QUANTITIES)


def _cad(title, quantity=""):
    return Score(
        function=cad,
        title=title,
        of_trace=lambda trace, options: cad(
            trace, options.span or None, options.windows, quantity or options.quantity
        ),
        options=CadOptions,
        # One more than `cad` insists on, so that the first snapshot, the least
        # trained, lies outside every window.
        snapshots=lambda options: (options.span or 6) + options.windows + 1,
    )


CAD = _cad("CAD")
CAD_TRUE_PROB = _cad("CAD (probability)", "true_prob")
CAD_EL2N = _cad("CAD (EL2N)", "el2n")


def dyn_unc(trace: Trace, window: int = 10) -> np.ndarray:
    """Dyn-Unc, the mean deviation in a run's windows; higher is more uncertain.

    With J = window, all windows k .. k+J-1 for k = 0 .. S-J-1 count: as in the source,
    not the one that ends at the last snapshot. `cad` reads the last ones only.

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


DYN_UNC = Score(
    function=dyn_unc,
    title="Dyn-Unc",
    of_trace=lambda trace, _: dyn_unc(trace, min(_WINDOW, trace.num_snapshots - 1)),
)


def dual(trace: Trace, window: int = 10, stop: int | None = 30) -> np.ndarray:
    """DUAL, the mean of deviation times error of the true class; higher is harder.

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


DUAL = Score(
    function=dual,
    title="DUAL",
    of_trace=lambda trace, _: dual(
        trace, min(_WINDOW, trace.num_snapshots), min(DUAL_STOP, trace.num_snapshots)
    ),
)


def tdds(
    trace: Trace, window: int = 10, stop: int | None = None, decay: float = 0.9
) -> np.ndarray:
    """TDDS, an average of how unevenly the prediction changes; higher is kept.

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


TDDS = Score(
    function=tdds,
    title="TDDS",
    of_trace=lambda trace, _: tdds(trace, min(_WINDOW, trace.num_snapshots)),
)

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
