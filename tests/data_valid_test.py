"""Images that cannot be images are refused; what is odd is said."""

import numpy as np
import pytest
from PIL import Image

from ddjax import data
from ddjax.errors import InputError


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
