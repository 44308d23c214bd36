"""Fashion-MNIST: 70,000 grey images of 28 x 28, ten classes of clothing.

Its files are in the idx format of the MNIST family: a header of big-endian sizes, then
bytes. Facts: the page of TFDS's catalogue.
"""

import dataclasses
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import tfds
from ddjax.data.source import Facts, Kind, Source, from_arrays
from ddjax.errors import InputError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DENSEST = 1032  # bytes that gzip can make of one
_UINT8 = 0x08  # the format's code for unsigned bytes


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load Fashion-MNIST from its four idx files, gzipped or not, or through TFDS.

    The first that is there is read: the idx files in `data_dir`; those where Debian's
    package dataset-fashion-mnist puts them; TFDS's "fashion_mnist" in `data_dir` or
    TFDS's own folder. TFDS keeps the images in another order than the idx files: ids
    and digest differ between the two, and agree within each.

    Ids are positions in the files of the split.

    Raises:
      InputError: found nowhere, or a file is missing or damaged.
    """
    for folder in (data_dir, DEBIAN_FOLDER):
        paths = _find(folder) if folder else []
        if paths:
            train, test = _read(*paths[:2]), _read(*paths[2:])
            return from_arrays("fashion_mnist", CLASSES, train, test, image_size)
    try:
        prepared = tfds.load("fashion_mnist", data_dir, image_size)
    except InputError as error:
        raise InputError(
            "fashion_mnist: no idx files found; install Debian's package "
            "dataset-fashion-mnist, or data_dir=FOLDER names the folder that holds "
            f"{_FILES[0]}.gz and its three companions, or use TFDS: {error}"
        ) from error
    return dataclasses.replace(prepared, name="fashion_mnist")


def _find(folder: str) -> list[Path]:
    """The four files in the order of _FILES, or none of them."""
    found, missing = [], []
    for name in _FILES:
        paths = [Path(folder, name), Path(folder, f"{name}.gz")]
        existing = [path for path in paths if regular.is_file(path)]
        found += existing[:1]
        missing += [] if existing else [name]
    if found and missing:
        raise InputError(f"fashion_mnist: {folder} lacks {missing[0]} or its .gz")
    return found


def _read(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise InputError(
            f"{labels_path}: {len(labels)} labels, but {images_path} has "
            f"{len(images)} images"
        )
    return images, labels


def read_idx(path: Path, num_dims: int) -> np.ndarray:
    """Read one idx file of unsigned bytes, gzipped if its name ends in .gz.

    Args:
      path: the file.
      num_dims: dimensions it must have: 3 for images, 1 for labels.

    Returns:
      uint8 array with `num_dims` dimensions.

    Raises:
      InputError: the file is unreadable, truncated, too long or not such an array.
    """
    magic, header_size = bytes([0, 0, _UINT8, num_dims]), 4 + 4 * num_dims
    data, unpacker = regular.read(path), None
    if path.suffix == ".gz":
        # Unlike gzip.open, this returns what a truncated file still holds, so that the
        # message below can state how much is missing.
        unpacker = zlib.decompressobj(wbits=31)
        data, rest = _unpacked(path, unpacker, data, header_size)
    if data[:4] != magic:
        raise InputError(
            f"{path}: magic number must be 0x{magic.hex()} (idx, unsigned bytes, "
            f"{num_dims} dimensions), found 0x{data[:4].hex()}"
        )
    if len(data) < header_size:
        raise InputError(
            f"{path}: expected a header of {header_size} bytes, found {len(data)} bytes"
        )
    shape = struct.unpack(f">{num_dims}I", data[4:header_size])
    if unpacker is not None:
        # One byte more than the header declares, and no more: it may be too long.
        most = min(math.prod(shape) + 1, _DENSEST * (len(rest) + 1))
        more, _ = _unpacked(path, unpacker, rest, most)
        data += more
    if len(data) != header_size + math.prod(shape):
        raise InputError(
            f"{path}: expected {header_size + math.prod(shape)} bytes for an array of "
            f"shape {shape}, found {len(data)}"
        )
    return np.frombuffer(data, np.uint8, offset=header_size).reshape(shape).copy()


def _unpacked(path: Path, unpacker: Any, data: bytes, most: int) -> tuple[bytes, bytes]:
    """Up to `most` bytes of what was packed, and what is still packed."""
    try:
        return unpacker.decompress(data, most), unpacker.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


KIND = Kind(__doc__, load, facts={"": Facts(60_000, 10_000, 10, (28, 28, 1))})
