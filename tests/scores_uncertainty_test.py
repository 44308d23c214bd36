"""Least confidence, margin, EL2N-SL, TDDS and means over runs."""

import functools

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import (
    Trace,
    el2n,
    el2n_sl,
    forgetting,
    least_confidence,
    margin,
    mean_over_runs,
    tdds,
)


def uniform(snapshots, seed=0, examples=7):
    values = np.random.default_rng(seed).uniform(size=(snapshots, examples))
    return values.astype(np.float32)


def slow_tdds(values, window, stop, decay):
    """One example at a time; values[j] is the change from snapshot j - 1 to j."""
    scores = []
    for column in values.T.tolist():
        score = 0.0
        for k in range(stop - window + 1):
            changes = [column[j] for j in range(k + 1, k + window)]
            mean = sum(changes) / len(changes)
            norm = sum((c - mean) ** 2 for c in changes) ** 0.5
            score += norm * decay * (1 - decay) ** (stop - window - k)
        scores.append(score)
    return scores


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


def test_el2n_sl_is_the_mean_of_its_field_not_of_el2n():
    values = uniform(6)
    trace = Trace(el2n_sl=values, el2n=1 - values)
    expected = [sum(map(float, column[1:4])) / 3 for column in values.T]
    np.testing.assert_allclose(el2n_sl(trace, 1, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(el2n_sl(trace) + el2n(trace), np.ones(7), rtol=1e-6)


def test_tdds_hand_worked():
    # J = 3: changes (1, 3) deviate by (-1, 1), (3, 3) by nothing.
    trace = Trace(step_kl=[[9.0], [1.0], [3.0], [3.0]])
    expected = [np.sqrt(2) * 0.9 * 0.1]
    np.testing.assert_allclose(tdds(trace, window=3), expected, rtol=1e-6)
    expected = [np.sqrt(2) * 0.9]
    np.testing.assert_allclose(tdds(trace, window=3, stop=3), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "window, stop, decay", [(10, None, 0.9), (10, 10, 0.9), (3, 7, 0.5), (5, 12, 1.0)]
)
def test_tdds_equals_slow_reference(seed, window, stop, decay):
    values = uniform(13, seed)
    found = tdds(Trace(step_kl=values), window, stop, decay)
    assert found.dtype == np.float32
    expected = slow_tdds(values, window, stop or 13, decay)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_tdds_does_not_look_at_the_first_snapshot_which_has_no_change():
    values = uniform(8)
    moved = values.copy()
    moved[0] += 5
    np.testing.assert_array_equal(
        tdds(Trace(step_kl=values), 4), tdds(Trace(step_kl=moved), 4)
    )


def test_mean_over_runs_is_the_mean_of_the_scores():
    runs = [Trace(el2n=uniform(4, seed)) for seed in range(3)]
    expected = np.mean([el2n(run, 1, 2).astype(np.float64) for run in runs], axis=0)
    found = mean_over_runs(functools.partial(el2n, start=1, stop=2), runs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(mean_over_runs(el2n, runs[:1]), el2n(runs[0]))


def test_mean_over_runs_keeps_infinity():
    never, once = Trace(correct=[[0], [0]]), Trace(correct=[[1], [0]])
    score = functools.partial(forgetting, never_learned="infinity")
    assert mean_over_runs(score, [once, never]) == np.inf
    assert mean_over_runs(score, [once, once]) == 1


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda t: tdds(t, 10), "a window of 10 needs 10 snapshots.* has 9"),
        (lambda t: tdds(t, 2), "window is 2, allowed is at least 3"),
        (lambda t: tdds(t, 3, 10), "stop is 10, allowed is at most the trace's 9"),
        (lambda t: tdds(t, 3, decay=0.0), r"decay is 0.0, allowed .* \(0, 1\]"),
        (lambda t: el2n_sl(t), "trace.el2n_sl: not recorded"),
        (lambda t: margin(t), "trace.least_confidence: not recorded"),
        (lambda t: least_confidence(t), "trace.least_confidence: not recorded"),
        (lambda t: t.mean("step_kl", 4, 4), r"trace.step_kl: snapshots 4..3 were"),
        (lambda t: t.at("step_kl", 9), "snapshot 9 was asked for.* 0..8"),
        (lambda t: mean_over_runs(tdds, []), "traces: none"),
        (
            lambda t: mean_over_runs(tdds, [t, Trace(step_kl=uniform(9, 0, 3))]),
            r"traces: of \[7, 3\] examples",
        ),
    ],
)
def test_bad_input_is_refused(score, message):
    with pytest.raises(InputError, match=message):
        score(Trace(step_kl=uniform(9)))
