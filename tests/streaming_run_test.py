"""Runs on a folder of JPEGs that is streamed, from its files to its report."""

import csv
import json

import numpy as np
import pytest
import runs
import tiny
from PIL import Image

from ddjax import data, distill, experiment, settings
from ddjax.settings import from_config
from ddjax.stations import embeddings

SIDE, IPC = 8, 2
FEW = ("rded", "ca2d", "pca", "sre2l", "g_vbsm")
OTHERS = tuple(sorted({*distill.METHODS} - {*FEW}))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of JPEGs in color, of the size at which they are read.

    Larger ones are scaled while they are decoded where they are streamed, so that they
    differ a little from those in memory.
    """
    folder = tmp_path_factory.mktemp("source") / "photos"
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
        made.distill[entry].patches.candidates = 8
        made.distill[entry].recover.iterations = 2
    made.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return from_config(made)


def both(source, folder, entries, **changes):
    """Folders of a run on a stream and of one in memory with the former's teacher."""
    with runs.sharing_executables(), pytest.MonkeyPatch.context() as patch:
        # t-SNE takes seconds; it sees arrays, however they came into memory.
        patch.setattr(embeddings, "_map", lambda features: features[:, :2])
        chosen = config(source, entries, True, **changes)
        experiment.run(chosen, folder / "stream")
        (teacher,) = (folder / "stream" / "artifacts").glob("teacher-*")
        changes |= {"teacher__path": str(teacher)}
        chosen = config(source, entries, False, **changes)
        experiment.run(chosen, folder / "memory")
    return folder / "stream", folder / "memory"


def sets_of(folder):
    """(method, seed) -> arrays of an image set."""
    found = {}
    for path in folder.glob("artifacts/images-*"):
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
    return both(source, folder, FEW, regimes=("hard",))


def test_a_stream_is_distilled_as_memory_is(few):
    assert_same(*few, FEW)
