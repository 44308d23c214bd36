"""A machine without an optional package: what needs it says so, all else works."""

import sys
import types

import numpy as np
import pytest
import tiny
from PIL import Image

from ddjax import data
from ddjax.data import optional
from ddjax.errors import InputError

EVERY = tuple(optional.PACKAGES)


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""

    def hide(*packages):
        for loaded in list(sys.modules):
            if loaded.partition(".")[0] in packages:
                monkeypatch.delitem(sys.modules, loaded)
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                path = tmp_path / split / name / f"{index}.jpg"
                Image.fromarray(pixels).save(path)
    return tmp_path


def test_sources_in_memory_need_none_of_them(without, folder):
    without(*EVERY)
    path = tiny.write(folder / "tiny.npz")
    assert len(data.load("digits").train) > 1000
    assert len(data.load(f"npz:{path}").train) == 120
    assert len(data.load(f"folder:{folder}").train) == 6


@pytest.mark.parametrize("package", ["grain", "simplejpeg"])
def test_a_stream_is_refused_when_it_is_opened(without, folder, package):
    assert len(data.load(f"folder:{folder}", image_size=8, stream=True).train) == 6
    without(package)
    says = f"^{package} is not installed, stream=True needs it; pip install"
    with pytest.raises(InputError, match=says):
        data.load(f"folder:{folder}", image_size=8, stream=True)


@pytest.mark.parametrize("package", ["tensorflow_datasets", "array_record"])
def test_tfds_is_refused_when_it_is_opened(without, tmp_path, package):
    without(package)
    name = optional.PACKAGES[package]
    says = f"{name} is not installed, source 'tfds:x' needs it; pip install {name}$"
    with pytest.raises(InputError, match=f"^{says}"):
        data.load("tfds:x", str(tmp_path))


def test_an_image_set_in_array_record_is_refused(without, tmp_path):
    images, labels = np.zeros((2, 8, 8, 3), np.uint8), np.arange(2)
    place = tmp_path / "set"
    data.write_image_set(images, labels, ("a", "b"), place, "array_record")
    without("array_record")
    says = "^array-record is not installed, .*ArrayRecord format, needs it"
    with pytest.raises(InputError, match=says):
        data.read_image_set(place, ("a", "b"), (8, 8, 3), None, None)
    says = "^array-record is not installed, the format array_record needs it"
    with pytest.raises(InputError, match=says):
        data.write_image_set(
            images, labels, ("a", "b"), tmp_path / "other", "array_record"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_package_that_is_there_and_broken_says_why(monkeypatch):
    class Broken(types.ModuleType):
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "grain":
                raise ImportError("libfoo.so: cannot open")

    for loaded in list(sys.modules):
        if loaded.partition(".")[0] == "grain":
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Broken("broken"), *sys.meta_path])
    with pytest.raises(InputError, match=r"^grain cannot be imported \(libfoo.so"):
        optional.require(("grain",), "this")
