"""Fashion-MNIST and its idx files, made in small."""

import gzip
import pathlib
import struct

import numpy as np
import pytest

from ddjax.data import fashion_mnist
from ddjax.data.fashion_mnist import read_idx
from ddjax.errors import InputError

_DIGEST = "16559a5f07095e91d05afbd44d0eec2e01eb72c2141f9b37bb51b2c7ee9e36a5"
_NUM = {"train": 40, "t10k": 20}


def _write(folder, packed=True, num_labels=None):
    """Small files of the real format; returns the arrays by file name."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, num in _NUM.items():
        images = rng.integers(0, 256, (num, 28, 28), dtype=np.uint8)
        labels = (np.arange(num_labels or num) * 7 % 10).astype(np.uint8)
        arrays[f"{split}-images-idx3-ubyte"] = images
        arrays[f"{split}-labels-idx1-ubyte"] = labels
    for name, array in arrays.items():
        header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
        data = header + array.tobytes()
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)
    return arrays


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Neither Debian's package nor a prepared TFDS dataset is there."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "no package"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no tfds"))


@pytest.mark.parametrize("packed", [False, True])
def test_load_reads_the_files_in_data_dir(tmp_path, packed):
    arrays = _write(tmp_path, packed)
    loaded = fashion_mnist.load("", str(tmp_path))
    assert loaded.name == "fashion_mnist"
    assert loaded.classes[9] == "Ankle boot" and loaded.num_classes == 10
    assert loaded.shape == (28, 28, 1)
    for split, examples in (("train", loaded.train), ("t10k", loaded.test)):
        images, labels = (
            arrays[f"{split}-{kind}-ubyte"] for kind in ("images-idx3", "labels-idx1")
        )
        np.testing.assert_array_equal(examples.images[..., 0], images)
        np.testing.assert_array_equal(examples.labels, labels)
        np.testing.assert_array_equal(examples.ids, np.arange(_NUM[split]))


def test_load_finds_the_files_of_debians_package(monkeypatch, tmp_path, nowhere):
    _write(tmp_path)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path))
    assert len(fashion_mnist.load("").train) == 40
    # A data_dir without the files, such as one for other sources, is no obstacle.
    (tmp_path / "empty").mkdir()
    loaded = fashion_mnist.load("", str(tmp_path / "empty"), image_size=7)
    assert loaded.shape == (7, 7, 1)


def test_load_prefers_data_dir_to_debians_package(monkeypatch, tmp_path):
    for name in ("package", "own"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name)
    (tmp_path / "package" / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", str(tmp_path / "package"))
    fashion_mnist.load("", str(tmp_path / "own"))
    with pytest.raises(InputError):
        fashion_mnist.load("")


def test_load_says_how_to_get_the_data(tmp_path, nowhere):
    with pytest.raises(InputError) as error:
        fashion_mnist.load("", str(tmp_path))
    for way in ("dataset-fashion-mnist", "data_dir", "array_record", str(tmp_path)):
        assert way in str(error.value)
    assert "\n" not in str(error.value)


def test_load_names_the_missing_file(tmp_path, nowhere):
    _write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=f"{tmp_path} lacks t10k-labels-idx1-ubyte"):
        fashion_mnist.load("", str(tmp_path))


def test_load_names_the_truncated_file(tmp_path):
    _write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=f"{path}: expected {16 + 40 * 784} bytes"):
        fashion_mnist.load("", str(tmp_path))


def test_load_refuses_another_number_of_labels_than_images(tmp_path):
    _write(tmp_path, num_labels=39)
    with pytest.raises(InputError, match="labels-idx1.*39 labels, but .*has 40 images"):
        fashion_mnist.load("", str(tmp_path))


@pytest.mark.skipif(
    not pathlib.Path(fashion_mnist.DEBIAN_FOLDER).is_dir(),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
def test_load_real_files_have_the_known_counts_and_digest():
    loaded = fashion_mnist.load("")
    np.testing.assert_array_equal(np.bincount(loaded.train.labels), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(loaded.test.labels), [1000] * 10)
    np.testing.assert_allclose(loaded.mean, 0.2860, atol=5e-5)
    np.testing.assert_allclose(loaded.std, 0.3530, atol=5e-5)
    # If this fails, ids no longer mean the images they meant: artifacts are stale.
    assert loaded.digest == _DIGEST


def _idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


_IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)


def test_read_hand_worked(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03\x07\x00\xff")
    np.testing.assert_array_equal(read_idx(path, 1), [7, 0, 255])


@pytest.mark.parametrize("packed", [False, True])
def test_read_returns_what_was_written(tmp_path, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(_idx(_IMAGES)) if packed else _idx(_IMAGES))
    images = read_idx(path, 3)
    assert images.dtype == np.uint8
    assert images.flags.writeable
    np.testing.assert_array_equal(images, _IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_idx(_IMAGES)[:-1], "expected 156 bytes .*(7, 5, 4).*, found 155"),
        (_idx(_IMAGES) + b"\0", "expected 156 bytes .*, found 157"),
        (_idx(_IMAGES)[:10], "expected a header of 16 bytes, found 10"),
        (_idx(_IMAGES[0, 0]), "must be 0x00000803 .*, found 0x00000801"),
        (b"\0\0\x0d\3" + _idx(_IMAGES)[4:], "0x00000803 .*, found 0x00000d03"),
        (b"PNG", "magic number must be .*, found 0x504e47"),
        (b"", "magic number"),
    ],
)
def test_read_refuses_a_damaged_file(tmp_path, content, message):
    for name, data in (("plain", content), ("packed.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{tmp_path / name}: .*{message}"):
            read_idx(tmp_path / name, 3)


def test_read_says_how_much_a_truncated_gzip_file_holds(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(_idx(_IMAGES), compresslevel=0)[:60])
    with pytest.raises(InputError, match="expected 156 bytes .*, found [1-9][0-9]$"):
        read_idx(path, 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2**32 - 1,) * 3])
def test_no_more_is_unpacked_than_is_declared_or_there(tmp_path, shape):
    path = tmp_path / "images.gz"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)
    path.write_bytes(gzip.compress(header + bytes(10**7)))
    found = 18 if shape == (1, 1, 1) else 16 + 10**7
    with pytest.raises(InputError, match=f"for an array of .*, found {found}$"):
        read_idx(path, 3)


def test_read_refuses_broken_gzip_and_a_missing_file(tmp_path):
    path = tmp_path / "images.gz"
    damaged = bytearray(gzip.compress(_idx(_IMAGES)))
    damaged[-8] ^= 1  # in the checksum
    for content in (b"not gzip", bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{path}: cannot be read"):
            read_idx(path, 3)
    with pytest.raises(InputError, match="cannot be read: .*No such file"):
        read_idx(tmp_path / "nowhere", 3)
