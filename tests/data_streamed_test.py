import pathlib
import pickle
import shutil

import numpy as np
import pytest
from data_tfds_test import _image, _prepare
from PIL import Image

from ddjax import data
from ddjax.data import tfds
from ddjax.data.images import Streamed
from ddjax.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ddjax"


@pytest.fixture
def prepared(tmp_path):
    """TFDS's folder with the dataset tiny_shapes: 12 and 6 JPEGs of 6x6."""
    _prepare(tmp_path, file_format="JPEG")
    return str(tmp_path)


class Files:
    """Records of 8x8 PNGs that tell which one they are, and count what is read."""

    identity = "files"

    def __init__(self, count, readable=True):
        self.count, self.readable, self.read_ones = count, readable, []

    def __len__(self):
        return self.count

    def read(self, position):
        assert self.readable
        self.read_ones.append(position)
        pixels = np.full((8, 8, 3), position, np.uint8)
        return _png(pixels)

    def describe(self, position):
        return f"file {position}"


def _png(pixels):
    import io

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _copy(root, where):
    """A folder source of the test's images, as PNG."""
    for split, labels in (("train", (0, 0, 1, 1, 1)), ("test", (0, 1))):
        for number, label in enumerate(labels):
            path = root / where / split / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png(_image(number)))
    return f"folder:{root / where}"


@pytest.mark.parametrize("kind", ["tfds", "folder"])
def test_stream_equals_loading_into_memory_where_no_size_changes(tmp_path, kind):
    if kind == "tfds":
        _prepare(tmp_path, file_format="JPEG")
        name = "tfds:tiny_shapes"
    else:
        name = _copy(tmp_path, "images")
    memory = data.load(name, str(tmp_path), 6)
    stream = data.load(name, str(tmp_path), 6, stream=True)
    assert stream.name == memory.name and stream.classes == memory.classes
    assert stream.shape == memory.shape == (6, 6, 3)
    assert stream.mean == memory.mean and stream.std == memory.std
    for lazy, there in ((stream.train, memory.train), (stream.test, memory.test)):
        assert isinstance(lazy.images, Streamed)
        np.testing.assert_array_equal(lazy.images[:], there.images)
        np.testing.assert_array_equal(lazy.labels, there.labels)
        np.testing.assert_array_equal(lazy.ids, there.ids)
        assert lazy.labels.dtype == there.labels.dtype


def test_stream_brings_images_of_different_sizes_to_one(tmp_path):
    _prepare(tmp_path, shape=(None, None, 3), size_of=lambda number: 8 + number % 5)
    stream = data.load("tfds:tiny_shapes", str(tmp_path), 8, stream=True)
    memory = data.load("tfds:tiny_shapes", str(tmp_path), 8)
    assert stream.train.images.shape == memory.train.images.shape == (12, 8, 8, 3)
    # PNGs of 8 pixels are the same, the others resized by another rule.
    np.testing.assert_array_equal(stream.train.labels, memory.train.labels)
    same = (stream.train.images[:] == memory.train.images).all((1, 2, 3))
    assert same.sum() >= 2


def test_stream_reads_grey_images(tmp_path):
    _prepare(tmp_path, "grey", shape=(6, 6, 1), file_format="JPEG")
    stream = data.load("tfds:grey", str(tmp_path), 6, stream=True)
    memory = data.load("tfds:grey", str(tmp_path), 6)
    np.testing.assert_array_equal(stream.train.images[:], memory.train.images)


def test_load_refuses_to_stream_without_a_size_or_what_is_in_memory(prepared):
    with pytest.raises(InputError, match="found 'digits', which .* tfds:NAME and"):
        data.load("digits", image_size=8, stream=True)
    with pytest.raises(InputError, match="image_size: found None"):
        data.load("tfds:tiny_shapes", prepared, stream=True)


def test_stream_refuses_what_loading_refuses(tmp_path):
    _prepare(tmp_path, "unlabelled", label_of=lambda number: -1)
    with pytest.raises(InputError, match="tfds:unlabelled: train split has label -1"):
        data.load("tfds:unlabelled", str(tmp_path), 6, stream=True)
    _prepare(tmp_path, "no_test", sizes=(("train", 12),))
    with pytest.raises(InputError, match="must have examples in 'train' and in 'test'"):
        data.load("tfds:no_test", str(tmp_path), 6, stream=True)


@pytest.mark.parametrize(
    "index",
    [0, -1, np.int32(4), slice(2, 7), slice(None, None, -3), slice(5, 5), [], [3, 3, 9]]
    + [np.array([9, 0, 9, 4, 0]), np.arange(10) % 3 == 0, np.array([], np.int64)],
    ids=str,
)
def test_images_are_indexed_as_an_array(index):
    images = Streamed(Files(10), 8, 3)
    array = np.broadcast_to(np.arange(10)[:, None, None, None], (10, 8, 8, 3))
    found = images[index]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array[index])


@pytest.mark.parametrize(
    "index", [10, -11, [0, 10], (0, 1), [[0, 1]], np.zeros(3, bool)]
)
def test_images_refuse_what_is_outside(index):
    with pytest.raises(IndexError):
        Streamed(Files(10), 8, 3)[index]


def test_images_stand_for_an_array():
    images = Streamed(Files(10), 8, 3)
    assert (images.shape, images.dtype, images.ndim) == ((10, 8, 8, 3), np.uint8, 4)
    assert images.nbytes == np.asarray(images).nbytes == 1920
    assert len(images) == 10
    np.testing.assert_array_equal(np.asarray(images)[:, 0, 0, 0], np.arange(10))
    assert np.asarray(images, np.float32).dtype == np.float32


def test_images_decode_once_what_is_asked_for_twice_at_once():
    files = Files(10)
    found = Streamed(files, 8, 3)[[7, 2, 7, 7, 2]]
    np.testing.assert_array_equal(found[:, 0, 0, 0], [7, 2, 7, 7, 2])
    assert sorted(files.read_ones) == [2, 7]


def test_views_splits_and_the_digest_read_nothing():
    images = Streamed(Files(10, readable=False), 8, 3)
    labels = np.arange(10) % 2
    source = data.from_arrays("lazy", ("a", "b"), (images, labels), (images, labels))
    assert len(source.digest) == 64
    train, held_out = data.split_validation(source.train, 0.2, seed=0)
    for part in (train, held_out, data.thin(train, 4, seed=0)):
        assert isinstance(part.images, Streamed)
        assert part.images.shape == (len(part), 8, 8, 3)
        np.testing.assert_array_equal(part.images.positions_N, part.ids)
    twice = source.train.take([8, 3, 8]).images.take([2, 1])
    np.testing.assert_array_equal(twice.positions_N, [8, 3])
    assert twice.identity != twice.take([1, 0]).identity


def test_images_are_pickled_unread_and_read_elsewhere(prepared):
    images = data.load("tfds:tiny_shapes", prepared, 6, stream=True).train.images
    for each in (images, images.take([4, 1])):
        other = pickle.loads(pickle.dumps(each))
        np.testing.assert_array_equal(other[:], each[:])
        assert other.identity == each.identity
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(each))[:], each[:])


def test_digest_knows_what_it_depends_on_but_not_where_it_lies(tmp_path):
    name = _copy(tmp_path, "images")
    digests = [data.load(name, None, size, stream=True).digest for size in (6, 6, 5)]
    assert digests[0] == digests[1] != digests[2]
    assert data.load(_copy(tmp_path, "there"), None, 6, True).digest == digests[0]
    path = tmp_path / "images" / "train" / "class0" / "0.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert data.load(name, None, 6, stream=True).digest != digests[0]
    path.rename(path.with_name("00.png"))
    assert data.load(name, None, 6, stream=True).digest != digests[0]


def test_mean_and_std_are_of_images_spread_evenly(monkeypatch):
    monkeypatch.setattr(data.source, "_SAMPLE", 4)
    images = Streamed(Files(10), 8, 3)
    labels = np.arange(10) % 2
    source = data.from_arrays("lazy", ("a", "b"), (images, labels), (images, labels))
    shown = np.array([0, 2, 5, 7])
    assert sorted(images.records.read_ones) == []
    np.testing.assert_allclose(source.mean, [shown.mean() / 255] * 3)
    np.testing.assert_allclose(source.std, [shown.std() / 255] * 3)
    np.testing.assert_array_equal(sorted(images.records.read_ones), shown)


def test_labels_are_kept_until_the_files_change(prepared, cache, monkeypatch):
    def load():
        return data.load("tfds:tiny_shapes", prepared, 6, stream=True)

    first = load()
    assert len(list(cache.glob("labels-*.npz"))) == len(list(cache.iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(tfds, "_read_labels", None)  # not callable
        again = load()
        np.testing.assert_array_equal(again.train.labels, first.train.labels)
        assert again.digest == first.digest
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    np.testing.assert_array_equal(load().train.labels, first.train.labels)

    shutil.rmtree(pathlib.Path(prepared) / "tiny_shapes")
    _prepare(prepared, file_format="JPEG", label_of=lambda number: (number + 1) % 3)
    changed = load()
    np.testing.assert_array_equal(changed.train.labels, (first.train.labels + 1) % 3)
    assert changed.digest != first.digest


def test_labels_are_read_where_the_cache_cannot_be_written(prepared, cache):
    cache.parent.write_text("no folder")
    stream = data.load("tfds:tiny_shapes", prepared, 6, stream=True)
    assert np.bincount(stream.train.labels).tolist() == [4, 4, 4]


def test_labels_come_from_all_blocks_in_order(prepared, monkeypatch):
    expected = data.load("tfds:tiny_shapes", prepared, 6).train.labels
    monkeypatch.setattr(tfds, "_BLOCK", 5)
    stream = data.load("tfds:tiny_shapes", prepared, 6, stream=True)
    np.testing.assert_array_equal(stream.train.labels, expected)


def test_stream_names_a_missing_or_truncated_shard(tmp_path):
    builder = _prepare(tmp_path, file_format="JPEG")
    (shard,) = builder.data_path.glob("*-train.array_record-*")
    message = f"tfds:tiny_shapes: {builder.data_path} has a missing or damaged shard"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1000])
    with pytest.raises(InputError, match=message):
        data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True)
    shard.unlink()
    with pytest.raises(InputError, match=message):
        data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True)
    shard.write_bytes(content)
    images = data.load("tfds:tiny_shapes", str(tmp_path), 6, stream=True).train.images
    shard.unlink()  # after its labels were read
    with pytest.raises(InputError, match="split train, example 3: the record is miss"):
        pickle.loads(pickle.dumps(images))[3]


def test_images_name_the_damaged_example(tmp_path, monkeypatch):
    _prepare(tmp_path, "broken", file_format="JPEG")
    stream = data.load("tfds:broken", str(tmp_path), 6, stream=True)
    read = tfds._Shards.read
    half = lambda self, at: read(self, at)[: 200 if at == 3 else None]  # noqa: E731
    monkeypatch.setattr(tfds._Shards, "read", half)
    stream.train.images[[0, 1, 2, 4]]
    message = "tfds:broken: split train, example 3: not a readable image"
    with pytest.raises(InputError, match=message):
        stream.train.images[:]
    name = _copy(tmp_path, "images")
    stream = data.load(name, None, 6, stream=True)
    path = tmp_path / "images" / "train" / "class0" / "1.png"
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=f"{path}: not a readable image"):
        stream.train.images[1]
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: cannot be read: No such file"):
        stream.train.images[:]
