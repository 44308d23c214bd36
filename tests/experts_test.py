"""Experts: their trajectories, and that runs train and book them once."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import runs
import tiny

from ddjax import keys, memory, models, pipeline, settings, torch_files
from ddjax.distill.match.experts import Experts, flatten
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages import experts as stage_of
from ddjax.stages.experts import experts_stage, read_experts, snapshot_steps
from ddjax.stages.synthetic import outline_of
from ddjax.train import checkpoint, order, student

SMALL = Experts(count=2, epochs=2, learning_rate=0.1, batch_size=36, augment=())
IPC = 2


def config(source, *methods, **changes):
    made = tiny.config(source)
    made.select.methods, made.regimes = ("random",), ("hard",)
    made.student.network.mlp.hidden = ()
    for name in methods:
        settings.add_distillation(made, name)
        made.distill[name].sets = 1
        made.distill[name].own_rate = True
        made.distill[name].experts.count = 2
        made.distill[name].experts.epochs = 3
        made.distill[name].experts.batch_size = 36
        own = made.distill[name][name]
        own.iterations, own.steps, own.span, own.max_start = 4, 2, 1, 2
        own.learning_rate, own.rate_learning_rate = 0.1, 1e-3
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def problem(source):
    return open_problem(from_config(config(source)))


def trained(run, problem, options=SMALL):
    students = runs.students_of(problem)
    stage = experts_stage(problem, students, options, "distill.x.experts")
    return runs.result(run, stage), stage


@pytest.fixture(scope="module")
def made(problem, tmp_path_factory):
    """Trajectories, their stage, and what the folder holds."""
    with runs.running(tmp_path_factory.mktemp("run")) as run:
        found, stage = trained(run, problem)
        return found, stage, sorted(runs.created(run.folder))


def test_snapshots_are_taken_where_epochs_end():
    # 96 images: epochs end in steps 3, 6 and 8 of 36 images, the last one exactly.
    assert snapshot_steps(Experts(epochs=3, batch_size=36), 96) == (3, 6, 8)
    assert snapshot_steps(Experts(epochs=2, batch_size=96), 96) == (1, 2)


def test_a_trajectory_is_plain_sgd_written_out(problem, made):
    found, _, names = made
    pool, count = problem.pool, len(problem.pool)
    classes, pixels = 3, 64
    assert found.weights.shape == (2, 3, classes + classes * pixels)
    assert found.weights.dtype == np.float32
    assert [name.split("-")[0] for name in names].count("experts") == 1
    flat = (pool.images.reshape(count, -1) / 255 - problem.mean) / problem.std
    onehot = np.eye(classes)[pool.labels]
    positions = np.arange(count, dtype=np.int32)
    for row, seed in enumerate((stage_of._SEED, stage_of._SEED + 1)):
        first = student.init_student(
            stage_of._program(problem, problem.student_network, SMALL), np.int32(seed)
        )
        weights = np.asarray(flatten(first["variables"]["params"]), np.float64)
        np.testing.assert_allclose(found.weights[row, 0], weights, atol=1e-7)
        shown = order.presentations(np.int32(seed), positions, pool.ids, 0, 6 * 36)
        for step in range(6):
            batch = np.asarray(shown.positions)[step * 36 : (step + 1) * 36]
            kernel = weights[classes:].reshape(pixels, classes)
            logits = flat[batch] @ kernel + weights[:classes]
            raised = np.exp(logits - logits.max(1, keepdims=True))
            error = raised / raised.sum(1, keepdims=True) - onehot[batch]
            slope = np.append(error.sum(0), flat[batch].T @ error) / 36
            weights = weights - SMALL.learning_rate * slope
            if step + 1 in (3, 6):
                at = found.weights[row, (step + 1) // 3]
                np.testing.assert_allclose(at, weights, rtol=1e-4, atol=1e-5)


def test_experts_are_not_the_students_that_sets_are_evaluated_with(made, problem):
    found, *_ = made
    for seed in range(3):
        program = stage_of._program(problem, problem.student_network, SMALL)
        begun = student.init_student(program, np.int32(seed))["variables"]["params"]
        assert np.abs(found.weights[:, 0] - np.asarray(flatten(begun))).max() > 0.01


def test_the_plan_is_what_was_spent(made):
    found, stage, _ = made
    (work,), (stored,) = stage.plan().work, stage.plan().stored
    assert work.cost.train_passes == found.cost.train_passes == 2 * 6 * 36
    np.testing.assert_allclose(work.cost.flops, found.cost.flops, rtol=1e-6)
    assert stored.bytes == found.weights.nbytes


def test_more_experts_are_added_to_those_that_are_there(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_of, "_GROUP", 2)
    with runs.running(tmp_path) as run:
        few, _ = trained(run, problem)
        before = runs.created(run.folder)
        options = Experts(3, 2, 0.1, 36, ())
        many, _ = trained(run, problem, options)
        after = runs.created(run.folder)
    np.testing.assert_array_equal(many.weights[:2], few.weights)
    assert before.items() <= after.items() and len(after) == len(before) + 1
    assert many.address != few.address
    assert many.cost.train_passes == 1.5 * few.cost.train_passes


def test_a_stopped_training_of_experts_goes_on(
    source, made, problem, tmp_path, monkeypatch
):
    class Stop(Exception):
        pass

    save = checkpoint.save

    def stopping(*given):
        save(*given)
        raise Stop

    chosen = from_config(config(source, sweep__checkpoint_seconds=1e-9))
    with runs.running(tmp_path) as run:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", stopping)
            with pytest.raises(Stop):
                trained(run, open_problem(chosen))
        (kept,) = run.workdir.partial.glob("experts-*/*/arrays.npz")
        assert int(kept.parent.name) < 6
        found, _ = trained(run, problem)
    np.testing.assert_array_equal(found.weights, made[0].weights)
    assert found.cost.train_passes == made[0].cost.train_passes


def test_experts_of_another_run_are_read(source, made, problem, tmp_path):
    expected, _, _ = made
    with runs.running(tmp_path) as run:
        trained(run, problem)
        (folder,) = run.workdir.artifacts.glob("experts-*")
    for path in (folder, folder.parent):
        options = Experts(path=str(path), batch_size=10**6)
        with runs.running(tmp_path / "other") as run:
            found, stage = trained(run, problem, options)
            assert not list(run.workdir.artifacts.glob("experts-*"))
        np.testing.assert_array_equal(found.weights, expected.weights)
        assert found.cost.train_passes == expected.cost.train_passes
        assert stage.plan().work == ()
    changes = {"distill__mtt__experts__path": str(folder)}
    chosen = from_config(config(source, "mtt", **changes))
    outline = outline_of(open_problem(chosen), "mtt")
    assert outline.experts == (2, 3)
    for change, message in (
        ({"data__validation": 0.3}, "its experts' source is .*, expected"),
        ({"student__network__mlp__hidden": (8,)}, "its experts' network is .*hidden"),
        ({"distill__mtt__experts__path": str(tmp_path)}, "allowed is a folder experts"),
    ):
        problem = open_problem(from_config(config(source, "mtt", **changes | change)))
        message = rf"distill\.mtt\.experts\.path.*{message}"
        with pytest.raises(InputError, match=message):
            outline_of(problem, "mtt")
    (folder / "arrays.npz").write_bytes(b"")
    with pytest.raises(InputError, match="arrays.npz: sha256 is .* damaged"):
        outline_of(open_problem(chosen), "mtt")


def test_replay_buffers_are_read(source, tmp_path):
    network = {"name": "convnet_d1", "convnet.width": 4}
    changes = {
        f"student__network__{k.replace('.', '__')}": v for k, v in network.items()
    }
    problem = open_problem(from_config(config(source, **changes)))
    variables = [problem.student_network.init(keys.key(i)) for i in range(12)]
    for number, first in ((2, 0), (10, 6)):  # by number, not by name
        states = [
            models.to_torch("convnet_d1", one) for one in variables[first : first + 6]
        ]
        layers = ("features.0", "features.1", "classifier")
        names = [f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")]
        rows = [[state[name] for name in names] for state in states]
        path = tmp_path / f"replay_buffer_{number}.pt"
        torch_files.write(path, [rows[:3], rows[3:]])
    found = read_experts(problem, str(tmp_path), "distill.x.experts")
    assert found.weights.shape[:2] == (4, 3)
    flat = [np.asarray(flatten(one["params"])) for one in variables]
    np.testing.assert_array_equal(found.weights.reshape(12, -1), flat)
    one = read_experts(problem, str(path), "distill.x.experts")
    np.testing.assert_array_equal(one.weights, found.weights[2:])
    torch_files.write(path, [rows[:2], rows[3:5]])
    message = r"distill\.x\.experts\.path: found \[2, 3\], allowed is files of"
    with pytest.raises(InputError, match=message):
        read_experts(problem, str(tmp_path), "distill.x.experts")
    other = open_problem(from_config(config(source)))
    message = r"distill\.x\.experts\.path: student.network: found .* of a ConvNet"
    with pytest.raises(InputError, match=message):
        read_experts(other, str(path), "distill.x.experts")


def test_weights_that_memory_does_not_hold_are_refused(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "host", lambda: 2**14)
    message = r"distill\.x\.experts\.count: weights of 9 experts take 0\.0 GiB, allowed"
    with runs.running(tmp_path) as run:
        with pytest.raises(InputError, match=message):
            trained(run, problem, dataclasses.replace(SMALL, count=9))
        assert not list(run.workdir.artifacts.glob("experts-*"))


def test_a_rate_that_diverges_is_named(problem, tmp_path):
    options = Experts(1, 1, 1e38, 12, ())
    with runs.running(tmp_path) as run:
        message = r"distill\.x\.experts\.learning_rate: found 1e\+38, with which"
        with pytest.raises(InputError, match=message):
            trained(run, problem, options)


@pytest.mark.slow
def test_two_methods_share_experts_and_both_pay(source, tmp_path):
    chosen = config(source, "mtt", "datm")
    summary = pipeline.run(from_config(chosen), tmp_path / "run")
    assert set(summary["method"]) == {"random", "mtt", "datm", "full"}
    folder = tmp_path / "run"
    (manifest,) = folder.glob("artifacts/experts-*/manifest.json")
    paid = json.loads(manifest.read_text())["cost"]["train_passes"]
    assert paid == 2 * 8 * 36
    members = pd.DataFrame(runs.rows_of(folder))
    cost = members.groupby("method")["find_passes"].first()
    each = 4 * 3 * 2 * 6  # iterations, a step with its derivative, steps, images
    assert cost["random"] == 0 and cost["mtt"] == paid + each
    assert cost["datm"] == paid + each + 96 + 2 * 6
    rates = {
        info["name"]: info["learning_rate"]
        for path in folder.glob("artifacts/synthetic-*/manifest.json")
        for info in [json.loads(path.read_text())["info"]]
    }
    for name, rate in rates.items():
        own = members[members["method"] == name]["learning_rate"]
        np.testing.assert_allclose(own, rate, rtol=1e-6)
        assert rate != 0.01
    before = runs.created(folder)
    pipeline.run(from_config(chosen), folder)
    assert runs.created(folder) == before


def test_windows_are_refused_before_a_folder_is_there(source, tmp_path):
    chosen = config(source, "mtt", distill__mtt__mtt__max_start=4)
    with pytest.raises(InputError, match=r"distill\.mtt\.mtt\.max_start: found 4, all"):
        pipeline.run(from_config(chosen), tmp_path / "run")
    assert not (tmp_path / "run").exists()
