"""Test images that are also training images are counted, in memory and in streams."""

import json
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from ddjax import data, experiment
from ddjax.data import checks
from ddjax.settings import from_config


def noise(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6), dtype=np.uint8)


def test_shared_images_are_counted_in_arrays(tmp_path):
    train, test = noise(20, 0), noise(10, 1)
    test[[2, 5, 7]] = train[[4, 4, 9]]
    arrays = {"x_train": train, "x_test": test, "y_train": np.arange(20) % 2}
    np.savez(tmp_path / "a.npz", **arrays, y_test=np.arange(10) % 2)
    (remark,) = data.load(f"npz:{tmp_path / 'a.npz'}").remarks
    assert remark == (
        f"WARNING: npz:{tmp_path / 'a.npz'}: 3 of 10 test images (30.0%) are also "
        "training images, 1 of them with another label, by their pixels, such as test "
        "image 2, which is training image 4: accuracy on them is memory, not "
        "generalisation"
    )


def folder_with(root):
    """Two classes; a test image is a training image's copy, and two are the same."""
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (root / name).mkdir(parents=True)
        for index, image in enumerate(noise(3, sum(map(ord, name)))):
            Image.fromarray(image).save(root / name / f"{index}.png")
    shutil.copy(root / "train/a/1.png", root / "test/b/1.png")
    shutil.copy(root / "train/b/0.png", root / "train/b/2.png")
    return f"folder:{root}"


@pytest.mark.parametrize("stream", [False, True])
def test_shared_images_are_counted_in_folders(tmp_path, stream):
    name = folder_with(tmp_path)
    first, second = data.load(name, image_size=6, stream=stream).remarks
    by = "their files" if stream else "their pixels"
    assert "1 of 6 test images (16.7%) are also training images, 1 of them" in first
    assert f"by {by}, such as test image 4, which is training image 1" in first
    assert second == (
        f"{name}: 1 of 6 training images are copies of others, by {by}, such as 5 of 3"
    )


def test_too_many_files_of_a_stream_are_not_read_and_that_is_said(
    tmp_path, monkeypatch
):
    name = folder_with(tmp_path)
    monkeypatch.setattr(checks, "_FILES", 2)
    (remark,) = data.load(name, image_size=6, stream=True).remarks
    assert remark == (
        f"{name}: training and test images were not compared, since more than 2 files "
        "of a stream have the same size"
    )


def test_images_of_another_size_never_agree(tmp_path):
    image = np.zeros((1, 2, 8, 1), np.uint8)
    images = [image, image.reshape(1, 4, 4, 1), image.reshape(1, 2, 8, 1)]
    texts = [data.source.fingerprints(each)[0] for each in images]
    assert texts[0] == texts[2] != texts[1] and texts[0].startswith("2x8x1:")


def test_a_run_says_it_on_the_console_and_in_the_report(tmp_path, capsys):
    arrays = tiny.arrays()
    arrays["x_test"][:4] = arrays["x_train"][:4]
    np.savez(tmp_path / "a.npz", **arrays)
    config = tiny.config(
        tmp_path / "a.npz", select__methods=("random",), regimes=("hard",)
    )
    experiment.run(from_config(config), tmp_path / "run")
    said = "4 of 36 test images (11.1%) are also training images"
    assert f"WARNING: npz:{tmp_path / 'a.npz'}: {said}" in capsys.readouterr().out
    assert said in (tmp_path / "run" / "report.html").read_text()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert said in manifest["source"]["remarks"][0] and said in manifest["notes"][0]
