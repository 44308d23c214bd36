"""CAD: Eq. 2 to the letter, and both readings of what fluctuates."""

import statistics

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, cad


def slow_cad(values, span, windows):
    num_snapshots, num_examples = values.shape
    result = []
    for i in range(num_examples):
        stds = []
        for k in range(num_snapshots - span - windows, num_snapshots - span):
            window = [float(values[s, i]) for s in range(k, k + span)]
            stds.append(statistics.stdev(window))
        result.append(sum(stds) / windows)
    return result


def test_cad_hand_worked():
    # S = 5, J = 2, W = 2: windows over snapshots (1, 2) and (2, 3).
    # The std of two numbers is their distance / sqrt(2): (0.2 + 0.4) / 2 / sqrt(2).
    trace = Trace(true_prob=[[0.9], [0.1], [0.3], [0.7], [0.0]])
    expected = [0.3 / np.sqrt(2)]
    np.testing.assert_allclose(cad(trace, span=2, windows=2), expected, rtol=1e-6)


def test_cad_looks_at_exactly_the_snapshots_of_its_windows():
    # S = 10, J = 4, W = 3: windows start at 3, 4, 5 and end at 6, 7, 8.
    values = np.random.default_rng(0).uniform(size=(10, 1))
    plain = cad(Trace(true_prob=values), span=4, windows=3)
    for snapshot in range(10):
        changed = values.copy()
        changed[snapshot] += 0.1
        differs = cad(Trace(true_prob=changed), span=4, windows=3) != plain
        assert differs == (3 <= snapshot <= 8), snapshot


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "num_snapshots, span, windows", [(8, 6, 2), (12, 6, 2), (5, 2, 3), (7, 3, 1)]
)
def test_cad_equals_slow_reference(seed, num_snapshots, span, windows):
    values = np.random.default_rng(seed).uniform(size=(num_snapshots, 9))
    values = values.astype(np.float32)
    result = cad(Trace(true_prob=values), span, windows)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, slow_cad(values, span, windows), rtol=1e-5)


def test_cad_defaults_are_six_and_two_of_the_true_class_probability():
    values = np.random.default_rng(0).uniform(size=(11, 4)).astype(np.float32)
    trace = Trace(true_prob=values, el2n=values**2)
    np.testing.assert_array_equal(cad(trace), cad(trace, 6, 2, "true_prob"))


def test_cad_span_none_is_the_longest_the_trace_allows():
    values = np.random.default_rng(1).uniform(size=(30, 4)).astype(np.float32)
    trace = Trace(true_prob=values)
    np.testing.assert_array_equal(cad(trace, span=None), cad(trace, span=28))
    np.testing.assert_array_equal(
        cad(trace, span=None, windows=5), cad(trace, span=25, windows=5)
    )


def test_cad_of_el2n_reads_el2n():
    rng = np.random.default_rng(2)
    true_prob, el2n = rng.uniform(size=(2, 9, 6)).astype(np.float32)
    trace = Trace(true_prob=true_prob, el2n=el2n)
    expected = slow_cad(el2n, 6, 2)
    np.testing.assert_allclose(cad(trace, quantity="el2n"), expected, rtol=1e-5)


def test_cad_ignores_constants_and_scales_with_the_fluctuation():
    values = np.random.default_rng(3).uniform(size=(9, 6))
    plain = cad(Trace(el2n=values), quantity="el2n")
    moved = cad(Trace(el2n=3 * values + 5), quantity="el2n")
    np.testing.assert_allclose(moved, 3 * plain, rtol=1e-5)
    still = cad(Trace(el2n=np.full((9, 2), 0.7)), quantity="el2n")
    np.testing.assert_array_equal(still, [0.0, 0.0])


@pytest.mark.parametrize(
    "num_snapshots, span, windows, message",
    [
        (7, 6, 2, "span 6 and windows 2 need 8 snapshots, but the trace has 7"),
        (3, None, 2, "span 2 and windows 2 need 4 snapshots, but the trace has 3"),
        (9, 1, 2, "span: 1, expected at least 2"),
        (9, 6, 0, "windows: 0, expected at least 1"),
    ],
)
def test_cad_refuses_a_trace_too_short_or_an_empty_window(
    num_snapshots, span, windows, message
):
    with pytest.raises(InputError, match=message):
        cad(Trace(true_prob=np.zeros((num_snapshots, 2))), span, windows)


def test_cad_accepts_the_shortest_trace():
    assert cad(Trace(true_prob=np.zeros((8, 2)))).shape == (2,)
    assert cad(Trace(true_prob=np.zeros((4, 2))), span=None).shape == (2,)


def test_cad_refuses_an_unknown_quantity_and_names_a_missing_field():
    trace = Trace(true_prob=np.zeros((9, 2)))
    with pytest.raises(InputError, match="quantity: 'margin', expected one of true_"):
        cad(trace, quantity="margin")
    with pytest.raises(InputError, match=r"trace\.el2n: not recorded"):
        cad(trace, quantity="el2n")
