"""Entropy of the prediction at one snapshot."""

import numpy as np

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
