"""Feature vectors: what is refused, and rows of length 1."""

import numpy as np
import pytest
from ddjax.scores.rows import finite_rows, unit_rows

from ddjax.errors import InputError


def test_unit_rows_hand_worked():
    found = unit_rows(np.array([[3, -4], [0, 0], [0, 2]], np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0.6, -0.8], [0, 0], [0, 1]], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e308])
def test_unit_rows_do_not_depend_on_the_scale(scale):
    rows = np.random.default_rng(0).uniform(0.1, 1.0, size=(5, 3))
    np.testing.assert_allclose(unit_rows(rows * scale), unit_rows(rows), rtol=1e-12)


def test_finite_rows_are_handed_through():
    values = np.ones((3, 2), np.float16)
    assert finite_rows("x", values, 3) is values


@pytest.mark.parametrize(
    "values, count, message",
    [
        (np.ones(3), None, r"x: shape \(3,\), expected \[N, D\], not empty"),
        (np.ones((0, 2)), None, r"x: shape \(0, 2\), expected \[N, D\], not empty"),
        (np.ones((3, 2)), 4, r"x: shape \(3, 2\), expected \[N, D\] with N = 4"),
        ([[1.0], [np.nan], [np.inf]], None, "x: 2 of 3 .* first at example 1"),
    ],
)
def test_finite_rows_refuse(values, count, message):
    with pytest.raises(InputError, match=message):
        finite_rows("x", values, count)
