"""CAD, Dyn-Unc, DUAL and TDDS: by hand, against slow references, and refused input."""

import statistics

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import (
    Trace,
    cad,
    dual,
    dyn_unc,
    fluctuation,
    tdds,
)


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


def uniform(snapshots, seed=0, examples=7):
    values = np.random.default_rng(seed).uniform(size=(snapshots, examples))
    return values.astype(np.float32)


def slow(values, window, starts, score):
    """The mean over windows of score(list of a window's values)."""
    found = []
    for column in values.T.tolist():
        parts = [score(column[k : k + window]) for k in starts]
        found.append(sum(parts) / len(parts))
    return found


def test_dyn_unc_hand_worked():
    # S = 4, J = 2: windows (0, 1) and (1, 2); the one that ends at the last is out.
    trace = Trace(true_prob=[[0.1], [0.5], [0.3], [0.9]])
    expected = [(0.4 + 0.2) / 2 / np.sqrt(2)]
    np.testing.assert_allclose(dyn_unc(trace, window=2), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("snapshots, window", [(11, 10), (23, 10), (5, 4), (9, 2)])
def test_dyn_unc_equals_slow_reference(seed, snapshots, window):
    values = uniform(snapshots, seed)
    expected = slow(values, window, range(snapshots - window), statistics.stdev)
    found = dyn_unc(Trace(true_prob=values), window)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cad_over_all_windows_is_dyn_unc():
    trace = Trace(true_prob=uniform(20))
    np.testing.assert_array_equal(cad(trace, 10, 10), dyn_unc(trace, 10))


def test_dual_hand_worked():
    # T = 3, J = 2: deviations 0.4 / sqrt 2 and 0.2 / sqrt 2, means 0.3 and 0.4.
    trace = Trace(true_prob=[[0.1], [0.5], [0.3], [0.9]])
    expected = [(0.4 * 0.7 + 0.2 * 0.6) / 2 / np.sqrt(2)]
    np.testing.assert_allclose(dual(trace, window=2, stop=3), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("window, stop", [(10, 30), (10, 10), (4, 25), (2, None)])
def test_dual_equals_slow_reference(seed, window, stop):
    def score(part):
        return statistics.stdev(part) * (1 - statistics.mean(part))

    values = uniform(33, seed)
    expected = slow(values, window, range((stop or 33) - window + 1), score)
    found = dual(Trace(true_prob=values), window, stop)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dual_prefers_the_harder_of_two_that_fluctuate_alike():
    rising = np.linspace(0.0, 0.4, 30)
    trace = Trace(true_prob=np.stack([rising, rising + 0.5, np.full(30, 0.1)], 1))
    hard, easy, still = dual(trace)
    assert hard > easy > still == 0


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


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda t: dyn_unc(t, 9), "a window of 9 needs 10 snapshots.* has 9"),
        (lambda t: dyn_unc(t, 1), "window is 1, allowed is at least 2"),
        (lambda t: dual(t), "stop is 30, allowed is at most the trace's 9"),
        (lambda t: dual(t, 10, None), "a window of 10 needs 10 snapshots.* has 9"),
        (lambda t: dual(t, 5, 4), "a window of 5 needs 5 snapshots, .* has 4"),
        (lambda t: tdds(t, 10), "a window of 10 needs 10 snapshots.* has 9"),
        (lambda t: tdds(t, 2), "window is 2, allowed is at least 3"),
        (lambda t: tdds(t, 3, 10), "stop is 10, allowed is at most the trace's 9"),
        (lambda t: tdds(t, 3, decay=0.0), r"decay is 0.0, allowed .* \(0, 1\]"),
    ],
)
def test_windows_refuse_bad_input(score, message):
    with pytest.raises(InputError, match=message):
        score(Trace(true_prob=uniform(9), step_kl=uniform(9)))


def test_blocks_of_examples_change_nothing(monkeypatch):
    trace = Trace(true_prob=uniform(12, examples=23))
    whole = dyn_unc(trace), dual(trace, 4, None), cad(trace, 3, 2)
    monkeypatch.setattr(fluctuation, "_BLOCK", 5)
    for found, expected in zip(
        (dyn_unc(trace), dual(trace, 4, None), cad(trace, 3, 2)), whole, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
