"""EL2N and EL2N-SL as means over a range of snapshots."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import (
    Trace,
    el2n,
    el2n_sl,
)


def test_el2n_hand_worked():
    trace = Trace(el2n=[[0.0, 1.0], [0.5, 1.0], [1.0, 0.25]])
    np.testing.assert_array_equal(el2n(trace), [0.5, 0.75])
    np.testing.assert_array_equal(el2n(trace, start=1), [0.75, 0.625])
    np.testing.assert_array_equal(el2n(trace, start=1, stop=2), [0.5, 1.0])
    np.testing.assert_array_equal(el2n(trace, stop=2), [0.25, 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_el2n_equals_slow_reference(seed):
    values = np.random.default_rng(seed).uniform(0, 1.4, (7, 11)).astype(np.float32)
    for start, stop in ((0, 7), (2, 5), (6, 7)):
        expected = [
            sum(float(values[s, i]) for s in range(start, stop)) / (stop - start)
            for i in range(11)
        ]
        result = el2n(Trace(el2n=values), start, stop)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("start, stop", [(0, 0), (2, 1), (-1, 2), (0, 4), (3, None)])
def test_el2n_refuses_snapshots_outside_the_trace(start, stop):
    with pytest.raises(InputError, match=r"el2n: snapshots .* trace has 0\.\.2"):
        el2n(Trace(el2n=np.zeros((3, 2))), start, stop)


def uniform(snapshots, seed=0, examples=7):
    values = np.random.default_rng(seed).uniform(size=(snapshots, examples))
    return values.astype(np.float32)


def test_el2n_sl_is_the_mean_of_its_field_not_of_el2n():
    values = uniform(6)
    trace = Trace(el2n_sl=values, el2n=1 - values)
    expected = [sum(map(float, column[1:4])) / 3 for column in values.T]
    np.testing.assert_allclose(el2n_sl(trace, 1, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(el2n_sl(trace) + el2n(trace), np.ones(7), rtol=1e-6)


def test_a_missing_field_is_named():
    for score, name in ((el2n, "el2n"), (el2n_sl, "el2n_sl")):
        with pytest.raises(InputError, match=rf"trace\.{name}: not recorded"):
            score(Trace(margin=np.zeros((3, 2))))
