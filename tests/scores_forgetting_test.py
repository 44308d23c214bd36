"""Forgetting events, and the three readings of never-learned examples."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, forgetting

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
