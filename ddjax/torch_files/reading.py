"""Values from files of `torch.save`, by an unpickler that can call nothing else."""

import collections
import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from ddjax import memory, regular
from ddjax.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C  # begins files of before PyTorch 1.6
_PROTOCOL = 1001
_DENSEST = 1032  # bytes that deflate can make of one
_KINDS = {
    "Double": np.dtype("<f8"),
    "Float": np.dtype("<f4"),
    "Half": np.dtype("<f2"),
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
    "Long": np.dtype("<i8"),
    "Int": np.dtype("<i4"),
    "Short": np.dtype("<i2"),
    "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"),
    "Bool": np.dtype("?"),
}


class _Refused(Exception):
    """A file names something that an unpickler would call or make."""


class _Fixed:
    """What a name in a file stands for; nothing in the file can change it."""

    __slots__ = ("_held",)
    _held: Any

    def __init__(self, held: Any):
        object.__setattr__(self, "_held", held)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} of a name was set")

    def __setstate__(self, state: Any) -> None:
        raise TypeError("the state of a name was set")

    def __call__(self, *arguments: Any) -> Any:
        return self._held(*arguments)

    @property
    def kind(self) -> np.dtype:
        """The dtype of a kind of storage."""
        if not isinstance(self._held, np.dtype):
            raise TypeError("a storage has no kind")
        return self._held


class _Scalar:
    """The dtype of a NumPy number, as NumPy pickles it."""

    def __init__(self, name: Any, *_: Any):
        self._dtype = np.dtype(str(name))
        if self._dtype.kind not in "biuf":
            raise TypeError(f"numbers are of {self._dtype}")

    def __setstate__(self, state: Any) -> None:
        self._dtype = self._dtype.newbyteorder(state[1])

    def number(self, content: bytes) -> Any:
        """Returns the number as Python's."""
        if len(content) != self._dtype.itemsize:
            raise ValueError(f"a number has {len(content)} bytes")
        return np.frombuffer(content, self._dtype)[0].item()


def _number(kind: Any, content: Any) -> Any:
    return kind.number(content)


def _bytes(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes are encoded as {encoding!r}")
    return str(text).encode("latin1")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A view of a storage, inside of which it must lie."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise TypeError("a tensor has no storage")
    numbers = (offset, *size, *stride)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(size) != len(stride):
        raise ValueError(f"a tensor has offset {offset}, size {size}, stride {stride}")
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(storage):
        raise ValueError(
            f"a tensor of size {tuple(size)}, stride {tuple(stride)} reaches number "
            f"{last} of {len(storage)}"
        )
    width = storage.dtype.itemsize
    memory.check(math.prod(size) * width, "a tensor's numbers", "keep fewer in a file")
    steps = [step * width for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _typed(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    del kind, state  # the class of a tensor and its attributes
    if not isinstance(function, _Fixed):
        raise TypeError("a tensor is made by no known function")
    return function(*arguments)


_NAMES = {
    "collections.OrderedDict": _Fixed(collections.OrderedDict),
    "torch.Size": _Fixed(tuple),
    "torch.device": _Fixed(lambda *parts: ":".join(map(str, parts))),
    "torch.Tensor": _Fixed(None),
    "torch.nn.parameter.Parameter": _Fixed(None),
    "torch._tensor._rebuild_from_type_v2": _Fixed(_typed),
    "torch._utils._rebuild_tensor": _Fixed(_tensor),
    "torch._utils._rebuild_tensor_v2": _Fixed(_tensor),
    "torch._utils._rebuild_parameter": _Fixed(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Fixed(_parameter),
    "numpy.dtype": _Fixed(_Scalar),
    "numpy.core.multiarray.scalar": _Fixed(_number),
    "numpy._core.multiarray.scalar": _Fixed(_number),
    "_codecs.encode": _Fixed(_bytes),
} | {f"torch.{name}Storage": _Fixed(dtype) for name, dtype in _KINDS.items()}
_DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8")


class _Unpickler(pickle.Unpickler):
    """Reads a pickle that has tensors, numbers, texts, and what holds them."""

    def __init__(self, file: IO[bytes], storage: Callable[[Any], np.ndarray]):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        whole = f"{module}.{name}"
        if module == "torch" and name in _DTYPES:
            return whole
        if whole not in _NAMES:
            raise _Refused(whole)
        return _NAMES[whole]

    def persistent_load(self, pid: Any) -> np.ndarray:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise ValueError(f"refers to {str(pid)[:80]!r}, which is no storage")
        return self._storage(pid)


def read(path: str | os.PathLike) -> Any:
    """Reads what `torch.save` wrote; runs no code of the file.

    Args:
      path: a file of PyTorch, of 1.6 or later (a zip archive) or of before.

    Returns:
      The value: dicts, lists, tuples, texts, numbers, and each tensor as an array of
      its shape and dtype, bfloat16 that of `ml_dtypes`; arrays may be views, read-only
      or of common memory. NumPy's numbers are Python's, dtypes and devices texts.

    Raises:
      InputError: there is no such file; it is damaged, larger than half of the host's
        memory, or of a machine with another order of bytes; or it holds something
        else, named in the message, which other readers would call.

    Source: the formats of PyTorch's torch/serialization.py; nothing is taken from it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    file = regular.opened(path)
    try:
        zipped = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return _read_zip(file) if zipped else _read_plain(file)
    except _Refused as error:
        raise InputError(
            f"{path}: is refused, since it holds {error}, and reading that could run "
            "code; save tensors alone, as model.state_dict()"
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # Of many kinds, depending on where the damage is.
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise InputError(
            f"{path}: is no readable PyTorch file, perhaps cut short ({reason})"
        ) from error
    finally:
        file.close()


def _read_zip(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        found = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} entries data.pkl")
        root = found[0].removesuffix("data.pkl")

        def content(name: str) -> bytes:
            info = entries[f"{root}{name}"]
            if info.file_size > _DENSEST * (info.compress_size + 1):
                raise ValueError(f"{name} is larger than compression can make it")
            memory.check(info.file_size, f"{name}: its bytes", "keep fewer in a file")
            return archive.read(info)

        order = content("byteorder") if f"{root}byteorder" in entries else b"little"
        if order != b"little":
            raise ValueError(f"its order of bytes is {order!r}")
        storages: dict[str, np.ndarray] = {}

        def storage(pid: Any) -> np.ndarray:
            _, kind, key, _, count = pid[:5]
            if key not in storages:
                raw = content(f"data/{key}")
                if len(raw) != count * kind.kind.itemsize:
                    raise ValueError(f"storage {key} has {len(raw)} bytes")
                storages[key] = np.frombuffer(raw, kind.kind)
            if storages[key].dtype != kind.kind:
                raise ValueError(f"storage {key} is of two kinds")
            return storages[key]

        return _Unpickler(io.BytesIO(content("data.pkl")), storage).load()


def _read_plain(file: IO[bytes]) -> Any:
    """The format of before PyTorch 1.6: pickles in a row, then the storages' bytes."""
    left = file.seek(0, 2)
    file.seek(0)
    storages: dict[str, np.ndarray] = {}

    def storage(pid: Any) -> np.ndarray:
        nonlocal left
        _, kind, key, _, count = pid[:5]
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError(f"storage {key} is a part of another one")
        if key not in storages:
            left -= count * kind.kind.itemsize
            if count < 0 or left < 0:
                raise ValueError(f"storage {key} of {count} numbers is not in the file")
            storages[key] = np.empty(count, kind.kind)
        return storages[key]

    def load() -> Any:
        return _Unpickler(file, storage).load()

    if load() != _MAGIC or load() != _PROTOCOL:
        raise ValueError("it does not begin as such")
    if not load()["little_endian"]:
        raise ValueError("its order of bytes is big")
    value = load()
    for key in load():
        array = storages[key]
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(array.nbytes)
        if count != len(array) or len(raw) != array.nbytes:
            raise ValueError(f"storage {key} has {len(raw)} of {array.nbytes} bytes")
        array[:] = np.frombuffer(raw, array.dtype)
        storages.pop(key)
    if storages:
        raise ValueError(f"storage {next(iter(storages))} is missing")
    return value
