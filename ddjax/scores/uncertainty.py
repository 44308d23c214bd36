"""How uncertain the prediction of one snapshot is, whatever the label."""

import numpy as np

from ddjax.scores.score import Score
from ddjax.scores.trace import Trace


def entropy(trace: Trace, at: int = -1) -> np.ndarray:
    """Entropy of the softmax at a snapshot; higher is more uncertain.

    Args:
      trace: a trace with `entropy`, S snapshots of N examples.
      at: the snapshot, -S .. S-1; -1, the default, is the last.

    Returns:
      [N] float32 in [0, log C], in nats.

    Raises:
      InputError: `entropy` was not recorded, or the snapshot is not in the trace.

    Source: PatrickZH/DeepCore (uncertainty.py), whose score is the same with its sign
    turned and 1e-6 added to each probability inside the logarithm only.
    """
    return trace.at("entropy", at).copy()


def least_confidence(trace: Trace, at: int = -1) -> np.ndarray:
    """One minus the largest probability at a snapshot; higher is more uncertain.

    Arguments and errors as of `entropy`, with the trace's field `least_confidence`.

    Returns:
      [N] float32 in [0, 1).

    Source: PatrickZH/DeepCore (uncertainty.py), which takes the largest logit where
    this takes the probability: logits of two examples have no common scale.
    """
    return trace.at("least_confidence", at).copy()


def margin(trace: Trace, at: int = -1) -> np.ndarray:
    """One minus the lead of the first class over the second; higher is more uncertain.

    The label plays no part, unlike in `aum` and in the trace's field `margin`.

    Arguments and errors as of `entropy`, with the trace's fields `least_confidence` and
    `second_prob`.

    Returns:
      [N] float32 in [0, 1], 1 - (p1 - p2) for the two largest probabilities.

    Source: PatrickZH/DeepCore (uncertainty.py), whose score p1 - p2 is turned here.
    """
    return trace.at("least_confidence", at) + trace.at("second_prob", at)


ENTROPY = Score(function=entropy, title="Entropy")
LEAST_CONFIDENCE = Score(function=least_confidence, title="Least confidence")
MARGIN = Score(function=margin, title="Margin")
