"""The idx format of the MNIST family: a header of big-endian sizes, then bytes."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ddjax.errors import InputError

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
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            # Unlike gzip.open, this returns what a truncated file still holds, so
            # that the message below can say how much is missing.
            data = zlib.decompressobj(wbits=31).decompress(data)
    except (OSError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    magic, header_size = bytes([0, 0, _UINT8, num_dims]), 4 + 4 * num_dims
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
    if len(data) != header_size + math.prod(shape):
        raise InputError(
            f"{path}: expected {header_size + math.prod(shape)} bytes for an array of "
            f"shape {shape}, found {len(data)}"
        )
    return np.frombuffer(data, np.uint8, offset=header_size).reshape(shape).copy()
