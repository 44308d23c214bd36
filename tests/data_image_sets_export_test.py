"""Chosen images as class folders: the files themselves, all of them or none."""

import json

import numpy as np
import pytest
from PIL import Image

from ddjax import data
from ddjax.data.image_sets.files import MARKER
from ddjax.errors import InputError


def read(folder):
    """What PyTorch's ImageFolder does: sorted class folders, their sorted files."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return [
        (name, path.name, np.asarray(Image.open(path)))
        for name in classes
        for path in sorted((folder / name).iterdir())
    ]


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 1)):
        for name in ("cat", "dog"):
            for index in range(count):
                path = tmp_path / "mine" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
    return data.load(f"folder:{tmp_path / 'mine'}", image_size=8)


def arrays(tmp_path, channels=1):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 8, 8, channels), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(20) % 2)
    return data.load(f"npz:{tmp_path / 'mine.npz'}")


IDS = np.array([1, 2, 4, 7])


def test_files_are_copied_as_they_are(source, tmp_path):
    target = tmp_path / "new" / "chosen"
    assert data.write_export(source, IDS, target, {"method": "herding"}) == 4
    found = read(target)
    names = [(name, file) for name, file, _ in found]
    assert names == [
        ("cat", "1.png"),
        ("cat", "2.png"),
        ("dog", "0.png"),
        ("dog", "3.png"),
    ]
    for name, file, _ in found:
        original = tmp_path / "mine" / "train" / name / file
        assert (target / name / file).read_bytes() == original.read_bytes()
    told = json.loads((target / MARKER).read_text())
    assert told["method"] == "herding" and told["digest"] == source.digest
    assert told["files"] == ["cat/1.png", "cat/2.png", "dog/0.png", "dog/3.png"]


def test_images_without_files_become_png(tmp_path):
    source = arrays(tmp_path)
    data.write_export(source, IDS, tmp_path / "chosen", {})
    found = read(tmp_path / "chosen")
    chosen = source.train.take(IDS)
    assert [name for name, _, _ in found] == ["0", "0", "1", "1"]
    order = np.argsort(chosen.labels, kind="stable")
    pixels = np.stack([image for _, _, image in found])
    np.testing.assert_array_equal(pixels, chosen.images[order, ..., 0])


def test_names_that_differ_in_case_only_are_told_apart(tmp_path):
    names = ("train/cat/Ab.png", "train/cat/aB.png", "test/cat/1.png")
    for index, name in enumerate(names):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((8, 8 + index)).crop((0, 0, 8, 8)).save(path)
    source = data.load(f"folder:{tmp_path / 'mine'}")
    data.write_export(source, np.array([0, 1]), tmp_path / "chosen", {})
    names = [file for _, file, _ in read(tmp_path / "chosen")]
    assert names == ["Ab.png", "aB-2.png"]


def test_an_earlier_export_is_replaced(source, tmp_path):
    target = tmp_path / "chosen"
    data.write_export(source, IDS, target, {})
    data.check_export(source, target)
    data.write_export(source, np.array([0, 5]), target, {})
    assert [(n, f) for n, f, _ in read(target)] == [("cat", "0.png"), ("dog", "1.png")]
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "chosen"}


def test_an_empty_folder_is_filled(source, tmp_path):
    (tmp_path / "chosen").mkdir()
    data.write_export(source, IDS, tmp_path / "chosen", {})
    assert len(read(tmp_path / "chosen")) == 4


@pytest.mark.parametrize("own", [False, True])
def test_a_folder_with_other_files_is_refused(source, tmp_path, own):
    target = tmp_path / "chosen"
    target.mkdir()
    if own:
        data.write_export(source, IDS, target, {})
    (target / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds thesis.txt, which no export wrote"):
        data.check_export(source, target)
    with pytest.raises(InputError, match="holds thesis.txt"):
        data.write_export(source, IDS, target, {})
    assert (target / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("place", ["mine", "mine/chosen", "mine/train/cat", "."])
def test_a_folder_that_overlaps_with_the_source_is_refused(source, tmp_path, place):
    with pytest.raises(InputError, match="allowed is a folder apart from the source"):
        data.check_export(source, tmp_path / place)


def test_a_file_is_refused(source, tmp_path):
    (tmp_path / "chosen").write_text("")
    with pytest.raises(InputError, match="which is no folder"):
        data.check_export(source, tmp_path / "chosen")
    with pytest.raises(InputError, match="cannot be written"):
        data.check_export(source, tmp_path / "chosen" / "below")


def test_nothing_is_left_where_a_file_vanished(source, tmp_path):
    (tmp_path / "mine" / "train" / "dog" / "3.png").unlink()
    with pytest.raises(InputError, match="cannot be written .*3.png"):
        data.write_export(source, IDS, tmp_path / "chosen", {})
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}
