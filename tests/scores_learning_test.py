"""Forgetting and AUM: by hand, against slow references, and refused input."""

import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, aum, forgetting, snapshot

# Columns: always right, learned late, lost once, lost twice, never, lost at the end.
CORRECT = np.array(
    [
        [1, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 1],
        [1, 0, 0, 1, 0, 1],
        [1, 1, 1, 0, 0, 0],
    ]
)


@pytest.mark.parametrize(
    "never_learned, value", [("max", 4.0), ("infinity", np.inf), ("zero", 0.0)]
)
def test_forgetting_hand_worked(never_learned, value):
    result = forgetting(Trace(correct=CORRECT), never_learned)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [0, 0, 1, 2, value, 1])


def test_forgetting_default_puts_never_learned_strictly_first():
    alternating = np.arange(6)[:, None] % 2 == 0
    result = forgetting(Trace(correct=np.hstack([alternating, np.zeros((6, 1))])))
    assert result[1] > result[0] == 3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_snapshots", [1, 2, 9])
def test_forgetting_equals_slow_reference(seed, num_snapshots):
    correct = np.random.default_rng(seed).integers(0, 2, (num_snapshots, 30))
    expected = []
    for column in correct.T.tolist():
        events, before = 0, 0
        for now in column:
            events += before == 1 and now == 0
            before = now
        expected.append(events if 1 in column else num_snapshots)
    np.testing.assert_array_equal(forgetting(Trace(correct=correct)), expected)


def test_forgetting_refuses_an_unknown_reading():
    message = "never_learned: 'inf', expected one of max, infinity, zero"
    with pytest.raises(InputError, match=message):
        forgetting(Trace(correct=CORRECT), "inf")


def test_forgetting_names_the_missing_field():
    with pytest.raises(InputError, match=r"trace\.correct: not recorded"):
        forgetting(Trace(margin=np.zeros((3, 2))))


def test_aum_hand_worked():
    trace = Trace(margin=[[1.0, -2.0, 0.0], [3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(aum(trace), [-2.0, 0.5, 0.0])


@pytest.mark.parametrize("seed", range(3))
def test_aum_equals_slow_reference(seed):
    margin = np.random.default_rng(seed).normal(size=(6, 13)).astype(np.float32)
    expected = [-sum(map(float, column)) / 6 for column in margin.T]
    result = aum(Trace(margin=margin))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)


def test_aum_names_the_missing_field():
    with pytest.raises(InputError, match=r"trace\.margin: not recorded"):
        aum(Trace(el2n=np.zeros((3, 2))))


@pytest.mark.parametrize("seed", range(3))
def test_aum_of_probabilities_equals_the_mean_over_the_softmax(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, 9, 3)).astype(np.float32) * 3
    labels = rng.integers(0, 3, 9)
    steps = [snapshot(jnp.asarray(part), jnp.asarray(labels)) for part in logits]
    trace = Trace(**{name: np.stack([s[name] for s in steps]) for name in steps[0]})
    powers = np.exp(logits.astype(np.float64))
    probs = powers / powers.sum(-1, keepdims=True)
    expected = []
    for n, label in enumerate(labels):
        others = [c for c in range(3) if c != label]
        lags = [max(p[n, others]) - p[n, label] for p in probs]
        expected.append(sum(lags) / 4)
    found = aum(trace, margins="probability")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_aum_refuses_unknown_margins_and_missing_fields():
    trace = Trace(margin=np.zeros((3, 2)))
    with pytest.raises(InputError, match="margins: 'softmax', expected one of logit"):
        aum(trace, "softmax")
    with pytest.raises(InputError, match="trace.correct: not recorded"):
        aum(trace, "probability")
