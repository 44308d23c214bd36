"""Entropy, least confidence and margin are those of one snapshot."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import (
    Trace,
    entropy,
    least_confidence,
    margin,
)


def uniform(snapshots, seed=0, examples=7):
    values = np.random.default_rng(seed).uniform(size=(snapshots, examples))
    return values.astype(np.float32)


def test_entropy_is_that_of_the_snapshot():
    values = uniform(5)
    trace = Trace(entropy=values)
    np.testing.assert_array_equal(entropy(trace), values[4])
    np.testing.assert_array_equal(entropy(trace, at=1), values[1])
    entropy(trace)[:] = 0
    np.testing.assert_array_equal(entropy(trace), values[4])


def test_least_confidence_and_margin_are_those_of_the_snapshot():
    # Probabilities (0.7, 0.2, 0.1), (0.4, 0.35, 0.25) at the last snapshot.
    trace = Trace(
        least_confidence=[[0.5, 0.5], [0.3, 0.6]],
        second_prob=[[0.5, 0.3], [0.2, 0.35]],
    )
    np.testing.assert_allclose(least_confidence(trace), [0.3, 0.6], rtol=1e-6)
    np.testing.assert_allclose(margin(trace), [0.5, 0.95], rtol=1e-6)
    np.testing.assert_allclose(margin(trace, at=0), [1.0, 0.8], rtol=1e-6)
    least_confidence(trace)[:] = 0
    assert trace.least_confidence[1, 0] > 0


def test_fields_that_were_not_recorded_are_refused():
    trace = Trace(step_kl=uniform(9))
    for score, field in (
        (entropy, "entropy"),
        (margin, "least_confidence"),
        (least_confidence, "least_confidence"),
    ):
        with pytest.raises(InputError, match=f"trace.{field}: not recorded"):
            score(trace)


def test_snapshot_that_is_not_there_is_refused():
    for at in (5, -6):
        with pytest.raises(InputError, match=f"snapshot {at} was requested.* 0..4"):
            entropy(Trace(entropy=uniform(5)), at=at)
