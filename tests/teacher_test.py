"""Teachers that are trained: what is kept of them, and runs of nothing else."""

import functools
import json

import jax
import numpy as np
import pandas as pd
import pytest
import runs
import tiny
from runs import created, running
from tables import misfits, tables, wrong

from ddjax import pipeline, settings
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.train import checkpoint

STEPS = {1: 8, 2: 16, 3: 24}  # of 96 images in batches of 12
# At a constant rate the first epochs do not know how many follow.
CHANGES = {"teacher__optimizer__schedule": "constant", "teacher__snapshots": (1, 2)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


def open_run(source, **changes):
    config = tiny.config(source, **CHANGES | changes)
    return open_problem(from_config(config))


@pytest.fixture(scope="module")
def opened(source):
    """Opens a problem with changed settings."""
    return functools.partial(open_run, source)


@pytest.fixture(scope="module")
def run(folder):
    with running(folder) as found:
        yield found


@pytest.fixture(scope="module")
def problem(opened):
    return opened()


@pytest.fixture(scope="module")
def teacher(run, problem):
    return runs.teacher_of(run, problem)


def logits_of(teacher, images, source):
    """The network's answer, the images normalised by hand."""
    mean, std = np.float32(source.mean), np.float32(source.std)
    inputs = (images / np.float32(255) - mean) / std
    return np.asarray(teacher.network.apply(teacher.variables, inputs)[0])


def accuracy_of(teacher, problem, split):
    examples = getattr(problem, split)
    logits = logits_of(teacher, examples.images, problem.source)
    return 100 * (logits.argmax(-1) == examples.labels).mean()


def equal(tree, other):
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_bundle_tells_what_its_users_must_know(problem, teacher):
    artifact, source = teacher.artifact, problem.source
    info, described = artifact.info, artifact.manifest["settings"]
    assert described["network"] == "mlp" and described["options"] == {"hidden": [8]}
    assert described["seed"] == 0 and described["steps"] == STEPS[3]
    recipe = described["recipe"]
    assert recipe["learning_rate"] == 3e-3 and recipe["batch_size"] == 12
    assert recipe["epochs"] == 3 and recipe["label_smoothing"] == 0
    assert recipe["optimizer"]["name"] == "adamw"
    assert described["augment"]["flip"] is False
    assert info["image_shape"] == [8, 8, 1]
    assert info["mean"] == list(source.mean) and info["std"] == list(source.std)
    assert info["classes"] == list(tiny.CLASSES)
    assert info["parameters"] == (64 + 1) * 8 + (8 + 1) * 3
    assert info["source"] == {"name": source.name, "digest": source.digest}
    assert set(info["accuracy"]) == {"validation", "test"}
    assert artifact.manifest["parents"] == {"data": problem.data_digest}
    assert not artifact.reused and artifact.cost.train_passes == STEPS[3] * 12


@pytest.mark.parametrize("split", ["validation", "test"])
def test_accuracies_are_those_of_the_weights(run, opened, split):
    for epoch in (0, 1, 2):
        problem = opened(teacher__epoch=epoch)
        found = runs.teacher_of(run, problem)
        expected = accuracy_of(found, problem, split)
        assert found.accuracy[split] == pytest.approx(expected, abs=1e-3), epoch
        info = found.artifact.info
        kept = info["snapshots"][str(epoch)] if epoch else info["accuracy"]
        assert found.accuracy == kept


def test_learning_curve_ends_with_the_bundles_accuracy(teacher):
    arrays, info = teacher.artifact.arrays, teacher.artifact.info
    np.testing.assert_array_equal(arrays["epochs"], [1, 2, 3])
    scores = [*info["snapshots"].values(), info["accuracy"]]
    expected = [score["validation"] for score in scores]
    np.testing.assert_allclose(arrays["validation"], expected, rtol=1e-5)
    losses = arrays["loss"][np.isfinite(arrays["loss"])]
    assert len(losses) == STEPS[3] and losses[-1] < losses[0]


def test_teacher_is_reused(run, opened, teacher):
    again = runs.teacher_of(run, opened())
    assert again.artifact.reused and again.artifact.path == teacher.artifact.path
    other = runs.teacher_of(run, opened(teacher__epochs=1, teacher__snapshots=()))
    assert other.artifact.path != teacher.artifact.path


def test_a_snapshot_holds_the_weights_of_a_training_that_ends_there(
    run, opened, teacher
):
    snapshot = runs.teacher_of(run, opened(teacher__epoch=1))
    short = runs.teacher_of(run, opened(teacher__epochs=1, teacher__snapshots=()))
    assert equal(snapshot.variables, short.variables)
    assert not equal(snapshot.variables, teacher.variables)
    kept = snapshot.artifact.path / "weights_epoch_1"
    assert equal(snapshot.variables, checkpoint.load_tree(kept, teacher.variables))


def test_labels_are_those_of_the_snapshot(run, opened, problem, teacher):
    early = opened(teacher__epoch=1)
    weak = runs.teacher_of(run, early)
    assert weak.artifact.path == teacher.artifact.path
    assert weak.address != teacher.address
    found, final = (
        runs.labels_of(run, early, weak),
        runs.labels_of(run, problem, teacher),
    )
    assert found.manifest["parents"]["teacher"] == weak.address
    expected = logits_of(weak, problem.pool.images, problem.source)
    # The matrix products run at another size here.
    np.testing.assert_allclose(found.arrays["logits"], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(found.arrays["logits"], final.arrays["logits"], atol=1e-2)


def test_the_last_epoch_is_the_end_of_the_training(run, opened, teacher):
    last = runs.teacher_of(run, opened(teacher__epoch=3))
    assert last.address == teacher.address and equal(last.variables, teacher.variables)
    early = opened(teacher__path=str(teacher.artifact.path), teacher__epoch=2)
    named = runs.teacher_of(run, early)
    assert named.address == runs.teacher_of(run, opened(teacher__epoch=2)).address


def test_an_epoch_that_was_not_kept_is_refused(source, teacher, tmp_path):
    message = "teacher.epoch: found 7, allowed is 0 or a snapshot of .*: 1, 2, 3"
    path = str(teacher.artifact.path)
    config = tiny.config(source, teacher__path=path, teacher__epoch=7)
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(config), tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_teacher_that_is_killed_again_and_again_is_the_same(
    source, teacher, tmp_path, monkeypatch
):
    save, saved = checkpoint.save, []

    def save_once(folder, found):
        if saved:
            raise KeyboardInterrupt
        save(folder, found)
        saved.append(found.step)

    monkeypatch.setattr(checkpoint, "save", save_once)
    resumed, seen = None, []
    while resumed is None:
        with running(tmp_path / "run") as run:
            problem = open_run(source, sweep__checkpoint_seconds=1e-9)
            try:
                resumed = runs.teacher_of(run, problem)
            except KeyboardInterrupt:
                assert not list(run.workdir.artifacts.glob("teacher-*"))
            seen += saved
            saved.clear()
            assert len(seen) < 30
    # Each start got no further than to the next of these.
    assert sorted(set(seen)) == seen and len(seen) >= 4
    artifact, expected = resumed.artifact, teacher.artifact
    assert artifact.address == expected.address
    assert artifact.info == expected.info
    for name, values in expected.arrays.items():
        np.testing.assert_array_equal(artifact.arrays[name], values, name)
    for name in ("weights", "weights_epoch_1", "weights_epoch_2"):
        trees = (
            checkpoint.load_tree(a.path / name, teacher.variables)
            for a in (artifact, expected)
        )
        assert equal(*trees), name
    assert not list((tmp_path / "run" / "partial").iterdir())


def test_teacher_that_diverged_is_refused_and_leaves_nothing(run, opened, folder):
    before = sorted((folder / "artifacts").glob("teacher-*"))
    with pytest.raises(InputError, match="teacher.learning_rate: found 100.0"):
        decay = {"teacher__optimizer__weight_decay": tiny.DECAY}
        runs.teacher_of(run, opened(teacher__learning_rate=tiny.DIVERGES, **decay))
    assert sorted((folder / "artifacts").glob("teacher-*")) == before


def only_teachers(source, **changes):
    changes = CHANGES | {"regimes": (), "teacher__snapshots": (1, 3)} | changes
    config = tiny.config(source, **changes)
    settings.add_teacher(config, "small")
    small = config.ensemble.small
    small.network.name, small.network.mlp.hidden = "mlp", (4,)
    small.epochs, small.batch_size = 3, 12
    small.optimizer.schedule = "constant"
    return from_config(config)


@pytest.fixture(scope="module")
def taught(source, tmp_path_factory):
    """The folder of a run without regimes, and what it returned."""
    folder = tmp_path_factory.mktemp("taught") / "run"
    return folder, pipeline.run(only_teachers(source), folder)


def test_a_run_without_regimes_leaves_teachers_and_their_report(taught):
    folder, summary = taught
    assert {path.name for path in folder.iterdir()} == {
        *(".lock", "run.json", "artifacts", "partial"),
        *("figures", "manifest.json", "metrics.jsonl", "report.html"),
        *("stages.csv", "summary.csv", "README.md"),
    }
    kinds = [path.name.split("-")[0] for path in (folder / "artifacts").iterdir()]
    assert kinds == ["teacher", "teacher"]
    picture = (folder / "figures" / "teachers.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    text = (folder / "report.html").read_text()
    for word in ("Teachers on tiny", "small", "Learning curves", "data:image/png"):
        assert word in text
    table = pd.read_csv(folder / "summary.csv")
    assert len(table) == len(summary)
    # The last epoch was kept as a snapshot too, and has one row.
    assert table[["teacher", "network", "parameters", "epoch"]].values.tolist() == [
        ["teacher", "mlp", 547, 1],
        ["teacher", "mlp", 547, 3],
        ["small", "mlp", 275, 3],
    ]


def test_tables_of_teachers_are_as_they_are_declared(taught):
    folder, _ = taught
    assert not list(wrong(folder, "teachers"))
    assert not list(misfits(folder, "teachers"))
    found = {file.name for file, _ in tables(folder, "teachers")}
    assert found == {"summary.csv", "stages.csv"}
    text = (folder / "README.md").read_text()
    assert "| `bundle` |" in text and "members.jsonl" not in text


def test_the_summary_has_the_accuracies_of_the_bundles(taught):
    folder, _ = taught
    for row in pd.read_csv(folder / "summary.csv").itertuples():
        (bundle,) = folder.glob(f"artifacts/{row.bundle.rpartition('/')[2]}")
        info = json.loads((bundle / "manifest.json").read_text())["info"]
        kept = info["snapshots"].get(str(row.epoch), info["accuracy"])
        assert row.validation_accuracy == pytest.approx(kept["validation"])
        assert row.test_accuracy == pytest.approx(kept["test"])


def test_a_run_without_regimes_reuses_its_teachers(source, taught):
    folder, _ = taught
    before, summary = created(folder), (folder / "summary.csv").read_bytes()
    pipeline.run(only_teachers(source), folder)
    assert created(folder) == before
    assert (folder / "summary.csv").read_bytes() == summary
    costs = json.loads((folder / "manifest.json").read_text())["costs"]
    assert [row["stage"] for row in costs] == ["teacher", "small"]
    assert all(row["reused"] for row in costs)
