"""CAD: how much an example still fluctuates at the end of a run.

Shape letters: S snapshots, N examples, J the span of a window, W windows.
"""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace
from ddjax.scores.windows import mean_deviation

QUANTITIES = ("true_prob", "el2n")


def cad(
    trace: Trace,
    span: int | None = 6,
    windows: int = 2,
    quantity: str = "true_prob",
) -> np.ndarray:
    """Mean standard deviation over the last W windows; higher is more uncertain.

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
