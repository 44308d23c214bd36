"""The trace: when snapshots are taken, and that a scoring run is its own seed's."""

import numpy as np
import pytest
import runs
import tiny

from ddjax import scores
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.report.statistics import FULL
from ddjax.settings import from_config
from ddjax.stages.rates import Rates
from ddjax.stages.trace import (
    run_seeds,
    snapshot_steps,
    trace_of,
    trace_stage,
    trace_weights,
)

FIELDS = (
    "true_prob",
    "el2n",
    "margin",
    "correct",
    "entropy",
    "least_confidence",
    "second_prob",
    "step_kl",
)
IPC, RATE = 2, 0.01


def trace_of_regime(run, problem, regime):
    rates = runs.known(Rates({FULL: RATE}))
    stage = trace_stage(problem, runs.students_of(problem), rates, regime, IPC)
    return runs.result(run, stage)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Makes the tiny source's trace in a new folder, with changed settings."""
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")

    def make(**changes):
        problem = open_problem(from_config(tiny.config(source, **changes)))
        with runs.running(tmp_path_factory.mktemp("run")) as run:
            return problem, trace_of_regime(run, problem, "hard")

    return make


@pytest.fixture(scope="module")
def two_seeds(trace):
    return trace()


@pytest.mark.parametrize(
    "steps, batch_size, examples, least, expected",
    [
        # Eight whole epochs of five steps.
        (40, 6, 30, 5, (5, 10, 15, 20, 25, 30, 35, 40)),
        # Epochs end inside steps 4 and 7; the step that completes them counts.
        (10, 6, 20, 3, (4, 7, 10)),
        # A third of an epoch is left over after the last snapshot.
        (11, 6, 20, 3, (4, 7, 10)),
        # Three epochs are too few for four snapshots, which then share the steps.
        (10, 6, 20, 4, (3, 5, 8, 10)),
        (9, 6, 900, 9, (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (1, 1, 50, 1, (1,)),
    ],
)
def test_snapshot_steps_by_hand(steps, batch_size, examples, least, expected):
    assert snapshot_steps(steps, batch_size, examples, least) == expected


@pytest.mark.parametrize("seed", range(3))
def test_snapshot_steps_increase_and_reach_the_end(seed):
    rng = np.random.default_rng(seed)
    for _ in range(200):
        examples, least = int(rng.integers(2, 500)), int(rng.integers(1, 12))
        batch_size = int(rng.integers(1, examples + 1))
        steps = int(rng.integers(least, 300))
        found = np.array(snapshot_steps(steps, batch_size, examples, least))
        assert len(found) >= least
        assert found[0] >= 1 and (np.diff(found) > 0).all()
        epochs = steps * batch_size // examples
        if epochs >= least:
            # An epoch is over when its last image was presented, not a step later.
            np.testing.assert_array_equal(
                (found * batch_size) // examples >= np.arange(1, epochs + 1), True
            )
            assert steps - found[-1] < -(-examples // batch_size)
        else:
            assert found[-1] == steps and len(found) == least


def test_snapshot_steps_refuses_a_run_shorter_than_its_snapshots():
    with pytest.raises(InputError, match="8 steps are too few for the 9 snapshots"):
        snapshot_steps(8, 6, 900, 9)


def test_trace_records_every_snapshot_of_every_example(two_seeds):
    problem, artifact = two_seeds
    count = len(problem.pool)
    stops = snapshot_steps(20, 6, count, 9)
    assert artifact.manifest["settings"]["stops"] == list(stops)
    for name in FIELDS:
        assert artifact.arrays[name].shape == (2, len(stops), count), name
        assert np.isfinite(artifact.arrays[name]).all(), name
    assert set(artifact.arrays) == set(FIELDS)


def test_trace_keeps_the_weights_that_gave_the_last_snapshot(two_seeds):
    problem, artifact = two_seeds
    source = problem.source
    shown = problem.pool.images / np.float32(255) - np.float32(source.mean)
    shown /= np.float32(source.std)
    for run in range(2):
        weights = trace_weights(problem, artifact, run)
        logits, _ = problem.student_network.apply(weights, shown)
        last = scores.snapshot(logits, problem.pool.labels)
        found = trace_of(artifact, run)
        np.testing.assert_allclose(found.margin[-1], last["margin"], atol=1e-4)


def test_trace_records_the_change_between_snapshots(trace, two_seeds):
    _, artifact = two_seeds
    changes = artifact.arrays["step_kl"]
    assert (changes[:, 0] == 0).all() and (changes[:, 1:] > 0).any(axis=-1).all()
    # Of two classes p and 1 - p are all there is to know; of three, a bound remains:
    # the change of the true class alone is part of the sum.
    probs = artifact.arrays["true_prob"].astype(np.float64)
    part = np.abs(probs[:, 1:] * np.log(probs[:, 1:] / probs[:, :-1]))
    assert (changes[:, 1:] >= part - 1e-5).all()


def test_trace_averages_nothing_but_trains_as_many_runs_as_asked(trace):
    problem, artifact = trace(select__runs=2, protocol__seeds=(0,))
    assert artifact.manifest["settings"]["seeds"] == run_seeds(problem)
    assert len(set(run_seeds(problem))) == 2 and run_seeds(problem)[0] == 0
    assert artifact.arrays["true_prob"].shape[0] == 2
    assert not np.array_equal(*artifact.arrays["true_prob"])
    assert artifact.cost.train_passes == 2 * 20 * 6


def test_soft_trace_measures_the_distance_to_the_teachers_labels(tmp_path):
    source = tiny.write(tmp_path / "tiny.npz")
    problem = open_problem(from_config(tiny.config(source)))
    with runs.running(tmp_path / "run") as run:
        labels = runs.labels_of(run, problem, runs.teacher_of(run, problem))
        artifact = trace_of_regime(run, problem, "soft")
        weights = trace_weights(problem, artifact, 1)
    images = problem.pool.images / np.float32(255) - np.float32(problem.source.mean)
    images /= np.float32(problem.source.std)
    logits = np.asarray(problem.student_network.apply(weights, images)[0], np.float64)
    teacher_logits = labels.arrays["logits"].astype(np.float64)
    expected = []
    for row, label in zip(logits, teacher_logits, strict=True):
        p, q = np.exp(row) / np.exp(row).sum(), np.exp(label) / np.exp(label).sum()
        expected.append(sum((p - q) ** 2) ** 0.5)
    found = trace_of(artifact, 1)
    np.testing.assert_allclose(found.el2n_sl[-1], expected, rtol=1e-3, atol=1e-5)
    # The run learned from the labels that it is compared with.
    assert found.el2n_sl[-1].mean() < found.el2n_sl[0].mean()


def test_trace_spends_the_students_budget(two_seeds):
    problem, artifact = two_seeds
    assert artifact.info["epochs"] == 20 * 6 / len(problem.pool)
    assert artifact.cost.train_passes == 2 * 20 * 6
    assert artifact.cost.forward_passes == 2 * 9 * len(problem.pool)


def test_trace_sees_the_network_learn(two_seeds):
    _, artifact = two_seeds
    correct = artifact.arrays["correct"].mean(axis=-1)
    assert (correct[:, -1] > correct[:, 0]).all()
    assert not np.array_equal(*artifact.arrays["true_prob"])


def test_trace_is_deterministic(trace, two_seeds):
    _, again = trace()
    assert not again.reused
    for name, array in two_seeds[1].arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)


@pytest.mark.parametrize("row, seed", [(0, 0), (1, 1)])
def test_trace_row_is_the_seeds_solo_run(trace, two_seeds, row, seed):
    _, solo = trace(protocol__seeds=(seed,))
    for name, array in two_seeds[1].arrays.items():
        np.testing.assert_array_equal(solo.arrays[name][0], array[row], err_msg=name)


def test_trace_batched_rows_are_the_solo_runs(trace, two_seeds):
    _, batched = trace(sweep__driver="vmap", protocol__seeds=(1, 5, 0))
    for row, expected in ((0, 1), (2, 0)):
        for name in ("true_prob", "margin"):
            # Float noise of batched matrix products over twenty steps of AdamW.
            np.testing.assert_allclose(
                batched.arrays[name][row],
                two_seeds[1].arrays[name][expected],
                rtol=1e-3,
                atol=1e-4,
                err_msg=name,
            )


def test_trace_of_gives_one_run(two_seeds):
    _, artifact = two_seeds
    for row in range(2):
        one = trace_of(artifact, row)
        for name in FIELDS:
            np.testing.assert_array_equal(
                getattr(one, name), artifact.arrays[name][row]
            )


def test_trace_refuses_a_scoring_run_that_diverged(trace, monkeypatch):
    monkeypatch.setattr("trace_test.RATE", 1e30)
    with pytest.raises(InputError, match="student.learning_rates: with 1e.30"):
        trace()
