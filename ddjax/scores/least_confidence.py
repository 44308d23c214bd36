"""Least confidence: how little of the probability the prediction takes."""

import numpy as np

from ddjax.scores.trace import Trace


def least_confidence(trace: Trace, at: int = -1) -> np.ndarray:
    """One minus the largest probability at a snapshot; higher is more uncertain.

    Args:
      trace: a trace with `least_confidence`, S snapshots of N examples.
      at: the snapshot, -S .. S-1; -1, the default, is the last.

    Returns:
      [N] float32 in [0, 1).

    Raises:
      InputError: `least_confidence` was not recorded, or the snapshot is not there.

    Source: PatrickZH/DeepCore (uncertainty.py), which takes the largest logit where
    this takes the probability: logits of two examples have no common scale.
    """
    return trace.at("least_confidence", at).copy()
