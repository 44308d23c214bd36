"""AUM: the area under the margin, with its sign turned."""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace

MARGINS = ("logit", "probability")


def aum(trace: Trace, margins: str = "logit") -> np.ndarray:
    """The mean margin over all snapshots, negated; higher is harder.

    Args:
      trace: a trace of S snapshots of N examples with `margin`, or, for margins of
        probabilities, with `true_prob`, `correct`, `least_confidence`, `second_prob`.
      margins: "logit", the true class's logit minus the largest other one, or
        "probability", the same after the softmax.

    Returns:
      [N] float32, in units of logits, or in [-1, 1].

    Raises:
      InputError: `margins` is unknown, or a field was not recorded.

    Source: asappresearch/aum, whose margins are those of logits, negated, and averaged
    over snapshots instead of updates; CCS takes probabilities.
    """
    if margins not in MARGINS:
        raise InputError(f"margins: {margins!r}, expected one of {', '.join(MARGINS)}")
    if margins == "logit":
        return -trace.mean("margin")
    correct_SN = trace.require("correct")
    true_SN = trace.require("true_prob")
    doubt_SN = trace.require("least_confidence")
    second_SN = trace.require("second_prob")
    total_N = np.zeros(trace.num_examples)
    for correct_N, true_N, doubt_N, second_N in zip(
        correct_SN, true_SN, doubt_SN, second_SN, strict=True
    ):
        # The largest other class is the second where the prediction is right, else
        # the first.
        total_N += np.where(correct_N, second_N, 1 - doubt_N) - true_N
    return (total_N / trace.num_snapshots).astype(np.float32)
