"""The trace: when snapshots are taken, and that a scoring run is its own seed's."""

import numpy as np
import pytest
import tiny

from ddjax.artifacts import Workdir
from ddjax.errors import InputError
from ddjax.settings import from_config
from ddjax.stations.context import open_context
from ddjax.stations.students import Students
from ddjax.stations.trace import snapshot_steps, trace_of, trace_station

FIELDS = ("true_prob", "el2n", "margin", "correct", "entropy")
IPC, RATE = 2, 0.01
COMPILED = {}


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Makes the tiny source's trace in a new folder, with changed settings."""
    source = tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")

    def make(**changes):
        context = open_context(from_config(tiny.config(source, **changes)))
        context.compiled = COMPILED
        folder = tmp_path_factory.mktemp("run")
        with Workdir(folder, {"experiment": "trace"}) as context.workdir:
            students = Students(context, {})
            return context, trace_station(context, students, IPC, RATE)

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


def test_trace_station_records_every_snapshot_of_every_example(two_seeds):
    context, artifact = two_seeds
    count = len(context.pool)
    stops = snapshot_steps(20, 6, count, 9)
    assert artifact.manifest["settings"]["stops"] == list(stops)
    for name in FIELDS:
        assert artifact.arrays[name].shape == (2, len(stops), count), name
        assert np.isfinite(artifact.arrays[name]).all(), name
    assert artifact.arrays["features"].shape == (2, count, 8)
    assert np.isfinite(artifact.arrays["features"]).all()


def test_trace_station_spends_the_students_budget(two_seeds):
    context, artifact = two_seeds
    assert artifact.info["epochs"] == 20 * 6 / len(context.pool)
    assert artifact.cost.train_passes == 2 * 20 * 6
    assert artifact.cost.forward_passes == 2 * 9 * len(context.pool)


def test_trace_station_sees_the_network_learn(two_seeds):
    _, artifact = two_seeds
    correct = artifact.arrays["correct"].mean(axis=-1)
    assert (correct[:, -1] > correct[:, 0]).all()
    assert not np.array_equal(*artifact.arrays["true_prob"])


def test_trace_station_is_deterministic(trace, two_seeds):
    _, again = trace()
    assert not again.reused
    for name, array in two_seeds[1].arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)


@pytest.mark.parametrize("row, seed", [(0, 0), (1, 1)])
def test_trace_station_row_is_the_seeds_solo_run(trace, two_seeds, row, seed):
    _, solo = trace(protocol__seeds=(seed,))
    for name, array in two_seeds[1].arrays.items():
        np.testing.assert_array_equal(solo.arrays[name][0], array[row], err_msg=name)


def test_trace_station_batched_rows_are_the_solo_runs(trace, two_seeds):
    _, batched = trace(sweep__driver="vmap", protocol__seeds=(1, 5, 0))
    for row, expected in ((0, 1), (2, 0)):
        for name in ("true_prob", "margin", "features"):
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


def test_trace_station_refuses_a_scoring_run_that_diverged(trace, monkeypatch):
    monkeypatch.setattr("trace_test.RATE", 1e30)
    with pytest.raises(InputError, match="student.learning_rates: with 1e.30"):
        trace()
