"""What is no regular file is refused, at once and by name, by every reader."""

import os
import pathlib
import socket

import numpy as np
import pytest
from PIL import Image

from ddjax import data, regular
from ddjax.data import cifar, exchange, fashion_mnist, npz
from ddjax.errors import InputError
from ddjax.stages import imports

POOL = np.arange(4)
READERS = {
    "regular": regular.read,
    "npz": lambda path: npz.load(str(path)),
    "scores.npy": lambda path: exchange.read_scores(path, POOL, 4),
    "scores.csv": lambda path: exchange.read_scores(path, POOL, 4),
    "subset.npy": lambda path: exchange.read_subset(path, POOL, 4),
    "subset.csv": lambda path: exchange.read_subset(path, POOL, 4),
    "features.npy": lambda path: exchange.read_features(path, POOL, 4),
    "idx": lambda path: fashion_mnist.read_idx(path, 3),
    "idx.gz": lambda path: fashion_mnist.read_idx(path, 3),
    "digest": lambda path: imports._digest(str(path)),
    "own.npz": lambda path: data.scan(str(path)),
}


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path)


def dangling(path):
    path.symlink_to(path.with_name("nowhere"))


def device(path):
    path.symlink_to("/dev/zero")


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path may have 107 letters alone
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


KINDS = {
    pipe: "is a named pipe, allowed is a regular file",
    folder: "is a folder, allowed",
    loop: "cannot be read: Too many levels",
    dangling: "cannot be read: No such file",
    device: "is a device, allowed",
    unix_socket: "is a socket, allowed",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_file_is_refused(tmp_path, reader, make):
    path = tmp_path / f"a{pathlib.Path(f'x.{reader}').suffix}"
    make(path)
    message = f"^{path}: {KINDS[make]}"
    if reader == "own.npz" and make in (folder, loop, dangling):
        message = "no class folders|allowed is the path"  # as for what is not there
    with pytest.raises(InputError, match=message):
        READERS[reader](path)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    assert regular.read(tmp_path / "b") == b"content"
    assert regular.is_file(tmp_path / "b") and not regular.is_folder(tmp_path / "b")


def test_what_is_found_is_named(tmp_path):
    pipe(tmp_path / "a.npz")
    for path, found in (("a.npz", "a named pipe"), ("", "a folder"), ("no", "nothing")):
        with pytest.raises(InputError, match=f"there is no file .*, found {found}"):
            data.load(f"npz:{tmp_path / path}")


def test_what_takes_the_place_of_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"content")
    pipe(tmp_path / "b")
    before = os.stat(tmp_path / "a")
    monkeypatch.setattr(os, "stat", lambda path, **options: before)
    with pytest.raises(InputError, match="b: is a named pipe, allowed"):
        regular.opened(tmp_path / "b")


@pytest.mark.parametrize("call", ["stat", "open", "scandir"])
def test_what_may_not_be_read_is_refused(tmp_path, monkeypatch, call):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a").write_bytes(b"content")
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(InputError, match=f"{tmp_path}.*: cannot be .*: Permission den"):
        regular.entries(tmp_path) if call == "scandir" else regular.read(tmp_path / "a")


@pytest.mark.parametrize(
    "path", ["x" * 5000, "a\0b", "~nobody-of-this-name/x", "/dev/null/x"]
)
def test_paths_that_cannot_be_are_refused(path):
    with pytest.raises(InputError) as error:
        regular.read(path)
    assert len(str(error.value)) < 1000
    for kind in ("npz", "folder", "cifar"):
        with pytest.raises(InputError):
            data.load(f"{kind}:{path}")
    with pytest.raises(InputError, match="a"):
        data.load("digits", data_dir=path)


def image_folder(root):
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (root / name).mkdir(parents=True)
        for index in range(2):
            draw = np.random.default_rng([index, *name.encode()])
            pixels = draw.integers(0, 256, (8, 8))
            path = root / name / f"{index}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_file_is_left_out_of_a_class(tmp_path, make, stream):
    root = image_folder(tmp_path / "images")
    make(root / "train" / "cat" / "z.png")
    loaded = data.load(f"folder:{root}", image_size=8, stream=stream)
    assert len(loaded.train) == 4
    if make is not folder:  # which has nothing to leave out
        assert "what is no regular file (1, as train/cat/z.png)" in loaded.remarks[0]


@pytest.mark.parametrize("make", [pipe, unix_socket, device])
def test_a_file_that_becomes_a_pipe_is_refused(tmp_path, make):
    root = image_folder(tmp_path / "images")
    path = root / "train" / "cat" / "1.png"
    images = data.load(f"folder:{root}", image_size=8, stream=True).train.images
    path.unlink()
    make(path)
    with pytest.raises(InputError, match=f"{path}: is a"):
        images[:]


def test_pipes_among_the_files_of_known_sets_are_refused(tmp_path):
    for name in (*fashion_mnist._FILES, "data_batch_1", "test"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="has no files of CIFAR"):
        cifar.load(str(tmp_path))
    path = tmp_path / "tfds" / "mine" / "1.0.0" / "dataset_info.json"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{path}: is no regular file"):
        data.load("tfds:mine", str(tmp_path / "tfds"))
