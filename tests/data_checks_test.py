"""Images that cannot be are refused, and what is odd about them is remarked on."""

import json
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from ddjax import data, pipeline
from ddjax.data import checks
from ddjax.data.checks import likeness as remarks
from ddjax.errors import InputError
from ddjax.settings import from_config


def noise(count=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6), dtype=np.uint8)


def load(tmp_path, train=None, test=None, y_test=None):
    path = tmp_path / "a.npz"
    train = noise() if train is None else train
    test = noise(6, seed=1) if test is None else test
    y_test = np.arange(len(test)) % 2 if y_test is None else y_test
    y_train = np.arange(len(train)) % 2
    np.savez(path, x_train=train, y_train=y_train, x_test=test, y_test=y_test)
    return data.load(f"npz:{path}")


FLOATS = noise() / 255
SPOILT = {
    "floats cast": (FLOATS.astype(np.uint8), "value than 0 and 1 .*multiplied by 255"),
    "black": (np.zeros_like(noise()), "no other value than 0 of"),
    "white": (np.full_like(noise(), 255), "no other value than 255 of"),
    "rounded": (np.rint(FLOATS).astype(np.uint8), "no other value than 0 and 1 of"),
    "twice divided": (FLOATS / 255, "no other value than 0 and 1 of"),
    "masks": (noise() // 128, "no other value than 0 and 1 of"),
    "nearly constant": (100 + noise() // 128, "no other value than 100 and 101"),
    "one image": (np.repeat(noise(1), 8, axis=0), "8 images that are one and the same"),
    "normalised": (
        np.rint(4 * FLOATS - 2).astype(np.int8).view(np.uint8),
        "0..2 and of 254..255 alone, as normalised",
    ),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", SPOILT)
def test_images_that_were_spoilt_are_refused(tmp_path, kind, split):
    images, message = SPOILT[kind]
    with pytest.raises(InputError, match=f"a.npz: {split} split has .*{message}"):
        load(tmp_path, **{split: images})


def test_spoilt_files_are_refused_too(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(noise(1)[0] // 255).save(tmp_path / name / "0.png")
    for stream in (False, True):
        with pytest.raises(InputError, match="train split has no other value than 0"):
            data.load(f"folder:{tmp_path}", image_size=6, stream=stream)


@pytest.mark.parametrize(
    "images",
    [
        np.where(noise() > 127, 255, 0).astype(np.uint8),  # black and white
        (noise() > 200).astype(np.uint8) * 40,  # few and dark
        noise() // 2 + 64,  # little contrast
    ],
)
def test_images_that_can_be_pass(tmp_path, images):
    assert load(tmp_path, train=images).remarks == ()


def test_what_is_odd_is_said(tmp_path):
    dark = noise() // 16
    dark[:3] = 7
    remarks = load(
        tmp_path, train=dark, test=noise(9, 1), y_test=np.zeros(9, int)
    ).remarks
    for said, expected in zip(
        remarks,
        (
            "train split: no value is above 15 of 255",
            "train split: 3 of 8 images are of one colour",
            "9 test images are more than the 8 training images; are the splits exch",
            "1 of 2 classes have no test image, such as '1'",
            "2 of 8 training images are copies of others, 1 of them with another label",
        ),
        strict=True,
    ):
        assert expected in said


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


@pytest.mark.slow
def test_a_run_says_it_on_the_console_and_in_the_report(tmp_path, capsys):
    arrays = tiny.arrays()
    arrays["x_test"][:4] = arrays["x_train"][:4]
    np.savez(tmp_path / "a.npz", **arrays)
    config = tiny.config(
        tmp_path / "a.npz", select__methods=("random",), regimes=("hard",)
    )
    pipeline.run(from_config(config), tmp_path / "run")
    said = "4 of 36 test images (11.1%) are also training images"
    assert f"WARNING: npz:{tmp_path / 'a.npz'}: {said}" in capsys.readouterr().out
    assert said in (tmp_path / "run" / "report.html").read_text()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert said in manifest["source"]["remarks"][0] and said in manifest["notes"][0]


MEAN, STD = (0.49, 0.48, 0.44), (0.25, 0.24, 0.26)


def images(count=100, mean=MEAN, spread=0.25, seed=0):
    """Images with a brightness each, and pixels around it."""
    rng = np.random.default_rng(seed)
    bright = rng.normal(0, 0.1, (count, 1, 1, 1))
    values = np.asarray(mean) + bright + rng.normal(0, spread, (count, 8, 8, len(mean)))
    return (255 * values.clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_images_of_the_source_call_for_no_remark(seed):
    assert remarks(images(seed=seed), MEAN, STD) == ()
    assert remarks(images(12, seed=seed), MEAN, STD) == ()


def test_exchanged_channels_are_remarked_on():
    (note,) = remarks(images()[..., ::-1], MEAN, STD)
    assert note.startswith("red and blue seem exchanged")
    assert remarks(images(4)[..., ::-1], MEAN, STD) == ()  # too few to say
    grey = (0.47, 0.47, 0.47)
    assert remarks(images(mean=grey)[..., ::-1], grey, STD) == ()


def test_inverted_and_dark_images_are_remarked_on():
    ink = images(mean=(0.13,), spread=0.05)
    assert remarks(ink, (0.13,), (0.3,)) == ()
    assert remarks(255 - ink, (0.13,), (0.3,))[0].startswith("black and white seem ex")
    (note,) = remarks(images(mean=(0.02,) * 3, spread=0.02) // 4, MEAN, (0.1,) * 3)
    assert note.startswith("levels are far from the source's: means (0.0")
