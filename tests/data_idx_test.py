import gzip
import struct

import numpy as np
import pytest

from ddjax.data.fashion_mnist import read_idx
from ddjax.errors import InputError


def _idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


_IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)


def test_read_hand_worked(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03\x07\x00\xff")
    np.testing.assert_array_equal(read_idx(path, 1), [7, 0, 255])


@pytest.mark.parametrize("packed", [False, True])
def test_read_returns_what_was_written(tmp_path, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(_idx(_IMAGES)) if packed else _idx(_IMAGES))
    images = read_idx(path, 3)
    assert images.dtype == np.uint8
    assert images.flags.writeable
    np.testing.assert_array_equal(images, _IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_idx(_IMAGES)[:-1], "expected 156 bytes .*(7, 5, 4).*, found 155"),
        (_idx(_IMAGES) + b"\0", "expected 156 bytes .*, found 157"),
        (_idx(_IMAGES)[:10], "expected a header of 16 bytes, found 10"),
        (_idx(_IMAGES[0, 0]), "must be 0x00000803 .*, found 0x00000801"),
        (b"\0\0\x0d\3" + _idx(_IMAGES)[4:], "0x00000803 .*, found 0x00000d03"),
        (b"PNG", "magic number must be .*, found 0x504e47"),
        (b"", "magic number"),
    ],
)
def test_read_refuses_a_damaged_file(tmp_path, content, message):
    for name, data in (("plain", content), ("packed.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{tmp_path / name}: .*{message}"):
            read_idx(tmp_path / name, 3)


def test_read_says_how_much_a_truncated_gzip_file_holds(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(_idx(_IMAGES), compresslevel=0)[:60])
    with pytest.raises(InputError, match="expected 156 bytes .*, found [1-9][0-9]$"):
        read_idx(path, 3)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2**32 - 1,) * 3])
def test_no_more_is_unpacked_than_is_declared_or_there(tmp_path, shape):
    path = tmp_path / "images.gz"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)
    path.write_bytes(gzip.compress(header + bytes(10**7)))
    found = 18 if shape == (1, 1, 1) else 16 + 10**7
    with pytest.raises(InputError, match=f"for an array of .*, found {found}$"):
        read_idx(path, 3)


def test_read_refuses_broken_gzip_and_a_missing_file(tmp_path):
    path = tmp_path / "images.gz"
    damaged = bytearray(gzip.compress(_idx(_IMAGES)))
    damaged[-8] ^= 1  # in the checksum
    for content in (b"not gzip", bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{path}: cannot be read"):
            read_idx(path, 3)
    with pytest.raises(InputError, match="cannot be read: .*No such file"):
        read_idx(tmp_path / "nowhere", 3)
