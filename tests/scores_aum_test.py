"""The negated mean margin."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, aum


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
