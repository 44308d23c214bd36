"""What .npy and .npz files declare is compared with what they hold."""

import io
import random
import zipfile

import numpy as np
import pytest

from ddjax import data
from ddjax.data import arrays
from ddjax.errors import InputError

MANY = {
    "matrix": np.arange(12).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.arange(5, dtype=np.float16),
    "big_endian": np.arange(3, dtype=">i4"),
    "texts": np.array(["a", "bcd"]),
    "scalar": np.float32(2.5),
    "empty": np.zeros((0, 3)),
    "bools": np.array([True, False]),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape, descr="|u1", fortran=False):
    """A .npy file's header alone."""
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def archive(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def read(path, name):
    with arrays.Archive(path) as found:
        return found.read(name)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", MANY)
def test_arrays_are_those_that_numpy_wrote(tmp_path, name, save):
    save(tmp_path / "a.npz", **MANY)
    np.save(tmp_path / "a.npy", MANY[name])
    expected = np.asarray(MANY[name])
    for found in (read(tmp_path / "a.npz", name), arrays.map_npy(tmp_path / "a.npy")):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


HUGE = (10**14,)
DECLARED = {
    "91 TiB": (header(HUGE), "declares shape .100000000000000,. of uint8, 100,000"),
    "too little": (header((3,)) + b"ab", "3 bytes, and 2 follow"),
    "too much": (header((1,)) + b"ab", "1 bytes, and 2 follow"),
    "beyond int64": (header((2**62, 2**62)), "21,267,647"),
    "negative": (header((-1, -4)) + b"abcd", r"its shape is \(-1, -4\)"),
    "objects": (header((1,), "|O") + b"x", "pickled Python objects"),
    "records": (header((1,), [("a", "|u1")]) + b"x", "are records"),
    "empty": (b"", "EOF|reading magic string"),
    "no array": (b"some text", "magic string is not correct"),
    "version": (b"\x93NUMPY\x03\x00" + b"x" * 99, "version"),
}


@pytest.mark.parametrize("kind", DECLARED)
def test_what_is_declared_is_compared_before_memory_is_taken(tmp_path, kind):
    content, message = DECLARED[kind]
    archive(tmp_path / "a.npz", [("x.npy", content)])
    with pytest.raises(InputError, match=f"a.npz: x: cannot be read: .*{message}"):
        read(tmp_path / "a.npz", "x")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=f"a.npy: is not a readable .npy .*{message}"):
        arrays.map_npy(tmp_path / "a.npy")


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", [("x.npy", header(HUGE) + b"abc")])
    content = path.read_bytes()
    size = len(header(HUGE)) + 3
    four, lie = size.to_bytes(4, "little"), (2**31).to_bytes(4, "little")
    at = content.index(b"PK\x01\x02")  # the directory: packed size, then unpacked
    assert content[at + 24 : at + 28] == four
    path.write_bytes(content[: at + 24] + lie + content[at + 28 :])
    with pytest.raises(
        InputError, match="declares 2,147,483,648 bytes in .* more than"
    ):
        read(path, "x")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("count", [0, 7, 1 << 24])
def test_a_wrong_checksum_is_refused(tmp_path, save, count):
    save(tmp_path / "a.npz", x=np.arange(count, dtype=np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 16] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="x: cannot be read: Bad CRC-32"):
        read(tmp_path / "a.npz", "x")


def test_more_than_half_of_the_memory_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10**6, np.uint8))
    assert len(read(tmp_path / "a.npz", "x")) == 10**6
    monkeypatch.setattr("ddjax.memory.host", lambda: 10**6)
    with pytest.raises(InputError, match="x: cannot be read: its numbers take 0.0"):
        read(tmp_path / "a.npz", "x")


def test_two_arrays_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "a.npz", [("x.npy", npy(1)), ("x.npy", npy(2))])
    archive(tmp_path / "b.npz", [("x.npy", npy(1)), ("x", npy(2))])
    for name in ("a.npz", "b.npz"):
        with pytest.raises(InputError, match=f"{name}: has 2 arrays called 'x'"):
            read(tmp_path / name, "x")


def test_an_encrypted_entry_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", [("x.npy", npy(np.arange(3)))])
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="x: cannot be read: .*encrypted"):
        read(path, "x")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damage_is_refused_whatever_it_is(tmp_path, suffix):
    path, draw = tmp_path / f"a{suffix}", random.Random(0)
    if suffix == ".npy":
        np.save(path, np.arange(50.0))
    else:
        np.savez_compressed(path, **MANY)
    whole, refused = path.read_bytes(), 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 5))):
            place = draw.randrange(min(len(content), draw.choice((130, 10**6))))
            content[place] = draw.choice(b"\x00\xff0123456789(),{}'")
        path.write_bytes(content[: draw.choice((None, None, draw.randrange(200)))])
        try:
            if suffix == ".npy":
                arrays.map_npy(path)
            else:
                with arrays.Archive(path) as found:
                    for name in found.names:
                        found.read(name)
        except InputError as error:
            refused += str(path) in str(error)
    assert refused > 200


def images(**changes):
    x = np.random.default_rng(0).integers(0, 256, (8, 4, 4), dtype=np.uint8)
    y = np.arange(8) % 2
    return {"x_train": x, "y_train": y, "x_test": x[::-1] // 2, "y_test": y} | changes


def one_hot(labels):
    return np.eye(2)[labels]


Y = np.arange(8) % 2
MISFITS = {
    "2 channels": ({"x_train": np.ones((8, 4, 4, 2), np.uint8)}, r"1 or 3 .*\[..., :1"),
    "4 channels": ({"x_train": np.ones((8, 4, 4, 4), np.uint8)}, r"1 or 3 .*\[..., :3"),
    "first": ({"x_train": np.ones((8, 3, 4, 5), np.uint8)}, "transpose.0, 2, 3, 1"),
    "rows": ({"x_train": np.ones((8, 16), np.uint8)}, "reshape.-1, 4, 4"),
    "int64": ({"x_train": images()["x_train"].astype(int)}, "astype.numpy.uint8"),
    "bools": ({"x_train": images()["x_train"] > 9}, "255 . x.astype"),
    "0..255": ({"x_test": images()["x_test"] * 1.0}, "divided by 255 they fit"),
    "normal": ({"x_test": images()["x_test"] / 64 - 1}, "normalised"),
    "NaN": ({"x_test": np.full((8, 4, 4), np.nan)}, "128 of its values are not finite"),
    "one-hot": ({"y_train": one_hot(Y)}, r"labels.argmax\(axis=1\)"),
    "column": ({"y_train": Y[:, None]}, r"labels\[:, 0\]"),
    "texts": ({"y_train": np.array(["cat", "dog"])[Y]}, "np.unique"),
    "complex": ({"x_train": images()["x_train"] * 1j}, "dtype complex128"),
    "both names": ({"train_images": images()["x_train"]}, "train_images and x_train"),
    "swapped": (
        {"x_test": Y, "y_test": images()["x_test"]},
        r"shape \(8,\)",
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_arrays_that_do_not_fit_are_refused_with_what_would_fit(tmp_path, kind):
    changes, message = MISFITS[kind]
    np.savez(tmp_path / "a.npz", **images(**changes))
    with pytest.raises(InputError, match=message):
        data.load(f"npz:{tmp_path / 'a.npz'}")


@pytest.mark.parametrize(
    "change", [np.asfortranarray, lambda x: (x / 255).astype(">f8")]
)
def test_other_layouts_of_the_same_numbers_are_the_same(tmp_path, change):
    plain, other = images(), images()
    other |= {name: change(other[name]) for name in ("x_train", "x_test")}
    np.savez(tmp_path / "a.npz", **plain)
    np.savez(tmp_path / "b.npz", **other)
    found = [data.load(f"npz:{tmp_path / name}.npz").digest for name in "ab"]
    assert found[0] == found[1]
