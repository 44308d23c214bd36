"""Glyphs of the fonts that matplotlib brings along."""

import itertools
import pathlib
import shutil

import matplotlib
import numpy as np
import pytest

from ddjax import data
from ddjax.data import glyphs
from ddjax.errors import InputError

FONTS = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
TESTED = next(
    n for n in map("tested{}".format, itertools.count()) if glyphs._is_test(n)
)
LEARNT = [n for n in map("learnt{}".format, range(20)) if not glyphs._is_test(n)]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """The cache folder of each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ddjax"


@pytest.fixture
def fonts(tmp_path):
    """A folder of two families of letters and one of symbols."""
    root = tmp_path / "fonts"
    for family, names in {
        LEARNT[0]: ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
        LEARNT[1]: ("STIXSizOneSymReg.ttf",),
        TESTED: ("DejaVuSerif.ttf",),
    }.items():
        (root / "more" / family).mkdir(parents=True)
        for name in names:
            shutil.copy(FONTS / name, root / "more" / family)
    return root


def test_families_are_split_and_symbols_left_out(fonts):
    source = data.load(f"glyphs:{fonts}")
    assert source.classes == tuple(map(chr, range(33, 127)))
    assert source.shape == (28, 28, 1)
    assert source.train.images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(source.train.labels), 2)
    np.testing.assert_array_equal(source.test.labels, np.arange(94))
    assert "3 of 4 fonts are used" in source.remarks[0]
    assert "2 families" in source.remarks[0]


def test_letters_stand_on_one_baseline(fonts):
    source = data.load(f"glyphs:{fonts}")
    for letter in "HEIxnk1":
        image = source.test.images[source.classes.index(letter), ..., 0]
        assert image.max() == 255
        assert np.flatnonzero(image.any(axis=1))[-1] == 19, letter
    deep = source.test.images[source.classes.index("p"), ..., 0]
    assert deep[20:].any()


def test_of_equal_images_the_first_stays(fonts):
    before = data.load(f"glyphs:{fonts}")
    shutil.copytree(fonts / "more" / LEARNT[0], fonts / "zzz" / LEARNT[2])
    after = data.load(f"glyphs:{fonts}")
    assert after.digest == before.digest
    assert "5 of 6 fonts are used" in after.remarks[0]


def test_images_are_kept_until_a_font_changes(fonts, kept, monkeypatch):
    first = data.load(f"glyphs:{fonts}")
    with monkeypatch.context() as patch:
        patch.setattr(glyphs, "_render", lambda fonts: 1 / 0)
        assert data.load(f"glyphs:{fonts}").digest == first.digest
    shutil.copy(FONTS / "DejaVuSansMono.ttf", fonts / "more" / LEARNT[0])
    other = data.load(f"glyphs:{fonts}")
    assert other.digest != first.digest
    assert len(list(kept.iterdir())) == 2


def test_a_damaged_copy_is_rendered_again(fonts, kept):
    first = data.load(f"glyphs:{fonts}")
    (path,) = kept.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert data.load(f"glyphs:{fonts}").digest == first.digest


def test_files_that_are_no_fonts_are_left_out(fonts):
    (fonts / "more" / LEARNT[0] / "broken.otf").write_bytes(b"OTTO and no more")
    assert "3 of 5 fonts are used" in data.load(f"glyphs:{fonts}").remarks[0]


def test_a_folder_without_fonts_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no font, allowed .* \.otf or \.ttf"):
        data.load(f"glyphs:{tmp_path / 'empty'}")


def test_images_are_resized(fonts):
    assert data.load(f"glyphs:{fonts}", image_size=14).shape == (14, 14, 1)
