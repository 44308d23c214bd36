"""NumPy's .npy and .npz files, of which no more is allocated than they can hold.

A header may declare any shape; it is compared with the bytes that are there before
memory is allocated.
"""

import collections
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from ddjax import memory, regular
from ddjax.errors import DAMAGED, InputError

# Also what zipfile raises of encrypted entries and unknown compressions, and Python of
# a header with too many brackets.
_DAMAGED = (*DAMAGED, RuntimeError, MemoryError, OverflowError)
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DENSEST = 1032  # bytes that deflate can make of one
_BLOCK = 1 << 24  # bytes read at a time


def map_npy(path: Path) -> np.ndarray:
    """Returns the array of a .npy file, read only where it is indexed.

    Raises:
      InputError: not a regular .npy file, shorter or longer than its header has it, or
        of Python objects or records.
    """
    with regular.opened(path) as file:
        try:
            shape, fortran, dtype = _header(file)
            start = file.tell()
            _check_size(shape, dtype, file.seek(0, 2) - start)
            if math.prod(shape) == 0:
                return np.empty(shape, dtype)
            order: Any = "F" if fortran else "C"
            content: Any = file
            mapped = np.memmap(content, dtype, "r", start, shape or (1,), order)
            return mapped[() if shape else 0]
        except _DAMAGED as error:
            raise InputError(
                f"{path}: is not a readable .npy file ({_why(error)})"
            ) from error


class Archive:
    """An .npz file: names of its arrays, and the arrays, one at a time."""

    def __init__(self, path: Path):
        """Opens the file and reads the names.

        Raises:
          InputError: not a regular file, or not an archive; two entries have one name.
        """
        self._path = path
        self._file = regular.opened(path)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except _DAMAGED as error:
            self._file.close()
            raise InputError(
                f"{path}: damaged, or not an .npz file ({_why(error)})"
            ) from error
        infos = {_name(info): info for info in self._zip.infolist()}
        counts = collections.Counter(map(_name, self._zip.infolist()))
        name, count = max(counts.items(), key=lambda pair: pair[1], default=("", 0))
        if count > 1:
            self._file.close()
            raise InputError(
                f"{path}: has {count} arrays called {name!r}, allowed is one of each "
                "name"
            )
        self._entries = infos

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """Names of the arrays, sorted."""
        return sorted(self._entries)

    def read(self, name: str) -> np.ndarray:
        """Returns an array.

        Raises:
          InputError: it is damaged, of Python objects, or larger than the file can
            hold or than half of the host's memory.
        """
        info, where = self._entries[name], f"{self._path}: {name}"
        try:
            if info.file_size > _DENSEST * (info.compress_size + 1):
                raise ValueError(
                    f"declares {info.file_size:,} bytes in {info.compress_size:,}, "
                    "more than compression can"
                )
            with self._zip.open(info) as file:
                shape, fortran, dtype = _header(file)
                _check_size(shape, dtype, info.file_size - file.tell())
                memory.check(info.file_size, "its numbers", "keep fewer in a file")
                raw = _read(file, math.prod(shape) * dtype.itemsize)
            if not len(raw):
                return np.empty(shape, dtype)
            return raw.view(dtype).reshape(shape, order="F" if fortran else "C")
        except _DAMAGED as error:
            raise InputError(f"{where}: cannot be read: {_why(error)}") from error


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format, which is for records")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it has pickled Python objects, which are not run")
    if dtype.kind == "V":
        raise ValueError(f"its entries are records, {dtype}, not numbers")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    return shape, fortran, dtype


def _check_size(shape: tuple[int, ...], dtype: np.dtype, found: int) -> None:
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != found:
        raise ValueError(
            f"its header declares shape {shape} of {dtype}, {wanted:,} bytes, and "
            f"{found:,} follow"
        )


def _read(file: IO[bytes], count: int) -> np.ndarray:
    """The last bytes of an entry, with which its checksum is compared."""
    raw = np.empty(count, np.uint8)
    for start in range(0, count, _BLOCK):
        part = file.read(min(_BLOCK, count - start))
        raw[start : start + len(part)] = np.frombuffer(part, np.uint8)
        if len(part) < min(_BLOCK, count - start):
            raise EOFError(f"ends after {start + len(part):,} of {count:,} bytes")
    return raw


def _why(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
