"""Named sources: found, declared, looked at and loaded."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ddjax import data
from ddjax.data import folder
from ddjax.errors import InputError


@pytest.fixture
def npz(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    path = tmp_path / "toy.npz"
    labels = np.arange(6) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


def test_check_name_takes_every_kind(tmp_path, npz):
    folders = [f"{kind}:{tmp_path}" for kind in ("folder", "cifar", "glyphs")]
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


def save(path, shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(shape, np.uint8)).save(path)


def test_a_folder_is_found_by_names_and_headers(tmp_path):
    for index in range(10):
        save(tmp_path / "cat" / f"{index}.png", (20 + index, 60))
    for index in range(20):
        save(tmp_path / "dog" / f"{index}.jpg", (90, 40, 3))
    found = data.scan(str(tmp_path))
    assert found == data.Scan(
        source=f"folder:{tmp_path}",
        classes=("cat", "dog"),
        counts=(8, 16),
        test=6,
        aside=True,
        sides=(20, 40, 40),
        square=False,
        channels=3,
    )


def test_pixels_are_not_read(tmp_path):
    for name in ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"):
        save(tmp_path / name, (64, 64))
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-30])
    found = data.scan(str(tmp_path))
    assert (found.channels, found.square, found.sides) == (1, True, (64, 64, 64))


def test_headers_of_a_sample_are_read(tmp_path, monkeypatch):
    for index in range(30):
        save(tmp_path / "cat" / f"{index:02d}.png", (8, 8))
    monkeypatch.setattr(folder, "_SAMPLE", 5)
    opened = []
    real = folder.opened
    monkeypatch.setattr(folder, "opened", lambda *a: (opened.append(a), real(*a))[1])
    assert data.scan(str(tmp_path)).counts == (24,)
    assert len(opened) == len(set(opened)) == 5


def test_a_file_of_arrays(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.zeros((10, 12, 14), np.uint8)
    np.savez(path, x=x, y=np.arange(10) % 2)
    found = data.scan(str(path))
    assert (found.counts, found.test, found.aside) == ((4, 4), 2, True)
    assert (found.sides, found.square, found.channels) == ((12,) * 3, False, 1)
    np.savez(path, x_train=x, y_train=np.arange(10) % 2, x_test=x, y_test=np.ones(10))
    assert not data.scan(str(path)).aside


def test_a_damaged_image_is_named(tmp_path):
    save(tmp_path / "cat" / "0.png", (8, 8))
    (tmp_path / "cat" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cat/1.png: not a readable image"):
        data.scan(str(tmp_path))


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_something_else_is_refused(tmp_path, name):
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(InputError, match=f"--data: found '.*{name}', allowed is"):
        data.scan(str(tmp_path / name))
