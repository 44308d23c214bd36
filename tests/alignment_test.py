"""Class orders of image sets and teachers, compared before students are trained."""

import html
import json

import numpy as np
import pytest
import runs
import tiny

from ddjax import data, models, pipeline
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages.alignment import check_images
from ddjax.stages.teacher import load_teacher

NUMBERS = tuple(map(str, range(12)))
GOOD = {
    "teacher__epochs": 30,
    "teacher__learning_rate": 0.02,
    "teacher__network__mlp__hidden": (32,),
    "select__methods": ("random",),
    "select__ipcs": (2,),
    "student__epochs": 1,
    "augment__flip": False,
    "regimes": ("soft",),
}


def blobs(each, seed=0):
    """Twelve classes of 8 x 8 pixels: where a bright block of three rows lies."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(12), each)
    images = rng.integers(0, 100, (len(labels), 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = 2 * (label % 4), 2 * (label // 4)
        image[row : row + 2, column : column + 2] += 140
    return images.astype(np.uint8)[..., None], labels


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A source whose classes are called "0" to "11"."""
    train, test = blobs(20), blobs(3, seed=1)
    path = tmp_path_factory.mktemp("source") / "blobs.npz"
    named = {"class_names": np.array(NUMBERS)}
    splits = {"x_train": train[0][..., 0], "y_train": train[1]}
    splits |= {"x_test": test[0][..., 0], "y_test": test[1]}
    np.savez(path, **splits, **named)
    return path


def run(source, folder, capsys=None, **changes):
    """Runs, and returns the notes of the report and what was printed."""
    if capsys:
        capsys.readouterr()
    pipeline.run(from_config(tiny.config(source, **GOOD | changes)), folder)
    notes = json.loads((folder / "manifest.json").read_text())["notes"]
    text = html.unescape((folder / "report.html").read_text())
    assert all(note in text for note in warnings(notes))
    return notes, capsys.readouterr().out if capsys else ""


def warnings(notes):
    return [note for note in notes if note.startswith("WARNING: ")]


def folders(path, order, each=2):
    """A class folder of images, each class in the folder of another's number."""
    images, labels = blobs(each, seed=2)
    data.write_image_set(images, np.asarray(order)[labels], NUMBERS, path)
    return str(path)


@pytest.fixture(scope="module")
def warned(source, tmp_path_factory):
    """Warnings on an image set, of a teacher that is trained once."""

    def make(**changes):
        changes = GOOD | changes
        return open_problem(from_config(tiny.config(source, **changes)))

    with runs.running(tmp_path_factory.mktemp("runs") / "run") as run:
        teacher = runs.teacher_of(run, make())

    def warned(path):
        return check_images(make(images=str(path)), {"teacher": teacher})

    return warned


def test_a_set_in_the_source_s_order_calls_for_no_warning(warned, tmp_path):
    assert warned(folders(tmp_path / "set", np.arange(12))) == []


@pytest.mark.parametrize(
    "order, says, each",
    [
        (np.argsort(sorted(range(12), key=str)), "sorted as text: 0, 1, 10, 11, 2", 1),
        (np.argsort(sorted(range(12), key=str)), "sorted as text: 0, 1, 10, 11, 2", 2),
        (np.roll(np.arange(12), 1), "shifted by 1", 2),
        (np.arange(12)[::-1], "'0' is '11', '1' is '10', '2' is '9'", 2),
        # More images than are predicted.
        (np.arange(12)[::-1], "'0' is '11', '1' is '10', '2' is '9'", 50),
        (np.array([1, 0, *range(2, 12)]), "'0' is '1', '1' is '0'", 50),
    ],
)
def test_another_order_of_the_classes_is_named(warned, tmp_path, order, says, each):
    (warning,) = warned(folders(tmp_path / "set", order, each))
    assert "another order of the classes explains it, with which" in warning
    assert says in warning


@pytest.mark.slow
def test_a_folder_numbered_in_another_order_is_told_at_the_start(
    source, tmp_path, capsys
):
    kind = "sorted as text"
    order = np.argsort(sorted(range(12), key=str))
    path = folders(tmp_path / "set", order)
    notes, printed = run(source, tmp_path / "w", capsys, images=path)
    (warning,) = warnings(notes)
    assert f"{path}: the teacher agrees with the labels of " in warning
    assert "another order of the classes explains it, with which" in warning
    assert kind in warning
    # Before any student.
    assert printed.index(warning) < printed.index("students of images")


def test_labels_that_nothing_explains_are_told(warned, tmp_path):
    images, labels = blobs(4, seed=2)
    shuffled = np.random.default_rng(0).permutation(labels)
    data.write_image_set(images, shuffled, NUMBERS, tmp_path / "set")
    (warning,) = warned(tmp_path / "set")
    assert "are its classes in the source's order, its pixels of its" in warning


@pytest.fixture(scope="module")
def taught(source, tmp_path_factory):
    """The folder of a run that trained a teacher, and the teacher's bundle."""
    folder = tmp_path_factory.mktemp("taught") / "w"
    run(source, folder, regimes=())
    (bundle,) = folder.glob("artifacts/teacher-*")
    return bundle


@pytest.fixture
def weights(taught, source, tmp_path):
    """A file of the teacher's weights, for settings."""
    changes = GOOD | {"teacher__path": str(taught)}
    problem = open_problem(from_config(tiny.config(source, **changes)))
    teacher = load_teacher(problem, "teacher")
    models.save_safetensors(tmp_path / "w.safetensors", "mlp", teacher.variables)

    def settings(classes):
        (tmp_path / "classes.txt").write_text("\n".join(classes))
        return {
            "teacher__path": str(tmp_path / "w.safetensors"),
            "teacher__classes": str(tmp_path / "classes.txt"),
            "teacher__remap": True,
            "regimes": (),
        }

    return settings


def test_weights_with_another_order_of_classes_are_told(source, weights, tmp_path):
    notes, _ = run(source, tmp_path / "right", **weights(NUMBERS))
    assert warnings(notes) == []
    notes, _ = run(source, tmp_path / "wrong", **weights(sorted(NUMBERS)))
    (warning,) = warnings(notes)
    assert warning.startswith("WARNING: teacher: has ") and "sorted as text" in warning


def test_a_bundle_that_is_worse_here_than_it_says_is_told(source, taught, tmp_path):
    with np.load(source) as found:
        arrays = dict(found)
    arrays["x_train"], arrays["x_test"] = (
        255 - arrays["x_train"],
        255 - arrays["x_test"],
    )
    np.savez(tmp_path / "inverted.npz", **arrays)
    changes = {"teacher__path": str(taught), "regimes": ()}
    notes, _ = run(tmp_path / "inverted.npz", tmp_path / "w", **changes)
    (warning,) = warnings(notes)
    assert "of this source's validation split right, its bundle states" in warning
    with pytest.raises(
        InputError, match="^teacher.accuracy: found 90, but the teacher"
    ):
        run(
            tmp_path / "inverted.npz", tmp_path / "v", teacher__accuracy=90.0, **changes
        )


def test_a_teacher_below_what_is_asked_ends_the_run_before_students(
    source, weights, tmp_path
):
    changes = weights(sorted(NUMBERS)) | {"teacher__accuracy": 60.0}
    changes["regimes"] = ("hard", "soft")
    message = "teacher.accuracy: found 60, .*no student .*sorted as text"
    with pytest.raises(InputError, match=message):
        run(source, tmp_path / "w", **changes)
    assert not list((tmp_path / "w").glob("artifacts/students-*"))
    notes, _ = run(
        source, tmp_path / "v", **weights(NUMBERS) | {"teacher__accuracy": 60.0}
    )
    assert warnings(notes) == []


def test_a_file_of_several_weights_needs_a_choice(source, weights, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from safetensors.numpy import load_file

    changes = weights(NUMBERS)
    state = {
        name: torch.tensor(array)
        for name, array in load_file(tmp_path / "w.safetensors").items()
    }
    held = {"model": {k: 0 * v for k, v in state.items()}, "model_ema": state}
    torch.save(held | {"arch": "mlp_large"}, tmp_path / "w.pth")
    changes["teacher__path"] = str(tmp_path / "w.pth")
    message = "found 2 sets of weights, 'model', 'model_ema', .*--teacher.weights=NAME"
    with pytest.raises(InputError, match=message):
        run(source, tmp_path / "a", **changes)
    changes["teacher__weights"] = "model_ema"
    message = "arch names .* 'mlp_large', not mlp.*; --teacher.architecture=NAME"
    with pytest.raises(InputError, match=message):
        run(source, tmp_path / "a", **changes)
    changes["teacher__architecture"] = "mlp_large"
    notes, _ = run(source, tmp_path / "a", **changes)
    assert notes == []
    changes["teacher__weights"] = "model"
    notes, printed = run(source, tmp_path / "b", capsys, **changes)
    assert "little more than chance" in notes[0]
    lines = [line.partition("] ")[2] for line in printed.splitlines()]
    place = lines.index(f"  warning: {notes[0]}")
    assert lines[place - 1].startswith("  teacher: ") and "on test" in lines[place - 1]
