"""The idx format of the MNIST family: a header of big-endian sizes, then bytes."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.errors import InputError

_DENSEST = 1032  # bytes that gzip can make of one
_UINT8 = 0x08  # the format's code for unsigned bytes


def read(path: Path, num_dims: int) -> np.ndarray:
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
        # message below can say how much is missing.
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


def _unpacked(path: Path, unpacker, data: bytes, most: int) -> tuple[bytes, bytes]:
    """Up to `most` bytes of what was packed, and what is still packed."""
    try:
        return unpacker.decompress(data, most), unpacker.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
