"""Runs on a folder of JPEGs that is streamed, from its files to its report."""

import csv
import json

import numpy as np
import pytest
import runs
import tiny
from PIL import Image

from ddjax import distill, pipeline, settings
from ddjax.distill.match.loop import Matching
from ddjax.settings import from_config
from ddjax.stages import embeddings

pytestmark = pytest.mark.slow

SIDE, IPC = 8, 2
FEW = ("rded", "pca", "sre2l")
# All that learn images through fresh networks read the pool alike, and dm is one of
# them; mtt has experts too.
LEARN = {name for name, each in distill.METHODS.items() if isinstance(each, Matching)}
OTHERS = tuple(sorted({*distill.METHODS} - {*FEW} - LEARN | {"dm", "mtt"}))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("source") / "photos")


def photos(folder):
    """Writes a folder of JPEGs in color, of the size at which they are read.

    Larger ones are scaled while they are decoded where they are streamed, so that they
    differ a little from those in memory.
    """
    found = tiny.arrays(train=24, test=6)
    for split in ("train", "test"):
        arrays = found[f"x_{split}"], found[f"y_{split}"]
        for number, (image, label) in enumerate(zip(*arrays, strict=True)):
            place = folder / split / tiny.CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            colors = np.stack([image, 255 - image, image.T], axis=-1)
            Image.fromarray(colors).save(place / f"{number:03d}.jpg", quality=95)
    return folder


def config(source, entries, stream, **changes):
    made = tiny.config(
        source,
        select__methods=("random", "cad_prune"),
        teacher__network__name="convnet_d1",
        teacher__network__convnet__width=4,
        teacher__network__convnet__norm="batch",
    )
    made.data.source = f"folder:{source}"
    made.data.image_size, made.data.stream = SIDE, stream
    for entry in entries:
        settings.add_distillation(made, entry)
        sections = distill.METHODS[entry].sections
        if "patches" in sections:
            made.distill[entry].patches.candidates = 8
        if "recover" in sections:
            made.distill[entry].recover.iterations = 2
        if "cim" in sections:
            made.distill[entry].cim.iterations = 2
            made.distill[entry].cim.factor = 1
        if entry in ("dm", "mtt"):
            made.distill[entry][entry].iterations = 2
        if entry == "dm":
            made.distill.dm.dm.real = 4
        if entry == "mtt":
            made.distill.mtt.mtt.update({"steps": 2, "span": 1, "max_start": 1})
            made.distill.mtt.experts.update({"count": 1, "epochs": 1, "batch_size": 8})
        if "delt" in sections:
            made.distill[entry].delt.rounds = 2
        if "fadrm" in sections:
            made.distill[entry].fadrm.stages = 2
        if "cv_dd" in sections:
            made.distill[entry].cv_dd.drawn = 0  # all of the teachers, one
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return from_config(made)


def both(source, folder, entries, **changes):
    """Folders of a run on a stream and of one in memory with the former's teacher."""
    with pytest.MonkeyPatch.context() as patch:
        # t-SNE takes seconds; it sees arrays, however they came into memory.
        patch.setattr(embeddings, "_map", lambda features: features[:, :2])
        chosen = config(source, entries, True, **changes)
        pipeline.run(chosen, folder / "stream")
        (teacher,) = (folder / "stream" / "artifacts").glob("teacher-*")
        changes |= {"teacher__path": str(teacher)}
        chosen = config(source, entries, False, **changes)
        pipeline.run(chosen, folder / "memory")
    return folder / "stream", folder / "memory"


def sets_of(folder):
    """(method, seed) -> arrays of an image set."""
    found = {}
    for path in folder.glob("artifacts/synthetic-*"):
        manifest = json.loads((path / "manifest.json").read_text())
        with np.load(path / "arrays.npz") as arrays:
            key = manifest["settings"]["method"], manifest["settings"]["seed"]
            found[key] = dict(arrays)
    return found


def rows_of(folder):
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def assert_same(stream, memory, entries):
    sets, expected = sets_of(stream), sets_of(memory)
    assert {*sets} == {*expected} == {(e, seed) for e in entries for seed in (0, 1)}
    for key, arrays in expected.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(sets[key][name], array, f"{key} {name}")


@pytest.fixture(scope="module")
def few(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    with runs.drawing():
        return both(source, folder, FEW, regimes=("hard",))


def test_a_stream_is_distilled_as_memory_is(few):
    assert_same(*few, FEW)


def test_a_streamed_run_ends_as_one_in_memory(few):
    stream, memory = map(rows_of, few)
    for row, expected in zip(stream, memory, strict=True):
        assert row["method"] == expected["method"]
        assert float(row["accuracy"]) == pytest.approx(float(expected["accuracy"]))
    for name in (f"set_difficulty_ipc{IPC}", f"tsne_ipc{IPC}", f"images_ipc{IPC}"):
        content = (few[0] / "figures" / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        if not name.startswith("tsne"):  # the other run has another teacher's name
            assert content == (few[1] / "figures" / f"{name}.png").read_bytes()
    assert len(list((few[0] / "images").rglob("*.png"))) == 2 * len(FEW) * IPC * 3
    assert "Sets among the real images" in (few[0] / "report.html").read_text()


def test_embeddings_see_the_same_images(few):
    found = [next(folder.glob("artifacts/embeddings-*/arrays.npz")) for folder in few]
    stream, memory = map(np.load, found)
    for name in ("set", "labels", "el2n", "points"):
        np.testing.assert_allclose(stream[name], memory[name], rtol=1e-5, atol=1e-6)


def test_a_streamed_run_is_reused(few, source, capsys):
    pipeline.run(config(source, FEW, True, regimes=("hard",)), few[0])
    told = capsys.readouterr().out
    assert "reused, was" in told and ": done in" not in told


@pytest.mark.slow
def test_a_read_set_is_judged_beside_a_stream(few, source, tmp_path):
    (made, *_) = sorted((few[0] / "images").glob(f"rded_ipc{IPC}_seed*"))
    chosen = config(
        source,
        (),
        True,
        images=str(made),
        regimes=("soft",),
        select__methods=("random",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "_map", lambda features: features[:, :2])
        summary = pipeline.run(chosen, tmp_path / "run", tmp_path / "chosen")
    assert {*summary["method"]} == {"random", "images", "full"}
    assert len(list((tmp_path / "chosen").rglob("*.jpg"))) == IPC * 3


@pytest.mark.slow
@pytest.mark.parametrize("init", ["random", "rded", "path"])
def test_recovery_starts_from_a_stream(few, source, tmp_path, init):
    path = str(next((few[0] / "images").glob(f"pca_ipc{IPC}_seed0")))
    changes = {"distill__sre2l__recover__init": path if init == "path" else init}
    changes |= {"regimes": ("hard",), "select__methods": ("random",)}
    assert_same(*both(source, tmp_path, ("sre2l",), **changes), ("sre2l",))


@pytest.mark.slow
def test_every_synthesis_and_every_look_at_the_pool_can_be_streamed(source, tmp_path):
    changes = {
        "regimes": ("hard", "soft", "soft_kd"),
        "labels__soft_kd__codec": "fp16",
        "protocol__curves": 2,
        "select__methods": (
            "random",
            "el2n_best_window",
            "grand_hard",
            "d2",
            "glister",
            "facility_location",
        ),
        "select__d2__neighbors": 3,
        "student__learning_rates": (0.01, 0.03),
    }
    folders = both(source, tmp_path, OTHERS, **changes)
    assert_same(*folders, OTHERS)
    stream, memory = map(rows_of, folders)
    for row, expected in zip(stream, memory, strict=True):
        assert row["method"] == expected["method"]
        # A student may answer another image of 18 otherwise.
        if row["accuracy"]:
            assert abs(float(row["accuracy"]) - float(expected["accuracy"])) < 100 / 18
    for path in (folders[1] / "scores").iterdir():
        tables = [
            np.genfromtxt(at / "scores" / path.name, delimiter=",", names=True)
            for at in folders
        ]
        np.testing.assert_allclose(
            *(table["grand"] for table in tables), rtol=1e-4, err_msg=path.name
        )


@pytest.mark.slow
def test_teacher_features_and_other_students_can_be_streamed(source, tmp_path):
    chosen = config(
        source,
        (),
        True,
        select__methods=("random", "herding", "k_center"),
        select__features="teacher",
        regimes=("hard", "soft"),
    )
    summary = pipeline.run(chosen, tmp_path / "run")
    assert np.isfinite(summary[summary["method"] != "selection_gain"].accuracy).all()
