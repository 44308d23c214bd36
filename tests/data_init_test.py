import subprocess
import sys

import numpy as np
import pytest

from ddjax import data
from ddjax.errors import InputError


@pytest.fixture
def npz(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    path = tmp_path / "toy.npz"
    labels = np.arange(6) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


def test_check_name_takes_every_kind(tmp_path, npz):
    folders = [f"folder:{tmp_path}", f"cifar:{tmp_path}"]
    names = ["digits", "fashion_mnist", "tfds:cifar10", "tfds:a/b:1.0.0", npz]
    names += folders
    for name in names:
        data.check_name(name)
    assert {name.partition(":")[0] for name in names} == set(data.SOURCES)


@pytest.mark.parametrize(
    "name", ["mnist", "", ":", "tfds", "tfds:", "digits:", "digits:8", "npz:", "Digits"]
)
def test_check_name_lists_the_sources(name):
    with pytest.raises(InputError) as error:
        data.check_name(name)
    message = str(error.value)
    for known in ("digits,", "fashion_mnist,", "tfds:NAME", "folder:PATH", "npz:PATH"):
        assert known in message
    assert repr(name) in message


def test_check_name_requires_the_path_to_exist(tmp_path, npz):
    path = npz.partition(":")[2]
    for name, kind in (
        (f"folder:{path}", "folder"),
        (f"npz:{tmp_path}", "file"),
        (f"folder:{tmp_path}/nowhere", "folder"),
    ):
        with pytest.raises(
            InputError, match=f"'{name}': there is no {kind} {tmp_path}"
        ):
            data.check_name(name)
        with pytest.raises(InputError, match="there is no"):
            data.load(name)


def test_load_finds_paths_under_home(npz, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.load("npz:~/toy.npz", data_dir="~").digest == data.load(npz).digest


def test_load_dispatches_and_resizes_both_splits(npz, tmp_path):
    loaded = data.load(npz)
    small = data.load(npz, data_dir=str(tmp_path), image_size=2)
    assert loaded.shape == (4, 4, 1)
    assert small.shape == small.test.images.shape[1:] == (2, 2, 1)
    assert small.digest != loaded.digest
    assert data.load("digits").name == "digits"


def test_load_refuses_a_bad_data_dir_or_image_size(npz):
    with pytest.raises(InputError, match="data_dir: there is no folder 'nowhere'"):
        data.load(npz, data_dir="nowhere")
    with pytest.raises(InputError, match="image_size: found 0, allowed is at least 1"):
        data.load(npz, image_size=0)


def test_import_is_cheap():
    heavy = "{'sklearn', 'PIL', 'tensorflow_datasets', 'jax'}"
    code = f"import sys, ddjax.data; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr
