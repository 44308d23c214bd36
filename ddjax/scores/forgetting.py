"""Forgetting: how often an example is learned and lost again."""

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace

NEVER_LEARNED = ("max", "infinity", "zero")


def forgetting(trace: Trace, never_learned: str = "max") -> np.ndarray:
    """Number of correct -> incorrect transitions; higher is harder.

    Transitions are counted between consecutive snapshots. An example that is correct
    in no snapshot has no transition although nothing is harder, so that the literature
    disagrees about it.

    Args:
      trace: a trace with `correct`, S snapshots of N examples.
      never_learned: score of the examples that are never correct: "max" is S, which is
        above every count and finite; "infinity"; "zero" ranks them beside the examples
        that are never forgotten, as DeepCore and CCS do.

    Returns:
      [N] float32, counts in 0..S, or infinity where asked for.

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
