"""How well an example is learned over a whole run: forgetting and AUM."""

import dataclasses

import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.scores.score import Score
from ddjax.scores.trace import Trace

NEVER_LEARNED = ("max", "infinity", "zero")


def forgetting(trace: Trace, never_learned: str = "max") -> np.ndarray:
    """Forgetting, the number of correct -> incorrect transitions; higher is harder.

    Transitions are counted between consecutive snapshots. An example that is correct
    in no snapshot has no transition although nothing is harder, so that the literature
    disagrees about it.

    Args:
      trace: a trace with `correct`, S snapshots of N examples.
      never_learned: score of the examples that are never correct: "max" is S, which is
        above every count and finite; "infinity"; "zero" ranks them beside the examples
        that are never forgotten, as DeepCore and CCS do.

    Returns:
      [N] float32, counts in 0..S, or infinity, see `never_learned`.

    Raises:
      InputError: if `correct` was not recorded or `never_learned` is unknown.

    Source: mtoneva/example_forgetting, which counts per presentation of an example and
    adds the number of presentations for never-learned ones; here it is per snapshot.
    """
    if never_learned not in NEVER_LEARNED:
        raise InputError(
            f"never_learned: {never_learned!r}, expected one of "
            f"{', '.join(NEVER_LEARNED)}"
        )
    correct_SN = trace.require("correct")
    counts_N = np.sum(correct_SN[:-1] & ~correct_SN[1:], axis=0).astype(np.float32)
    value = {"max": trace.num_snapshots, "infinity": np.inf, "zero": 0}[never_learned]
    return np.where(correct_SN.any(axis=0), counts_N, np.float32(value))


@dataclasses.dataclass(frozen=True)
class ForgettingOptions:
    """Options of `forgetting`."""

    never_learned: str = setting(
        "max", "What examples count that are never learned.", NEVER_LEARNED
    )


FORGETTING = Score(function=forgetting, title="Forgetting", options=ForgettingOptions)


MARGINS = ("logit", "probability")


def aum(trace: Trace, margins: str = "logit") -> np.ndarray:
    """AUM, the mean margin over all snapshots, negated; higher is harder.

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


@dataclasses.dataclass(frozen=True)
class AumOptions:
    """Options of `aum`."""

    margins: str = setting("logit", "Margins of what.", MARGINS)


AUM = Score(function=aum, title="AUM", options=AumOptions)
