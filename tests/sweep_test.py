"""Sweeps: the drivers agree, a member equals its solo run, resumed equals whole."""

import json
import os
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from ddjax.artifacts import Cost
from ddjax.data.augment import Recipe
from ddjax.labels import Objective
from ddjax.models import network
from ddjax.train import batches, checkpoint, student, sweep
from ddjax.train import members as groups
from ddjax.train.members import Members, Watch

N, CLASSES, STEPS = 20, 4, 9
SHAPE = (4, 4, 1)
PROGRAM = student.Program(
    network=network("mlp", CLASSES, SHAPE, hidden=(6,)),
    objective=Objective("hard"),
    recipe=Recipe(pad=1, flip=True, cutmix=1.0),
    batch_size=4,
)


def make_runner(driver="vmap", program=PROGRAM):
    rng = np.random.default_rng(0)
    pool = batches.Pool(
        jnp.asarray(rng.integers(0, 256, (N, *SHAPE), np.uint8)),
        jnp.asarray(np.arange(N, dtype=np.int32) % CLASSES),
        jnp.arange(N, dtype=jnp.int32),
        jnp.full(1, 0.4, jnp.float32),
        jnp.full(1, 0.3, jnp.float32),
    )
    return sweep.Runner(program, pool, driver, runs.COMPILED)


def make_members(rows=(0, 1, 2)):
    subsets = [np.arange(8), np.arange(4, 20), np.arange(0, 16, 2)]
    rates = np.array([0.1, 0.01, 0.03], np.float32)
    count = len(rows)
    values = student.HParams(0.0, float(STEPS))
    hparams = jax.tree.map(lambda v: np.full(count, v, np.float32), values)
    return Members(
        np.array([(0, 1, 0)[row] for row in rows], np.int32),
        [subsets[row].astype(np.int32) for row in rows],
        hparams._replace(learning_rate=rates[list(rows)]),
    )


def params_of(states, row):
    width = len(states[0]["step"])
    state = states[row // width]["variables"]
    return [np.asarray(a[row % width]) for a in jax.tree.leaves(state)]


def assert_close(a, b):
    # Float noise of differently batched matrix products over nine steps of AdamW.
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def reference():
    return make_runner().train(make_members(), STEPS)[0]


@pytest.mark.parametrize("driver", ["loop", "mesh"])
def test_drivers_agree(reference, driver):
    state, _ = make_runner(driver).train(make_members(), STEPS)
    for row in range(3):
        assert_close(params_of(state, row), params_of(reference, row))


@pytest.mark.parametrize("driver, data", [("loop", 2), ("vmap", 4), ("mesh", 2)])
def test_devices_that_share_a_batch_agree(reference, driver, data):
    runner = sweep.Runner(PROGRAM, make_runner().pool, driver, {}, data)
    state, _ = runner.train(make_members(), STEPS)
    for row in range(3):
        assert_close(params_of(state, row), params_of(reference, row))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_member_equals_its_solo_run(reference, row):
    state, _ = make_runner().train(make_members((row,)), STEPS)
    assert_close(params_of(state, 0), params_of(reference, row))


def test_a_failing_member_fails_alone(reference):
    members = make_members()
    members.hparams.learning_rate[1] = np.nan
    state, _ = make_runner().train(members, STEPS)
    assert not np.isfinite(params_of(state, 1)[0]).any()
    for row in (0, 2):
        for a, b in zip(params_of(state, row), params_of(reference, row), strict=True):
            np.testing.assert_array_equal(a, b)


def test_stretches_change_nothing(reference, monkeypatch):
    monkeypatch.setattr(groups, "STRETCH", 2)
    state, _ = make_runner().train(make_members(), STEPS)
    for row in range(3):
        assert_close(params_of(state, row), params_of(reference, row))


def measure(states, before):
    """Records the step and curve, and the step at which it was called before."""
    names = ("step", "curve")
    record = {n: np.concatenate([np.asarray(s[n]) for s in states])[:3] for n in names}
    step = record["step"].astype(np.int32)
    return record | {"before": before.get("step", 0 * step)}, {"step": step}


def test_stops_are_measured_after_their_steps():
    _, records = make_runner().train(
        make_members(), STEPS, stops=(1, 4, STEPS), measure=measure
    )
    np.testing.assert_array_equal(records["step"], [[1] * 3, [4] * 3, [STEPS] * 3])
    np.testing.assert_array_equal(records["before"], [[0] * 3, [1] * 3, [4] * 3])


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_resumed_equals_uninterrupted(tmp_path, reference, stop):
    folder = tmp_path / "partial"
    arguments = {
        "stops": (2, 4, 7),
        "measure": measure,
        "folder": folder,
        "checkpoint_seconds": 0.0,
    }
    done = []

    class Stopping(Watch):
        def progress(self, steps):
            done.append(steps)
            if sum(done) > limit:
                raise Stop

    limit = stop * 3
    with pytest.raises(Stop):
        make_runner().train(make_members(), STEPS, watch=Stopping(), **arguments)
    kept = list(folder.glob("*")) if folder.exists() else []
    done.clear()
    limit = STEPS * 3
    state, records = make_runner().train(
        make_members(), STEPS, watch=Stopping(), **arguments
    )
    assert sum(done) == STEPS * 3
    assert (done[0] > 0) == bool(kept)
    np.testing.assert_array_equal(records["step"], [[2] * 3, [4] * 3, [7] * 3])
    for row in range(3):
        for a, b in zip(params_of(state, row), params_of(reference, row), strict=True):
            np.testing.assert_array_equal(a, b)


SHOWN = {"stops": (2, 4, 7), "measure": measure, "checkpoint_seconds": 0.0}


class Listening(Watch):
    """Stops behind so many member-steps, and keeps what it is told."""

    def __init__(self, limit=np.inf):
        self.left, self.lines = limit, []

    def progress(self, steps):
        self.left -= steps
        if self.left < 0:
            raise Stop

    def say(self, line):
        self.lines.append(line)


def begun(folder):
    """Leaves an unfinished training with a checkpoint; returns the checkpoint."""
    with pytest.raises(Stop):
        make_runner().train(
            make_members(), STEPS, folder=folder, watch=Listening(5 * 3), **SHOWN
        )
    (path,) = folder.iterdir()
    return path


def resumed(folder):
    """Goes on; returns (params of a member, measured, cost, what was said)."""
    runner, watch = make_runner(), Listening()
    states, seen = runner.train(
        make_members(), STEPS, folder=folder, watch=watch, **SHOWN
    )
    return params_of(states, 0), seen, runner.take_cost(), watch.lines


def evaluated(states, before):
    """As `measure`, and evaluates the members, which costs passes."""
    EVALUATING[0].evaluate(
        mean_of, states, 3, np.zeros((8, *SHAPE), np.uint8), np.arange(8)
    )
    return measure(states, before)


EVALUATING = []


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_resumed_costs_what_an_uninterrupted_one_does(tmp_path, stop):
    def train(watch, folder=None):
        runner = make_runner()
        EVALUATING[:] = [runner]
        arguments = SHOWN | {"measure": evaluated}
        runner.train(make_members(), STEPS, folder=folder, watch=watch, **arguments)
        return runner.take_cost()

    whole = train(Listening())
    with pytest.raises(Stop):
        train(Listening(stop * 3), tmp_path / "partial")
    manifests = list(tmp_path.glob("partial/*/manifest.json"))
    kept = [json.loads(path.read_text())["cost"] for path in manifests]
    cost = train(Listening(), tmp_path / "partial")
    assert whole.forward_passes == 3 * 3 * 8
    for name in ("forward_passes", "train_passes", "flops"):
        assert getattr(cost, name) == getattr(whole, name), name
    assert len(kept) == (stop > 1)
    assert all(cost.seconds > earlier["seconds"] > 0 for earlier in kept)


def nothing(path):
    shutil.rmtree(path)
    path.mkdir()


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def other_shapes(path):
    """A sound checkpoint, of a network with other layers."""
    found = checkpoint.Checkpoint(int(path.name), {}, {}, Cost(), {"a": np.ones(3)})
    shutil.rmtree(path)
    checkpoint.save(path.parent, found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong, says",
    [
        (nothing, "manifest.json: is missing"),
        (other_shapes, "holds .*'a'.* expected .*curve"),
        (lambda path: path.joinpath("arrays.npz").unlink(), "arrays.npz: is missing"),
        (lambda path: flipped(path / "arrays.npz"), "arrays.npz: sha256 is"),
        (lambda path: flipped(path / "manifest.json"), "manifest.json: is damaged"),
        (
            lambda path: flipped(max(path.rglob("state/**/*"), key=size)),
            "state/.*: sha256 is",
        ),
        (lambda path: os.truncate(path / "manifest.json", 20), "is damaged"),
        (lambda path: os.rename(path, path.with_name("8")), "address is '4', expec"),
        (lambda path: [shutil.rmtree(path), path.write_text("x")], "is damaged"),
    ],
)
def test_a_damaged_checkpoint_starts_afresh_and_is_told(tmp_path, wrong, says):
    expected = resumed(tmp_path / "whole")
    wrong(begun(tmp_path / "partial"))
    params, seen, cost, (line,) = resumed(tmp_path / "partial")
    assert re.search(f"damaged: {tmp_path}/partial/.*{says}", line), line
    assert "afresh" in line
    for a, b in zip(params, expected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(seen["curve"], expected[1]["curve"])
    assert cost.train_passes == expected[2].train_passes


def size(path):
    return path.stat().st_size if path.is_file() else 0


def test_of_two_checkpoints_the_older_is_taken_where_the_newer_is_damaged(tmp_path):
    older = begun(tmp_path / "partial")
    newer = older.with_name("8")
    shutil.copytree(older, newer)
    *_, cost, (line,) = resumed(tmp_path / "partial")
    assert "partial/8/manifest.json: address is '4'" in line
    assert cost.train_passes == resumed(tmp_path / "whole")[2].train_passes


def test_costs_count_real_members_only():
    runner = make_runner()
    runner.train(make_members(), STEPS)
    cost = runner.take_cost()
    assert cost.train_passes == 3 * STEPS * PROGRAM.batch_size
    assert cost.flops > 0 and cost.seconds > 0
    assert runner.take_cost().train_passes == 0


@pytest.mark.parametrize("count, width", [(1, 1), (2, 2), (3, 4), (8, 8), (9, 16)])
def test_width_is_a_power_of_two_under_vmap(count, width):
    assert make_runner().width(count) == width


@pytest.mark.parametrize("count", [1, 3, 8])
def test_width_is_one_member_a_device_under_loop_and_mesh(count):
    assert make_runner("loop").width(count) == 1
    assert make_runner("mesh").width(count) == jax.local_device_count() == 4


def mean_of(network, variables, images, labels):
    logits, _ = network.apply(variables, images)
    return {"mean": images.mean((1, 2, 3)), "label": labels, "logits": logits}


@pytest.mark.parametrize("driver", ["vmap", "mesh"])
@pytest.mark.parametrize("count", [3, 300])
def test_ask_answers_for_every_member_and_image(driver, count):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, *SHAPE), np.uint8)
    labels = np.arange(count, dtype=np.int32)
    runner = make_runner(driver)
    states, _ = runner.train(make_members(), 1)
    seen = runner.evaluate(mean_of, states, 3, images, labels)
    expected = ((images / 255.0 - 0.4) / 0.3).mean((1, 2, 3))
    assert seen["logits"].shape == (3, count, CLASSES)
    for row in range(3):
        np.testing.assert_allclose(seen["mean"][row], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(seen["label"][row], labels)
    assert not np.allclose(seen["logits"][0], seen["logits"][1])


def test_lift_shares_unbatched_arguments():
    rows, shared = jnp.arange(8.0).reshape(4, 2), jnp.array([1.0, 10.0])
    for driver in ("vmap", "loop", "mesh"):
        lifted = sweep.lift(
            lambda a, b: a @ b, driver, (True, False), sweep.grid_of(driver, 1)
        )
        np.testing.assert_allclose(jax.jit(lifted)(rows, shared), rows @ shared)


def test_checkpoint_round_trips(tmp_path):
    tree = {
        "a": np.arange(3.0, dtype=np.float32),
        "b": [np.int32(4), {"c": np.ones(2)}],
    }
    checkpoint.save_tree(tmp_path / "t", tree)
    found = checkpoint.load_tree(tmp_path / "t", tree)
    jax.tree.map(np.testing.assert_array_equal, tree, found)
