import gzip
import pathlib
import struct

import numpy as np
import pytest

from ddjax.data import fashion_mnist
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
