"""CIFAR-10 and CIFAR-100 from their own files, in their own order.

Letters: N images.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddjax import regular
from ddjax.data import source
from ddjax.data.files import pickles
from ddjax.errors import InputError

_SIDE, _PIXELS = 32, 3 * 32 * 32
_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


class _Layout(NamedTuple):
    """Files of one version of a data set, and what they call classes and labels."""

    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    names_key: bytes
    labels: bytes | int
    ahead: int
    classes: int


# Of the binary versions: bytes ahead of the pixels, and which of them is the label.
_LAYOUTS = (
    _Layout(
        "cifar-10-batches-py",
        _BATCHES,
        "test_batch",
        "batches.meta",
        b"label_names",
        b"labels",
        0,
        10,
    ),
    _Layout(
        "cifar-100-python",
        ("train",),
        "test",
        "meta",
        b"fine_label_names",
        b"fine_labels",
        0,
        100,
    ),
    _Layout(
        "cifar-10-batches-bin",
        tuple(f"{name}.bin" for name in _BATCHES),
        "test_batch.bin",
        "batches.meta.txt",
        b"",
        0,
        1,
        10,
    ),
    _Layout(
        "cifar-100-binary",
        ("train.bin",),
        "test.bin",
        "fine_label_names.txt",
        b"",
        1,
        2,
        100,
    ),
)


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load the files that the authors publish, in the Python or the binary version.

    Of CIFAR-100 the hundred fine classes are taken. Pickles are read without running
    anything in them. The order is that of the files, data_batch_1 to data_batch_5, as
    in torchvision, so that published scores and subsets by index fit; TFDS has another.

    Args:
      argument: the folder cifar-10-batches-py, cifar-10-batches-bin, cifar-100-python
        or cifar-100-binary, or one that holds exactly one of them. A copy may have
        another name.
      data_dir: unused.
      image_size: pixels per side, as in `source.resize`.

    Returns:
      The source; ids are positions in the files.

    Raises:
      InputError: none of them is there, or a file is missing, damaged, or of another
        size than its companions.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
    the page of the data sets, https://www.cs.toronto.edu/~kriz/cifar.html, for the
    layout of the files.
    """
    root = regular.expanded(argument)
    folder, layout = _find(root) or _refuse(root)
    _check_complete(folder, layout)
    classes = _classes(folder, layout)
    read: Callable[[Path, _Layout], Any] = _binary if layout.ahead else _python
    batches = [read(folder / name, layout) for name in layout.train]
    counts = [len(labels) for _, labels in batches]
    if len(set(counts)) > 1:
        odd = next(i for i, count in enumerate(counts) if count != max(counts))
        raise InputError(
            f"{folder / layout.train[odd]}: has {counts[odd]:,} images, but others "
            f"{max(counts):,}; is it cut off?"
        )
    train = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
    test = read(folder / layout.test, layout)
    made = source.from_arrays(f"cifar:{argument}", classes, train, test, image_size)
    remark = f"{folder}: read as {layout.folder}, in the order of its files"
    return dataclasses.replace(made, remarks=(remark,))


def found(root: Path) -> bool:
    """Whether a folder is, or holds, one of CIFAR's."""
    return _find(root) is not None


def _find(root: Path) -> tuple[Path, _Layout] | None:
    """The folder that has the files, by most of their names, and its layout."""
    places = [(root, layout) for layout in _LAYOUTS]
    places += [(root / layout.folder, layout) for layout in _LAYOUTS]
    fitting = [place for place in places if _files(*place)]
    if len(fitting) > 1:
        names = " and ".join(str(folder) for folder, _ in fitting)
        raise InputError(f"{root}: found {names}, allowed is the path of one of them")
    return fitting[0] if fitting else None


def _files(folder: Path, layout: _Layout) -> bool:
    """Whether most of a layout's files are there, and what is there is no folder."""
    names = (*layout.train, layout.test, layout.names)
    return sum(regular.is_file(folder / name) for name in names) > len(names) / 2


def _refuse(root: Path) -> Any:
    wanted = ", ".join(layout.folder for layout in _LAYOUTS)
    raise InputError(
        f"{root}: has no files of CIFAR, allowed is one of the unpacked folders "
        f"{wanted}"
    )


def _check_complete(folder: Path, layout: _Layout) -> None:
    for name in (*layout.train, layout.test, layout.names):
        if not regular.is_file(folder / name):
            raise InputError(f"{folder}: lacks the file {name} of {layout.folder}")


def _classes(folder: Path, layout: _Layout) -> tuple[str, ...]:
    path = folder / layout.names
    if layout.ahead:
        entries = regular.read(path).split()
    else:
        entries = _entry(pickles.read(path), layout.names_key, path)
    try:
        names = tuple(
            entry.decode() if isinstance(entry, bytes) else str(entry)
            for entry in entries
        )
    except (TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: has no list of class names ({error})") from error
    if len(names) != layout.classes:
        raise InputError(
            f"{path}: has {len(names)} class names, expected {layout.classes}"
        )
    return names


def _python(path: Path, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 32, 32, 3] uint8 and labels [N] of a pickled batch."""
    batch = pickles.read(path)
    rows = _entry(batch, b"data", path)
    labels = _entry(batch, layout.labels, path)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != _PIXELS:
        shape = getattr(rows, "shape", type(rows).__name__)
        raise InputError(f"{path}: data has shape {shape}, expected [N, {_PIXELS}]")
    if not (isinstance(labels, list) and all(type(label) is int for label in labels)):
        raise InputError(f"{path}: {_text(layout.labels)} is no list of integers")
    _check_labels(path, labels, len(rows), layout)
    return _images(rows), np.array(labels, np.int64)


def _binary(path: Path, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 32, 32, 3] uint8 and labels [N] of a file of rows."""
    data = np.frombuffer(regular.read(path), np.uint8)
    width = layout.ahead + _PIXELS
    if len(data) == 0 or len(data) % width:
        raise InputError(
            f"{path}: has {len(data):,} bytes, expected a multiple of {width:,}: "
            f"{layout.ahead} for labels and {_PIXELS:,} of pixels an image"
        )
    rows = data.reshape(-1, width)
    labels = rows[:, layout.labels].astype(np.int64)
    _check_labels(path, labels.tolist(), len(rows), layout)
    return _images(rows[:, layout.ahead :]), labels


def _images(rows: np.ndarray) -> np.ndarray:
    """[N, 32, 32, 3] of rows of a plane of red, one of green and one of blue."""
    planes = rows.reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _check_labels(path: Path, labels: list[int], count: int, layout: _Layout) -> None:
    if len(labels) != count:
        raise InputError(f"{path}: has {len(labels)} labels for {count} images")
    wrong = [i for i, label in enumerate(labels) if not 0 <= label < layout.classes]
    if wrong:
        raise InputError(
            f"{path}: has the label {labels[wrong[0]]} at position {wrong[0]}, "
            f"expected 0..{layout.classes - 1}"
        )


def _entry(batch: Any, key: Any, path: Path) -> Any:
    """The entry of a dictionary, whose keys Python 2 or Python 3 wrote."""
    if not isinstance(batch, dict):
        raise InputError(f"{path}: has {type(batch).__name__}, expected a dictionary")
    for name in (key, _text(key)):
        if name in batch:
            return batch[name]
    found = sorted(map(_text, batch))
    raise InputError(f"{path}: lacks the entry {_text(key)!r}, found {found}")


def _text(key: Any) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)
