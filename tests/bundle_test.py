"""Bundles and files of weights: read back as they were, or refused before compute."""

import json
import shutil

import numpy as np
import pytest
import runs
import tiny
from safetensors.numpy import load_file, save_file

from ddjax import models, pipeline
from ddjax.artifacts import seal, unseal
from ddjax.errors import InputError
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.stages.students import Students
from ddjax.stages.teacher import load_teacher

NAMES = ("right", "left", "middle")  # of another source, in its order
GOOD = {"teacher__epochs": 20, "teacher__learning_rate": 0.02}


def rewritten(path, names, change=lambda images: images):
    """Writes the images of the classes with these names, in this order."""
    found = tiny.arrays()
    places = [tiny.CLASSES.index(name) for name in names]
    for split in ("train", "test"):
        labels = found[f"y_{split}"]
        kept = np.isin(labels, places)
        found[f"y_{split}"] = np.array([places.index(i) for i in labels[kept]])
        found[f"x_{split}"] = change(found[f"x_{split}"][kept])
    return tiny.write(path, **found | {"class_names": np.array(names)})


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The source of the teacher, and others."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "own": tiny.write(folder / "own.npz"),
        "reordered": rewritten(folder / "reordered.npz", NAMES),
        "fewer": rewritten(folder / "fewer.npz", ("right", "left")),
        "dim": rewritten(folder / "dim.npz", tiny.CLASSES, lambda x: x // 2 + 20),
    }


@pytest.fixture(scope="module")
def opened(sources):
    """Opens a problem of a source."""

    def make(source="own", **changes):
        config = tiny.config(sources[source], **GOOD | changes)
        return open_problem(from_config(config))

    return make


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with runs.running(tmp_path_factory.mktemp("runs") / "run") as found:
        yield found


@pytest.fixture(scope="module")
def teacher(run, opened):
    return runs.teacher_of(run, opened())


@pytest.fixture(scope="module")
def path(teacher):
    return str(teacher.artifact.path)


def logits_of(teacher, images, source):
    """The network's answer, the images normalised by hand with a source's moments."""
    mean, std = np.float32(source.mean), np.float32(source.std)
    inputs = (images / np.float32(255) - mean) / std
    return np.asarray(teacher.network.apply(teacher.variables, inputs)[0])


def assert_same(found, teacher, problem):
    logits = [
        logits_of(t, problem.test.images, problem.source) for t in (found, teacher)
    ]
    np.testing.assert_array_equal(*logits)


def test_a_bundle_gives_the_logits_of_its_teacher(opened, teacher, path):
    problem = opened(teacher__path=path)
    loaded = load_teacher(problem, "teacher")
    assert_same(loaded, teacher, problem)
    assert loaded.address == teacher.address == teacher.artifact.address


def test_a_bundle_knows_its_network(run, opened, teacher, path):
    # The network of the settings is not the teacher's; the teacher's own counts.
    found = runs.teacher_of(
        run, opened(teacher__path=path, teacher__network__mlp__hidden=(5, 5))
    )
    assert found.artifact.path == teacher.artifact.path
    assert found.network == teacher.network


@pytest.mark.parametrize("source", ["reordered", "fewer"])
def test_other_classes_are_refused_unless_they_may_be_matched(opened, path, source):
    problem = opened(source, teacher__path=path)
    with pytest.raises(InputError) as error:
        load_teacher(problem, "teacher")
    message = str(error.value)
    assert message.startswith(f"teacher.path {path}: has ")
    assert f"{list(tiny.CLASSES)}, the source's are {list(problem.source.classes)}" in (
        message
    )
    assert "--teacher.remap=True re" in message


@pytest.mark.parametrize("source", ["reordered", "fewer"])
def test_matched_logits_are_those_of_the_same_classes(opened, teacher, path, source):
    problem = opened(source, teacher__path=path, teacher__remap=True)
    found, images = load_teacher(problem, "teacher"), opened().test.images
    names = problem.source.classes
    order = [tiny.CLASSES.index(name) for name in names]
    # The sources of other images have other moments, which are the teacher's no more.
    expected = logits_of(teacher, images, opened().source)[:, order]
    logits = logits_of(found, images, problem.source)
    assert logits.shape == (len(images), len(names))
    if source == "reordered":
        np.testing.assert_array_equal(logits, expected)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert found.network.module.num_classes == len(names)


def test_matched_logits_are_right_about_the_images(run, opened, teacher, path):
    # The same images with the same names: as good as before.
    problem = opened("reordered", teacher__path=path, teacher__remap=True)
    found, examples = load_teacher(problem, "teacher"), problem.test
    guesses = logits_of(found, examples.images, problem.source).argmax(-1)
    accuracy = 100 * (guesses == examples.labels).mean()
    assert accuracy == pytest.approx(teacher.accuracy["test"], abs=1e-3)
    labels = runs.labels_of(run, problem, found)
    assert labels.manifest["parents"]["teacher"] == found.address
    assert labels.info["classes"] == list(NAMES)


def bent(teacher, folder, **info):
    """A copy of the bundle whose manifest says something else."""
    copy = shutil.copytree(teacher.artifact.path, folder / "bundle")
    manifest = unseal(json.loads((copy / "manifest.json").read_text()))
    manifest["info"] |= info
    (copy / "manifest.json").write_text(json.dumps(seal(manifest)))
    return str(copy)


@pytest.mark.parametrize(
    "classes, message",
    [
        (["left", "middle", "centre"], r"lacks \['right'\]: .*cannot be matched"),
        (["left", "left", "middle", "right"], "has a name twice: .*cannot be matched"),
    ],
)
def test_classes_that_do_not_match_are_refused_even_so(
    opened, teacher, tmp_path, classes, message
):
    with pytest.raises(InputError, match=message):
        other = bent(teacher, tmp_path, classes=classes)
        load_teacher(opened(teacher__path=other, teacher__remap=True))


def test_a_teacher_sees_images_as_it_was_trained_to(
    run, opened, sources, teacher, path
):
    own, problem = opened(), opened("dim", teacher__path=path)
    assert not np.allclose(own.source.mean, problem.source.mean, atol=0.01)
    found, images = load_teacher(problem, "teacher"), problem.test.images
    expected = logits_of(teacher, images, own.source)
    logits = logits_of(found, images, problem.source)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    labels = runs.labels_of(run, problem, found).arrays["logits"]
    expected = logits_of(teacher, problem.pool.images, own.source)
    np.testing.assert_allclose(labels, expected, rtol=1e-4, atol=1e-4)


def test_students_hang_on_the_logits_not_on_the_bundle(run, opened, teacher, path):
    changes = {"teacher__path": path, "teacher__remap": True}
    addresses = {teacher.address}
    for source in ("reordered", "fewer"):
        problem = opened(source, **changes)
        found = load_teacher(problem, "teacher")
        parents = Students(run, problem, {"teacher": found}).parents("soft_kd")
        assert parents["teacher"] == found.address
        addresses.add(found.address)
    assert len(addresses) == 3
    # Where nothing has to be matched, permission to match changes nothing.
    assert load_teacher(opened(**changes)).address == teacher.address


def test_another_image_shape_is_refused(opened, path):
    small = opened(teacher__path=path, data__image_size=4)
    with pytest.raises(InputError, match=r"shape is \[8, 8, 1\], .* is \[4, 4, 1\]"):
        load_teacher(small)


def test_another_artifact_is_refused(run, opened, teacher):
    labels = runs.labels_of(run, opened(), teacher)
    with pytest.raises(InputError, match="kind is 'labels', expected 'teacher'"):
        load_teacher(opened(teacher__path=str(labels.path)))


def test_damaged_weights_are_refused(opened, teacher, tmp_path):
    copy = shutil.copytree(teacher.artifact.path, tmp_path / "teacher")
    problem = opened(teacher__path=str(copy))
    load_teacher(problem, "teacher")
    files = [path for path in (copy / "weights").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(InputError, match=f"{largest.name}: sha256 .* is damaged"):
        load_teacher(problem, "teacher")


@pytest.fixture
def weights(teacher, tmp_path):
    """Files of the teacher's weights and classes, for settings and for damage."""
    models.save_safetensors(tmp_path / "w.safetensors", "mlp", teacher.variables)
    (tmp_path / "classes.txt").write_text("\n".join(tiny.CLASSES) + "\n\n")
    return tmp_path


def named(weights, **changes):
    files = {"path": "w.safetensors", "classes": "classes.txt"}
    found = {f"teacher__{key}": str(weights / name) for key, name in files.items()}
    return found | changes


def test_a_file_gives_the_logits_of_its_teacher(run, opened, teacher, weights):
    problem = opened(**named(weights))
    found = runs.teacher_of(run, problem)
    assert_same(found, teacher, problem)
    assert found.accuracy == teacher.accuracy
    artifact, info = found.artifact, teacher.artifact.info
    for key in ("classes", "image_shape", "mean", "std", "parameters", "source"):
        assert artifact.info[key] == info[key], key
    assert artifact.cost.forward_passes == 24 + 36
    # A bundle as any other, and another one when the weights change.
    again = load_teacher(opened(teacher__path=str(artifact.path)))
    assert again.address == found.address == runs.teacher_of(run, problem).address
    tensors = load_file(weights / "w.safetensors")
    save_file({k: 2 * v for k, v in tensors.items()}, weights / "w.safetensors")
    assert runs.teacher_of(run, opened(**named(weights))).address != found.address


def test_a_file_has_its_own_moments_and_order(run, opened, teacher, weights):
    own = opened().source
    moments = {"teacher__mean": own.mean, "teacher__std": own.std}
    problem = opened("dim", **named(weights, **moments))
    found, images = runs.teacher_of(run, problem), problem.test.images
    expected = logits_of(teacher, images, own)
    logits = logits_of(found, images, problem.source)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert found.artifact.info["mean"] == list(own.mean)

    problem = opened("reordered", **named(weights, teacher__remap=True))
    found, images = runs.teacher_of(run, problem), problem.test.images
    expected = logits_of(teacher, images, own)[:, [2, 0, 1]]
    logits = logits_of(found, images, problem.source)
    np.testing.assert_array_equal(logits, expected)
    assert found.artifact.info["accuracy"]["test"] == teacher.accuracy["test"]


def test_a_file_of_torch_is_a_teacher(run, opened, teacher, weights):
    torch = pytest.importorskip("torch")
    state = models.to_torch("mlp", teacher.variables)
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, weights / "w.pth")
    path = {"teacher__path": str(weights / "w.pth")}
    found, problem = runs.teacher_of(run, opened(**named(weights, **path))), opened()
    assert_same(found, teacher, problem)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite(path, **tensors):
    save_file(load_file(path) | tensors, path)


NAN, COLOUR = np.full(8, np.nan, np.float32), np.ones((8, 192), np.float32)
FILES = {
    "no classes file": (
        lambda weights, classes: classes.unlink(),
        {},
        "teacher.classes: cannot read .*No such file",
    ),
    "classes are no text": (
        lambda weights, classes: classes.write_bytes(b"\xff\xfe\x00"),
        {},
        "teacher.classes: cannot read .* as text",
    ),
    "classes in another order": (
        lambda weights, classes: classes.write_text("\n".join(NAMES)),
        {},
        r"another order: .*\['right', 'left', 'middle'\], .*--teacher.remap=True re",
    ),
    "a class too many": (
        lambda weights, classes: classes.write_text("\n".join((*tiny.CLASSES, "top"))),
        {"teacher__remap": True},
        "w.safetensors: does not fit mlp: num_classes: found 4, .* with 3 classes",
    ),
    "classes not given": (
        lambda weights, classes: None,
        {"teacher__classes": ""},
        "teacher.classes: found '', allowed is a text file .* in the order",
    ),
    "weights cut short": (
        lambda weights, classes: halve(weights),
        {},
        "w.safetensors: is no readable .safetensors file, perhaps cut short",
    ),
    "not a number": (
        lambda weights, classes: rewrite(weights, **{"fc_1.bias": NAN}),
        {},
        "w.safetensors: fc_1.bias: found NaN or infinite numbers",
    ),
    "weights of colour": (
        lambda weights, classes: rewrite(weights, **{"fc_1.weight": COLOUR}),
        {},
        "w.safetensors: its weights are for images of another number of channels",
    ),
    "weights of another network": (
        lambda weights, classes: None,
        {"teacher__network__name": "convnet_d1"},
        "w.safetensors: does not fit convnet_d1: .*they fit mlp",
    ),
    "moments of colour": (
        lambda weights, classes: None,
        {"teacher__mean": (0.5, 0.5, 0.5)},
        r"teacher.mean: found \[0.5, 0.5, 0.5\], allowed is one number for each",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_do_not_fit_are_refused_before_compute(
    sources, weights, tmp_path, case
):
    damage, changes, message = FILES[case]
    damage(weights / "w.safetensors", weights / "classes.txt")
    changes = named(weights, regimes=()) | changes
    with pytest.raises(InputError, match=message):
        settings = from_config(tiny.config(sources["own"], **changes))
        pipeline.run(settings, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def notes_of(folder):
    return json.loads((folder / "manifest.json").read_text())["notes"]


def test_a_run_remarks_on_an_untrained_head(sources, teacher, weights):
    def run(name):
        config = tiny.config(sources["own"], **named(weights, regimes=()))
        summary = pipeline.run(from_config(config), weights / name)
        (row,) = summary.to_dict("records")
        assert row["epoch"] == "" and row["network"] == "mlp"
        assert not (weights / name / "figures" / "teachers.png").exists()
        return row["test_accuracy"], notes_of(weights / name)

    assert teacher.accuracy["validation"] > 200 / 3
    assert run("trained") == (teacher.accuracy["test"], [])
    zeros = {"fc_2.weight": np.zeros((3, 8)), "fc_2.bias": np.zeros(3)}
    zeros = {name: array.astype(np.float32) for name, array in zeros.items()}
    rewrite(weights / "w.safetensors", **zeros)
    accuracy, (note,) = run("untrained")
    assert accuracy == pytest.approx(100 / 3)
    assert note.startswith("teacher: its 33.3 % on validation are little more than")


def test_a_run_remarks_on_accuracies_from_elsewhere(sources, path, tmp_path):
    config = tiny.config(sources["dim"], regimes=(), teacher__path=path)
    pipeline.run(from_config(config), tmp_path / "w")
    (note,) = notes_of(tmp_path / "w")
    assert "accuracies were measured on" in note and "own.npz" in note


def test_the_layer_of_a_teacher_from_a_file_is_checked(sources, weights, tmp_path):
    changes = {
        "regimes": ("hard",),
        "select__methods": ("random", "herding"),
        "select__features": "teacher",
        "select__layer": "conv7",
    }
    config = tiny.config(sources["own"], **named(weights, **changes))
    message = "select.layer: found 'conv7', allowed is one of fc_1, fc_2"
    with pytest.raises(InputError, match=message):
        pipeline.run(from_config(config), tmp_path / "w")
    assert not (tmp_path / "w").exists()
