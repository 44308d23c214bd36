"""CIFAR's own files, in small: real pickles of Python 2 and real binary rows."""

import io
import pickle
import struct

import numpy as np
import pytest

from ddjax import data
from ddjax.data import cifar
from ddjax.errors import InputError

EACH = 6  # images of a file
NAMES = {10: b"airplane automobile bird cat deer dog frog horse ship truck".split()}
NAMES[100] = [f"fine{label:02}".encode() for label in range(100)]


def short(text):
    return b"U" + bytes([len(text)]) + text


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def python2(entries):
    """A dictionary as Python 2 and its NumPy pickled it, byte by byte."""
    made = b"\x80\x02}q\x01("
    for key, value in entries.items():
        made += short(key)
        if isinstance(value, bytes):
            made += short(value)
        elif isinstance(value, list):
            parts = [number(e) if isinstance(e, int) else short(e) for e in value]
            made += b"](" + b"".join(parts) + b"e"
        else:
            made += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
            made += b"K\x00\x85U\x01b\x87R(K\x01" + number(len(value))
            made += (
                number(value.shape[1]) + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
            )
            made += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            made += b"T" + struct.pack("<I", value.nbytes) + value.tobytes() + b"tb"
    return made + b"u."


def python3(protocol):
    def dump(entries):
        kept = {key.decode(): value for key, value in entries.items()}
        return pickle.dumps(kept, protocol)

    return dump


def rows_of(seed, classes, count=EACH):
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, ((np.arange(count) + seed * count) % classes).tolist()


def write(root, classes, binary=False, dump=python2, train=None):
    """Writes a data set with the authors' names; returns its images and labels."""
    layout = next(
        each
        for each in cifar._LAYOUTS
        if each.classes == classes and bool(each.ahead) == binary
    )
    folder = root / layout.folder
    folder.mkdir(parents=True)
    files = (*layout.train, layout.test)
    count = EACH if classes == 10 else 2 * classes
    every = [rows_of(seed, classes, count) for seed in range(len(files))]
    for name, (rows, labels) in zip(files, every, strict=True):
        if binary:
            ahead = np.array([[7] * (layout.ahead - 1) + [label] for label in labels])
            content = np.hstack([ahead.astype(np.uint8), rows]).tobytes()
        else:
            content = dump({b"data": rows, layout.label: labels, b"batch_label": b"x"})
        (folder / name).write_bytes(content)
    names = b"\n".join([*NAMES[classes], b""])
    if not binary:
        names = dump({layout.names_key: NAMES[classes], b"num_vis": [3072 % 256]})
    (folder / layout.names).write_bytes(names)
    return folder, every


def check(loaded, every):
    splits = [every[:-1], every[-1:]]
    for examples, parts in zip((loaded.train, loaded.test), splits, strict=True):
        rows = np.concatenate([rows for rows, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        np.testing.assert_array_equal(examples.labels, labels)
        # Red, green and blue planes; the first 32 bytes are the first row in red.
        np.testing.assert_array_equal(examples.images[0, 0, :, 0], rows[0, :32])
        np.testing.assert_array_equal(examples.images[:, 1, 2, 1], rows[:, 1024 + 34])
        np.testing.assert_array_equal(examples.images[:, 31, 31, 2], rows[:, 3071])


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("kind", ["python 2", "protocol 2", "protocol 5", "binary"])
def test_files_are_read_as_published(tmp_path, classes, kind):
    dumps = {"protocol 2": python3(2), "protocol 5": python3(5)}
    dump = dumps.get(kind, python2)
    folder, every = write(tmp_path, classes, kind == "binary", dump)
    loaded = data.load(f"cifar:{folder}")
    check(loaded, every)
    assert loaded.classes == tuple(name.decode() for name in NAMES[classes])
    assert loaded.shape == (32, 32, 3) and loaded.paths is None
    assert f"read as {folder.name}, in the order of its files" in loaded.remarks[0]
    assert data.load(f"cifar:{tmp_path}").digest == loaded.digest  # the folder above
    assert data.load(f"cifar:{folder}", image_size=8).shape == (8, 8, 3)


def test_the_versions_are_the_same_data_set(tmp_path):
    found = [write(tmp_path / str(b), 10, b)[0] for b in (False, True)]
    digests = {data.load(f"cifar:{folder}").digest for folder in found}
    assert len(digests) == 1


def test_a_pickle_of_python_2_is_what_pickle_reads(tmp_path):
    rows, labels = rows_of(0, 10)
    content = python2({b"data": rows, b"labels": labels, b"batch_label": b"one"})
    (tmp_path / "a").write_bytes(content)
    found = cifar.read_pickle(tmp_path / "a")
    expected = pickle.load(io.BytesIO(content), encoding="bytes")
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal(found[b"data"], expected[b"data"])
    assert found[b"labels"] == expected[b"labels"]


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


class Hidden:
    def __reduce__(self):
        return (np.ndarray, ((10**15,), "u1"))


def opcodes(body):
    return b"\x80\x02" + body + b"."


HOSTILE = {
    "code": (pickle.dumps({b"data": Trap()}), "the pickle names .*which is not run"),
    "eval": (opcodes(b"cbuiltins\neval\n(U\x011tR"), "names builtins.eval"),
    "dotted": (opcodes(b"cnumpy\nndarray.tofile\n"), "names numpy.ndarray.tofile"),
    "memory": (pickle.dumps(Hidden()), "not a readable pickle"),
    "memo": (opcodes(b"Nr\xff\xff\xff\xff0K\x01"), "has int, expected a dictionary"),
    "objects": (pickle.dumps({b"data": np.array([None])}), "not a readable pickle"),
    "floats": (pickle.dumps({b"data": np.ones((2, 3072))}, 2), "array of 'f8'"),
    "truncated": (python2({b"data": rows_of(0, 10)[0]})[:900], "not a readable pickle"),
    "empty": (b"", "not a readable pickle"),
    "text": (b"<html>404</html>", "not a readable pickle"),
    "a list": (pickle.dumps([1, 2]), "has list, expected a dictionary"),
    "other keys": (python2({b"images": rows_of(0, 10)[0]}), "lacks the entry 'data'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_batch_that_is_none_is_refused_without_being_run(tmp_path, kind):
    content, message = HOSTILE[kind]
    folder, _ = write(tmp_path, 10)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(InputError, match=f"{folder / 'data_batch_3'}: .*{message}"):
        data.load(f"cifar:{folder}")


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    def refused(message, change, binary=False, classes=10):
        folder, _ = write(
            tmp_path / str(len(list(tmp_path.iterdir()))), classes, binary
        )
        change(folder)
        with pytest.raises(InputError, match=message):
            data.load(f"cifar:{folder}")

    rows, labels = rows_of(0, 10)

    def batch(name, **changes):
        entries = {b"data": rows, b"labels": labels}
        entries |= {key.encode(): value for key, value in changes.items()}
        return lambda folder: (folder / name).write_bytes(python2(entries))

    refused("lacks the file data_batch_2", lambda f: (f / "data_batch_2").unlink())
    refused("lacks the file batches.meta", lambda f: (f / "batches.meta").unlink())
    refused("data_batch_1: has 5 labels for 6", batch("data_batch_1", labels=[0] * 5))
    refused("test_batch: has the label 10 at pos", batch("test_batch", labels=[10] * 6))
    refused(r"shape \(6, 3071\)", batch("data_batch_5", data=rows[:, 1:]))
    refused(
        "data_batch_4: has 5 images, but others 6; is it cut off",
        batch("data_batch_4", data=rows[:5], labels=labels[:5]),
    )
    refused(
        "data_batch_2.bin: has 18,437 bytes, expected a multiple of 3,073",
        lambda f: (f / "data_batch_2.bin").write_bytes(bytes(18437)),
        binary=True,
    )
    refused(
        "test.bin: has the label 255",
        lambda f: (f / "test.bin").write_bytes(b"\xff" * 3074),
        binary=True,
        classes=100,
    )
    refused(
        "fine_label_names.txt: has 2 class names, expected 100",
        lambda f: (f / "fine_label_names.txt").write_text("apple\nbear\n"),
        binary=True,
        classes=100,
    )


def test_folders_of_cifar_are_pointed_out(tmp_path):
    folder, every = write(tmp_path, 10)
    with pytest.raises(InputError, match=f"has files that cifar:{folder} reads"):
        data.load(f"folder:{folder}")
    found = data.scan(str(folder))
    assert found.source == f"cifar:{folder}" and not found.aside
    assert sum(found.counts) == 5 * EACH and found.test == EACH
    write(tmp_path, 100)
    with pytest.raises(InputError, match="10-batches-py and .*cifar-100-python, a"):
        data.load(f"cifar:{tmp_path}")
    with pytest.raises(InputError, match="no files of CIFAR, allowed is one of"):
        data.load(f"cifar:{tmp_path.parent}")
