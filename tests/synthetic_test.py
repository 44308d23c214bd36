"""Synthetic and imported sets from settings to results."""

import dataclasses
import json
import types

import jax
import numpy as np
import pandas as pd
import pytest
import runs
import tiny

from ddjax import data, distill, pipeline, settings
from ddjax.artifacts import Cost
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages import synthetic
from ddjax.stages.inputs import SelectionInputs

IPC = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


def config(source, *entries, **changes):
    """A config with entries of `distill`, named after their methods."""
    made = tiny.config(source)
    made.teacher.network.name = "convnet_d1"
    made.teacher.network.convnet.width = 4
    made.teacher.network.convnet.norm = "batch"
    made.select.methods = ("random",)
    made.regimes = ("hard",)
    for entry in entries:
        settings.add_distillation(made, entry)
        sections = distill.METHODS[entry].sections
        if "patches" in sections:
            made.distill[entry].patches.candidates = 6
        if "recover" in sections:
            made.distill[entry].recover.iterations = 2
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return made


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """A run with two methods, one of which makes one set for all seeds."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    chosen = config(source, "ca2d", "sre2l", distill__sre2l__sets=1, protocol__curves=2)
    with runs.drawing():
        summary = pipeline.run(from_config(chosen), folder)
    return folder, chosen, summary


@pytest.mark.slow
def test_every_method_is_a_row_beside_the_selections(run):
    _, _, summary = run
    assert set(summary["method"]) == {"random", "ca2d", "sre2l", "full"}
    made = summary[summary["method"].isin(["ca2d", "sre2l"])]
    assert (made["n"] == 2).all() and made["gap"].notna().all()


@pytest.mark.slow
def test_members_tell_image_sets_apart_and_what_they_cost(run):
    folder, _, _ = run
    members = pd.DataFrame(runs.rows_of(folder))
    by = members.groupby(["method", "seed"])["subset"].unique()
    assert len(set(map(str, by["ca2d"]))) == 2
    assert len(set(map(str, by["sre2l"]))) == 1
    assert str(by["sre2l", 0]) not in map(str, by["ca2d"])
    cost = members.groupby("method")["find_passes"].unique().map(list)
    # Two iterations for three classes' two images each, and the teacher's training.
    (teacher,) = folder.glob("artifacts/teacher-*/manifest.json")
    paid = json.loads(teacher.read_text())["cost"]
    paid = paid["train_passes"] + paid["forward_passes"]
    assert paid > 0 and cost["sre2l"] == [2 * 3 * IPC + paid]
    # Five crops of six candidates a class, and the scoring run that CAD reads.
    assert cost["ca2d"][0] > 5 * 6 * 3 + paid and cost["random"] == [0]
    flops = members.groupby("method")["find_flops"].max()
    assert flops["sre2l"] > 0 and flops["ca2d"] > 0 and flops["random"] == 0


@pytest.mark.slow
def test_pictures_of_made_sets_are_drawn(run):
    folder, _, _ = run
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    ends = ("tsne", "set_difficulty", "dynamics", "images")
    assert {f"{end}_ipc{IPC}" for end in ends} <= drawn
    members = pd.DataFrame(runs.rows_of(folder))
    assert members["test_curve"].map(len).eq(2).all()
    last = members["test_curve"].map(lambda curve: curve[-1])
    np.testing.assert_allclose(last, members["accuracy"], atol=1e-3)


@pytest.mark.slow
def test_image_sets_are_written_once_each_and_read_back(run):
    folder, _, _ = run
    found = sorted(path.name for path in (folder / "images").iterdir())
    assert found == ["ca2d_ipc2_seed0", "ca2d_ipc2_seed1", "sre2l_ipc2_seed0"]
    read = data.read_image_set(
        folder / "images" / found[0], tiny.CLASSES, (8, 8, 1), None, None
    )
    arrays = [
        np.load(path.parent / "arrays.npz")["images"]
        for path in folder.glob("artifacts/synthetic-*/manifest.json")
        if json.loads(path.read_text())["info"]["name"] == "ca2d"
    ]
    assert any(np.array_equal(read.images, array) for array in arrays)


@pytest.mark.slow
def test_a_second_run_makes_nothing_again(run):
    folder, chosen, summary = run
    before = runs.created(folder)
    again = pipeline.run(from_config(chosen), folder)
    assert runs.created(folder) == before
    pd.testing.assert_frame_equal(again, summary)


@pytest.mark.slow
def test_a_set_that_was_read_is_judged_at_its_own_budget(run, source, tmp_path):
    folder, _, _ = run
    path = folder / "images" / "ca2d_ipc2_seed0"
    chosen = config(source, images=str(path), select__ipcs=(5,))
    chosen.regimes = ("hard", "soft")
    summary = pipeline.run(from_config(chosen), tmp_path / "run")
    assert set(summary["method"]) == {"random", synthetic.READ, "full"}
    assert set(summary["ipc"]) == {IPC}


@pytest.mark.slow
def test_a_set_s_own_soft_labels_take_the_teacher_s_place(source, tmp_path):
    arrays, path = tiny.arrays(train=2), tmp_path / "wrong.npz"
    found = {"images": arrays["x_train"][..., None], "labels": arrays["y_train"]}
    right = np.eye(3, dtype=np.float32)[found["labels"]]
    np.savez(path, soft_labels=np.roll(right, 1, axis=1), **found)
    chosen = config(
        source, images=str(path), images_labels=True, images_contradicting=1.0
    )
    with pytest.raises(InputError, match="images_labels: .* without `soft`"):
        from_config(chosen)
    chosen.regimes, chosen.student.epochs = ("soft",), 30
    chosen.student.temperature, chosen.student.learning_rates = 1.0, (0.02,)
    summary = pipeline.run(from_config(chosen), tmp_path / "run")
    # Who learns wrong labels is worse than chance; the teacher's would be right.
    assert summary.set_index("method").loc[synthetic.READ, "accuracy"] < 34
    np.savez(path, **found)
    with pytest.raises(InputError, match="images_labels: .* has no soft labels"):
        open_problem(from_config(chosen))


def test_unequal_classes_are_refused(source, tmp_path):
    arrays = tiny.arrays(train=2)
    shown, labels = arrays["x_train"][:-1, ..., None], arrays["y_train"][:-1]
    np.savez(tmp_path / "set.npz", images=shown, labels=labels)
    chosen = config(source, images=str(tmp_path / "set.npz"))
    with pytest.raises(InputError, match="has from 1 to 2 images a class"):
        open_problem(from_config(chosen))


@pytest.mark.parametrize(
    "entries, changes, message",
    [
        (
            ("sre2l",),
            {"teacher__network__name": "mlp"},
            "distill.sre2l.teachers: found .* with batch norm",
        ),
        (("rded",), {"distill__rded__method": "ipc"}, "distill.rded.method: found"),
        (
            ("ca2d",),
            {"distill__ca2d__difficulty": "hardness"},
            "distill.ca2d.difficulty: found 'hardness', allowed is one of",
        ),
        (
            ("rded",),
            {"distill__rded__teachers": ("resnet",)},
            "distill.rded.teachers: found 'resnet'",
        ),
        (
            ("rded",),
            {"distill__rded__teachers": ()},
            "rded.teachers: .* a tuple of 1",
        ),
        (("rded",), {"distill__rded__sets": -1}, "distill.rded.sets: found -1"),
        (("rded",), {"images": "nowhere"}, "images: nowhere: there is no such file"),
        (("rded",), {"distill__rded__patches__candidates": 1}, "candidates: found 1"),
        (("ca2d",), {"distill__ca2d__ca2d__pool": 1}, "ca2d.ca2d.pool: found 1"),
        (("pca",), {"distill__pca__patches__factor": 9}, "pca.patches.factor: found 9"),
        (("pca",), {"distill__pca__patches__factor": 5}, "factor: found 5, .* not 50"),
        (
            ("sre2lpp",),
            {"distill__sre2lpp__patches__candidates": 1},
            "distill.sre2lpp.patches.candidates: found 1",
        ),
        (
            ("cv_dd",),
            {
                "distill__cv_dd__cv_dd__prior": (50.0, 60.0),
                "distill__cv_dd__cv_dd__drawn": 1,
            },
            "distill.cv_dd.cv_dd.prior: found .* each of 1 teachers",
        ),
        (("cv_dd",), {}, "distill.cv_dd.cv_dd.drawn: found 2, .* the 1 teachers"),
        (
            ("sre2l",),
            {"distill__sre2l__dwa__rho": 0.1},
            "sre2l.dwa.rho: found 0.1, allowed is 0.015, .* not read dwa, only dwa do",
        ),
        (
            ("cda",),
            {"distill__cda__recover__area": 1.0},
            "distill.cda.recover.area: found 1.0",
        ),
        (
            ("cda",),
            {"distill__cda__recover__init": "nowhere"},
            "distill.cda.recover.init: nowhere: there is no such file",
        ),
    ],
)
def test_refused_before_anything_is_written(
    source, tmp_path, entries, changes, message
):
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(config(source, *entries, **changes)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["random", "full", "images", "a-b"])
def test_an_entry_may_not_take_another_s_name(source, tmp_path, name):
    chosen = config(source)
    settings.add_distillation(chosen, name, "rded")
    with pytest.raises(InputError, match=f"distill.{name}: found (a name|'a-b')"):
        pipeline.run(from_config(chosen), tmp_path / "run")


@pytest.fixture(scope="module")
def stage(source, tmp_path_factory):
    """Makes the image sets of a method that only counts and tells what it was given."""
    tasks = []

    def method(task, entry, start=None):
        tasks.append((task, entry, start))
        count = IPC * task.num_classes
        return distill.SyntheticSet(
            images=np.full((count, 8, 8, 1), len(tasks), np.uint8),
            labels=np.repeat(np.arange(task.num_classes, dtype=np.int32), IPC),
            sources=np.zeros((count, 0), np.int32),
            cost=Cost(seconds=2.0, train_passes=7),
        )

    def make(**changes):
        chosen = from_config(config(source, "sre2l", **changes))
        problem = open_problem(chosen)
        tasks.clear()
        inputs = runs.known(SelectionInputs(problem, IPC, {}, {}))
        teachers = {"teacher": runs.known(tiny_teacher)}
        stage = synthetic.synthetic_stage(problem, "sre2l", IPC, inputs, teachers)
        return runs.result(place, stage), list(tasks)

    @dataclasses.dataclass
    class Teacher:
        network: object = None
        variables: object = dataclasses.field(default_factory=dict)
        address: str = "teacher-0"
        artifact = types.SimpleNamespace(cost=Cost(train_passes=30))

    tiny_teacher = Teacher()
    folder = tmp_path_factory.mktemp("stage") / "run"
    with pytest.MonkeyPatch.context() as patch:
        kind = type(distill.METHODS["sre2l"])
        patch.setattr(kind, "synthesise", lambda self, *given: method(*given))
        with runs.running(folder) as place:
            yield make


def test_each_seed_has_its_set_or_they_share(stage):
    made, tasks = stage()
    # One set's share, and the teacher.
    assert len(tasks) == 2 and made.cost.train_passes == 7 + 30
    shown = {seed: made.problem.pool.images[p] for seed, p in made.positions.items()}
    assert (shown[0] == 1).all() and (shown[1] == 2).all()
    keys = [np.asarray(jax.random.key_data(task.key)) for task, _, _ in tasks]
    assert not np.array_equal(*keys)
    shared, tasks = stage(distill__sre2l__sets=1)
    assert not tasks  # the first seed's set was made above
    assert np.array_equal(*shared.positions.values())


def test_images_to_start_from_fit_the_budget(source, tmp_path):
    path, shown = tmp_path / "set.npz", np.zeros((9, 8, 8, 1), np.uint8)
    labels = np.repeat(np.arange(3), 3)
    data.write_image_set(shown, labels, tiny.CLASSES, path, "npz")
    chosen = config(source, "cda", distill__cda__recover__init=str(path))
    message = "distill.cda.recover.init: found .* a set of 2 images .* has 3 to 3"
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(chosen), tmp_path / "run")


def test_images_to_start_from_are_read_and_part_of_the_address(stage, tmp_path):
    labels = np.repeat(np.arange(3), IPC)
    for value in (5, 6):
        shown = np.full((6, 8, 8, 1), value, np.uint8)
        data.write_image_set(
            shown, labels, tiny.CLASSES, tmp_path / f"{value}.npz", "npz"
        )
        path = str(tmp_path / f"{value}.npz")
        _, tasks = stage(distill__sre2l__recover__init=path)
        assert [(start.images == value).all() for _, _, start in tasks] == [True] * 2
