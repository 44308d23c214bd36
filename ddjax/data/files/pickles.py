"""Python pickles of numbers and texts, read without running what they name.

A pickle may call any function of any module. Here the few that NumPy's byte arrays are
made of stand for plain records, and every other name is refused: nothing of the file is
ever called, and no array is made before its size was compared.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.errors import InputError

_LARGEST = 1 << 30  # bytes of a file: the data sets read here have 180 MB


def read(path: Path) -> Any:
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
    made = _Array()
    made.__setstate__((1, shape, kind, order != "C", data))
    return made


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


# The one in Python: that in C asks for as much memory as a file says.
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
