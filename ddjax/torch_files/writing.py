"""Values to files that `torch.load` reads, with weights_only too."""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ddjax.artifacts import write_file
from ddjax.errors import InputError

_STORAGES = {"f8": "Double", "f4": "Float", "i8": "Long", "i4": "Int", "u1": "Byte"}
_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
_NO_HOOKS = b"ccollections\nOrderedDict\n)R"
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same content is the same file


def write(path: str | os.PathLike, value: Any) -> None:
    """Writes a value as `torch.save` does; the file is whole or not there.

    Args:
      path: file to create or replace; its folder must exist.
      value: dicts with texts as keys, lists, texts, Python's integers of 64 bits and
        floats, and arrays of float64, float32, int64, int32 or uint8, which become
        tensors.

    Raises:
      InputError: a value is of another kind.

    Source: the zip format of PyTorch's torch/serialization.py, as `reading` takes it.
    """
    arrays: list[np.ndarray] = []
    pickled = b"\x80\x02" + _pickle(value, arrays) + b"."
    entries = {"data.pkl": pickled, "byteorder": b"little"}
    entries |= {f"data/{i}": array.tobytes() for i, array in enumerate(arrays)}
    entries["version"] = b"3\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(
                zipfile.ZipInfo(f"{Path(path).stem}/{name}", _WHEN), content
            )
    write_file(path, file.getvalue())


def _pickle(value: Any, arrays: list[np.ndarray]) -> bytes:
    """Opcodes of pickle's protocol 2 that leave the value on the stack."""
    match value:
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**63) <= value < 2**63:
            return b"\x8a\x08" + struct.pack("<q", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case list():
            return b"](" + b"".join(_pickle(each, arrays) for each in value) + b"e"
        case tuple():
            return b"(" + b"".join(_pickle(each, arrays) for each in value) + b"t"
        case dict():
            pairs = (each for pair in value.items() for each in pair)
            return b"}(" + b"".join(_pickle(each, arrays) for each in pairs) + b"u"
        case np.ndarray() if value.dtype.str[1:] in _STORAGES:
            return _pickle_tensor(value, arrays)
    raise InputError(
        f"value: found {getattr(value, 'dtype', type(value).__name__)}, allowed are "
        f"dicts, lists, texts, numbers and arrays of {', '.join(_STORAGES)}"
    )


def _pickle_tensor(array: np.ndarray, arrays: list[np.ndarray]) -> bytes:
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(
        array.shape
    )
    key, strides = str(len(arrays)), tuple(n // array.itemsize for n in array.strides)
    arrays.append(array)
    kind = f"ctorch\n{_STORAGES[array.dtype.str[1:]]}Storage\n".encode()
    storage = b"".join(
        (
            b"(",
            _pickle("storage", arrays),
            kind,
            _pickle(key, arrays),
            _pickle("cpu", arrays),
            _pickle(array.size, arrays),
            b"tQ",
        )
    )
    shape = (_pickle(numbers, arrays) for numbers in (0, array.shape, strides, False))
    return _TENSOR + b"(" + storage + b"".join(shape) + _NO_HOOKS + b"tR"
