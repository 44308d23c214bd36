"""CIFAR-10 and CIFAR-100 from their own files, in their own order.

Pickles are read without running what they name: the few names that NumPy's byte arrays
consist of stand for plain records, and every other name is refused. Nothing of a file
is ever called, and no array is allocated before its size was compared.

Facts: the page of CIFAR's authors, also for the names of their folders.

Letters: N images.
"""

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddjax import regular
from ddjax.data.source import Facts, Kind, Scan, Source, Split, from_arrays
from ddjax.errors import InputError

_SIDE, _PIXELS = 32, 3 * 32 * 32
_LARGEST = 1 << 30  # bytes of a file: the data sets read here have 180 MB


class _Layout(NamedTuple):
    """Files of one version of a data set, and what they call classes and labels.

    Of a binary version `ahead` bytes lie before the pixels of each image, of which
    number `label` is the class; of a pickled one, `label` and `names_key` are keys.
    """

    folder: str
    classes: int
    train: tuple[str, ...]
    test: str
    names: str
    names_key: bytes = b""
    label: Any = 0
    ahead: int = 0


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_LAYOUTS = (
    _Layout(
        "cifar-10-batches-py",
        10,
        _BATCHES,
        "test_batch",
        "batches.meta",
        b"label_names",
        b"labels",
    ),
    _Layout(
        "cifar-100-python",
        100,
        ("train",),
        "test",
        "meta",
        b"fine_label_names",
        b"fine_labels",
    ),
    _Layout(
        "cifar-10-batches-bin",
        10,
        tuple(f"{name}.bin" for name in _BATCHES),
        "test_batch.bin",
        "batches.meta.txt",
        ahead=1,
    ),
    _Layout(
        "cifar-100-binary",
        100,
        ("train.bin",),
        "test.bin",
        "fine_label_names.txt",
        label=1,
        ahead=2,
    ),
)


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load the files that the authors publish, in the Python or the binary version.

    Of CIFAR-100 the hundred fine classes are taken. Pickles are read without running
    anything in them. The order is that of the files, data_batch_1 to data_batch_5, as
    in torchvision, so that published scores and subsets by index fit; TFDS has another.

    Args:
      argument: the folder cifar-10-batches-py, cifar-10-batches-bin, cifar-100-python
        or cifar-100-binary, or one that holds exactly one of them. A copy may have
        another name.
      data_dir, image_size: see `Kind`.

    Raises:
      InputError: none of them is there, or a file is missing, damaged, or of another
        size than its companions.

    Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
    the page of the data sets, https://www.cs.toronto.edu/~kriz/cifar.html, for the
    layout of the files.
    """
    root = regular.expanded(argument)
    place = _find(root)
    if place is None:
        raise InputError(
            f"{root}: has no files of CIFAR, allowed is one of the unpacked folders "
            f"{', '.join(layout.folder for layout in _LAYOUTS)}"
        )
    folder, layout = place
    for name in (*layout.train, layout.test, layout.names):
        if not regular.is_file(folder / name):
            raise InputError(f"{folder}: lacks the file {name} of {layout.folder}")
    classes = _classes(folder, layout)
    read: Callable[[Path, _Layout], Split] = _binary if layout.ahead else _python
    batches = [read(folder / name, layout) for name in layout.train]
    counts = [len(labels) for _, labels in batches]
    if len(set(counts)) > 1:
        odd = next(i for i, count in enumerate(counts) if count != max(counts))
        raise InputError(
            f"{folder / layout.train[odd]}: has {counts[odd]:,} images, but others "
            f"{max(counts):,}; is it cut off?"
        )
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    train = images, labels
    test = read(folder / layout.test, layout)
    remark = f"{folder}: read as {layout.folder}, in the order of its files"
    name = f"cifar:{argument}"
    return from_arrays(name, classes, train, test, image_size, (remark,))


def holds(root: Path) -> bool:
    """Whether a folder is, or has, one of CIFAR's."""
    return _find(root) is not None


def scan(path: str) -> Scan:
    """Loads the data set and describes it."""
    return Scan.of(load(path), aside=False)


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


def _classes(folder: Path, layout: _Layout) -> tuple[str, ...]:
    path = folder / layout.names
    if layout.ahead:
        entries = regular.read(path).split()
    else:
        entries = _entry(read_pickle(path), layout.names_key, path)
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
    batch = read_pickle(path)
    rows = _entry(batch, b"data", path)
    labels = _entry(batch, layout.label, path)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != _PIXELS:
        shape = getattr(rows, "shape", type(rows).__name__)
        raise InputError(f"{path}: data has shape {shape}, expected [N, {_PIXELS}]")
    if not (isinstance(labels, list) and all(type(label) is int for label in labels)):
        raise InputError(f"{path}: {_text(layout.label)} is no list of integers")
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
    labels = rows[:, layout.label].astype(np.int64)
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


def read_pickle(path: Path) -> Any:
    """Reads lists, dictionaries, texts, numbers and arrays of uint8.

    Texts that Python 2 wrote are bytes, as in pickle.load(file, encoding="bytes").

    Raises:
      InputError: no regular file, damaged, of more than 1 GiB, or a pickle of anything
        else, which is not run.
    """
    data = regular.read(path)
    if len(data) > _LARGEST:
        raise InputError(f"{path}: has {len(data):,} bytes, allowed are {_LARGEST:,}")
    try:
        return _plain(_Unpickler(io.BytesIO(data), encoding="bytes").load())
    except Exception as error:  # whatever a damaged pickle ends in
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: is not a readable pickle ({reason})") from error


class _Type:
    """Stands for numpy.dtype."""

    def __init__(self, *arguments: Any):
        self.code = arguments[0] if arguments else None

    def __setstate__(self, state: Any) -> None:
        pass  # byte order, which bytes do not have


class _Array:
    """Stands for numpy.ndarray."""

    shape, type, data = (), None, b""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.type, fortran, self.data = state
        if fortran:
            raise ValueError("an array in Fortran's order")


def _reconstruct(*arguments: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
    found = _Array()
    found.__setstate__((1, shape, kind, order != "C", data))
    return found


def _encode(text: str, encoding: str = "") -> bytes:
    return text.encode("latin-1")


_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_buffer


# The one in Python: that in C allocates as much memory as a file declares.
class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise InputError(
                f"the pickle names {module}.{name}, which is not run; allowed are "
                "lists, dictionaries, texts, numbers and arrays of uint8"
            )
        return _NAMES[module, name]


def _plain(value: Any) -> Any:
    """The value with its arrays in the place of what stands for them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list) and any(isinstance(entry, _Array) for entry in value):
        return [_plain(entry) for entry in value]
    if not isinstance(value, _Array):
        return value
    code = getattr(value.type, "code", None)
    code = code.decode("ascii") if isinstance(code, bytes) else code
    data, shape = bytes(value.data), tuple(map(int, value.shape))
    if code not in ("u1", "|u1", "uint8") or math.prod(shape) != len(data):
        raise ValueError(
            f"an array of {code!r}, shape {shape} and {len(data):,} bytes, expected u1"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


KIND = Kind(
    __doc__,
    load,
    argument="PATH",
    place="folder",
    facts={
        layout.folder: Facts(50_000, 10_000, layout.classes, (_SIDE, _SIDE, 3))
        for layout in _LAYOUTS
    },
    holds=holds,
    scan=scan,
)
