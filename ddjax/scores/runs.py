"""Scores of several scoring runs as one."""

from collections.abc import Callable, Sequence

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.trace import Trace


def mean_over_runs(
    score: Callable[[Trace], np.ndarray], traces: Sequence[Trace]
) -> np.ndarray:
    """The mean of a score over runs that differ in their seed only.

    Args:
      score: of one trace, such as `el2n`, or a partial application of it.
      traces: one or more, of the same N examples.

    Returns:
      [N] float32; infinite where a run's score is.

    Raises:
      InputError: there is no trace, or they differ in N.

    Source: mansheej/data_diet averages ten runs; mtoneva/example_forgetting sums over
    runs, which gives the same order.
    """
    if not traces:
        raise InputError("traces: none, expected at least one")
    sizes = [trace.num_examples for trace in traces]
    if len(set(sizes)) > 1:
        raise InputError(f"traces: of {sizes} examples, expected all to be of the same")
    total_N = np.zeros(sizes[0])
    for trace in traces:
        total_N += score(trace)
    return (total_N / len(traces)).astype(np.float32)
