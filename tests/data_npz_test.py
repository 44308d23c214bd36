import pickle

import numpy as np
import pytest

from ddjax.data import npz
from ddjax.errors import InputError


def _arrays(shape=(4, 5, 3)):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (9, *shape), dtype=np.uint8),
        "y_train": np.arange(9) % 3,
        "x_test": rng.integers(0, 256, (6, *shape), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }


def _load(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return npz.load(str(path))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_load_returns_what_was_saved(tmp_path, shape):
    arrays = _arrays(shape)
    loaded = _load(tmp_path, **arrays)
    assert loaded.name == f"npz:{tmp_path / 'data.npz'}"
    assert loaded.shape == (*shape, 1)[:3]
    assert loaded.classes == ("0", "1", "2")
    for examples, split in ((loaded.train, "train"), (loaded.test, "test")):
        images = arrays[f"x_{split}"].reshape(examples.images.shape)
        np.testing.assert_array_equal(examples.images, images)
        np.testing.assert_array_equal(examples.labels, arrays[f"y_{split}"])


def test_load_takes_the_other_names_and_class_names(tmp_path):
    arrays = _arrays()
    renamed = {
        "train_images": arrays["x_train"],
        "train_labels": arrays["y_train"],
        "test_images": arrays["x_test"],
        "test_labels": arrays["y_test"],
    }
    plain = _load(tmp_path, **arrays)
    assert _load(tmp_path, **renamed).digest == plain.digest
    named = _load(tmp_path, **renamed, class_names=np.array(["ant", "bee", "cat"]))
    assert named.classes == ("ant", "bee", "cat")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_load_rounds_floats_to_bytes(tmp_path, dtype):
    arrays = _arrays()
    floats = arrays | {
        name: (arrays[name] / 255).astype(dtype) for name in ("x_train", "x_test")
    }
    assert _load(tmp_path, **floats).digest == _load(tmp_path, **arrays).digest


def test_load_rounds_to_the_nearest_byte(tmp_path):
    arrays = _arrays((1, 4, 1))
    arrays["x_train"] = np.zeros((9, 1, 4, 1))
    arrays["x_train"][0, 0, :, 0] = [0.0, 0.49 / 255, 0.51 / 255, 1.0]
    loaded = _load(tmp_path, **arrays)
    np.testing.assert_array_equal(loaded.train.images[0].ravel(), [0, 0, 1, 255])


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.25, 1.5])
def test_load_names_file_array_and_example_of_a_bad_value(tmp_path, value):
    arrays = _arrays()
    arrays["x_test"] = arrays["x_test"] / 255
    arrays["x_test"][4, 1, 2, 0] = value
    message = f"data.npz: x_test has the value {value} in example 4, must be finite"
    with pytest.raises(InputError, match=message):
        _load(tmp_path, **arrays)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_train", np.zeros((9, 4, 5), np.int64), "x_train has dtype int64, must be"),
        ("x_train", np.zeros((9, 60), np.uint8), r"x_train has shape \(9, 60\)"),
        ("x_train", np.float32(0.5), r"x_train has shape \(\)"),
        ("x_train", np.zeros((0, 4, 5, 3), np.uint8), "train split has no images"),
        ("x_test", np.zeros((6, 4, 4, 3), np.uint8), "must be the same"),
        ("y_train", np.arange(9) % 3 * 2, "train split has label 4 .*0..2"),
        ("y_train", np.arange(9) % 3 == 0, "train split has labels of dtype bool"),
        ("y_test", np.full(6, 3), "test split has label 3 at position 0, .* 0..2"),
        ("y_test", np.zeros(5, int), r"labels of shape \(5,\), must be \(6,\)"),
        ("class_names", np.array([1, 2, 3]), "class_names has dtype int64"),
        ("class_names", np.array("abc"), r"class_names has dtype <U3 and shape \(\)"),
        ("class_names", np.array(["a", "b"]), "train split has label 2 .* 0..1"),
        ("class_names", np.array(list("abcd")), r"no example of class 'd' \(label 3\)"),
    ],
)
def test_load_refuses_a_bad_array(tmp_path, name, value, message):
    with pytest.raises(InputError, match=message):
        _load(tmp_path, **(_arrays() | {name: value}))


def test_load_lists_what_was_found_where_an_array_is_missing(tmp_path):
    arrays = _arrays()
    del arrays["y_test"]
    with pytest.raises(InputError) as error:
        _load(tmp_path, **arrays)
    assert "no array y_test (or test_labels)" in str(error.value)
    assert "found ['x_test', 'x_train', 'y_train']" in str(error.value)


def test_load_refuses_pickled_objects_without_running_them(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    arrays = _arrays() | {"y_test": np.array([Trap()] * 6, dtype=object)}
    with pytest.raises(InputError, match="data.npz: y_test: cannot be .* not run"):
        _load(tmp_path, **arrays)
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="damaged, or not an .npz file"):
        npz.load(str(tmp_path / "bare.npz"))


def test_load_refuses_a_damaged_file(tmp_path):
    path = tmp_path / "data.npz"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        npz.load(str(path))
    np.savez(path, **_arrays())
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged, or not an .npz"):
        npz.load(str(path))
    data[300] ^= 1  # a pixel, which the archive's checksum covers
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{path}: .*: cannot be read: .*CRC"):
        npz.load(str(path))


def _whole(images="x", labels="y"):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (25, 4, 5, 3), dtype=np.uint8)
    return {images: x, labels: np.arange(25) // 9}  # 9, 9 and 7 of a class


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_load_sets_a_test_split_aside(tmp_path, names):
    arrays = _whole(*names)
    loaded = _load(tmp_path, **arrays)
    np.testing.assert_array_equal(np.bincount(loaded.train.labels), [7, 7, 6])
    np.testing.assert_array_equal(np.bincount(loaded.test.labels), [2, 2, 1])
    both = np.concatenate([loaded.train.images, loaded.test.images])
    order = np.lexsort(both.reshape(25, -1).T)
    expected = arrays[names[0]]
    expected = expected[np.lexsort(expected.reshape(25, -1).T)]
    np.testing.assert_array_equal(both[order], expected)
    (remark,) = loaded.remarks
    assert "5 of 25 images" in remark and "their positions" in remark
    assert loaded.paths is None
    assert _load(tmp_path, **arrays).digest == loaded.digest


def test_load_takes_splits_before_anything_else(tmp_path):
    loaded = _load(tmp_path, **_arrays(), **_whole())
    assert len(loaded.train) == 9 and loaded.remarks == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros(24, int)}, r"y has shape \(24,\), must be \(25,\)"),
        ({"y": np.arange(25)}, "found label 0 once, allowed are at least two"),
        ({"x": np.zeros((0, 4, 4), np.uint8), "y": np.zeros(0, int)}, "no images"),
        ({"y": None}, r"no array y \(or labels\), found \['x'\]"),
    ],
)
def test_load_refuses_what_cannot_be_divided(tmp_path, changes, message):
    arrays = _whole() | changes
    with pytest.raises(InputError, match=message):
        _load(tmp_path, **{k: v for k, v in arrays.items() if v is not None})
