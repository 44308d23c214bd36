"""Dyn-Unc, DUAL and entropy: by hand, against slow references, and refused input."""

import statistics

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, cad, dual, dyn_unc, entropy, windows


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


def test_entropy_is_that_of_the_snapshot():
    values = uniform(5)
    trace = Trace(entropy=values)
    np.testing.assert_array_equal(entropy(trace), values[4])
    np.testing.assert_array_equal(entropy(trace, at=1), values[1])
    entropy(trace)[:] = 0
    np.testing.assert_array_equal(entropy(trace), values[4])


@pytest.mark.parametrize(
    "score, message",
    [
        (lambda t: dyn_unc(t, 9), "a window of 9 needs 10 snapshots.* has 9"),
        (lambda t: dyn_unc(t, 1), "window is 1, allowed is at least 2"),
        (lambda t: dual(t), "stop is 30, allowed is at most the trace's 9"),
        (lambda t: dual(t, 10, None), "a window of 10 needs 10 snapshots.* has 9"),
        (lambda t: dual(t, 5, 4), "a window of 5 needs 5 snapshots, .* has 4"),
        (lambda t: entropy(t), "trace.entropy: not recorded"),
    ],
)
def test_bad_input_is_refused(score, message):
    with pytest.raises(InputError, match=message):
        score(Trace(true_prob=uniform(9)))


def test_snapshot_that_is_not_there_is_refused():
    for at in (5, -6):
        with pytest.raises(InputError, match=f"snapshot {at} was asked .* 0..4"):
            entropy(Trace(entropy=uniform(5)), at=at)


def test_blocks_of_examples_change_nothing(monkeypatch):
    trace = Trace(true_prob=uniform(12, examples=23))
    whole = dyn_unc(trace), dual(trace, 4, None), cad(trace, 3, 2)
    monkeypatch.setattr(windows, "_BLOCK", 5)
    for found, expected in zip(
        (dyn_unc(trace), dual(trace, 4, None), cad(trace, 3, 2)), whole, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
