"""Images that stay in their files until they are asked for.

Letters: N images, H height, W width, C channels, M of them asked for.
"""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Sequence
from concurrent import futures
from typing import Protocol

import numpy as np

from ddjax.data import jpeg

_PARTS = 4  # of the work for each thread: fewer let some idle at the end


class Records(Protocol):
    """Encoded images of a split. Picklable, and read from several threads at once.

    Attributes:
      identity: the same for the same files, wherever they lie.
    """

    identity: str

    def __len__(self) -> int: ...

    def read(self, position: int) -> bytes:
        """The file of one image; InputError where it cannot be read."""

    def describe(self, position: int) -> str:
        """What the image is called in messages."""


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Stands for an array [N,H,W,C] uint8 of which no pixel is in memory.

    `images[0]`, `images[2:9]` and `images[[4, 4, 1]]` are NumPy arrays: decoded, in
    the order asked for. Nothing is kept, except that what is asked for twice at once
    is decoded once. May be used from several threads, and pickled.

    Attributes:
      records: the encoded images.
      size: H and W, pixels per side; see `jpeg.decode`.
      num_channels: C, 1 or 3.
      positions_N: [N] int64, which records these are; None: all, in order.
      workers: decoding threads; 0: one a core.
    """

    records: Records
    size: int
    num_channels: int
    positions_N: np.ndarray | None = None
    workers: int = 0

    def __post_init__(self):
        if self.positions_N is None:
            everything = np.arange(len(self.records), dtype=np.int64)
            object.__setattr__(self, "positions_N", everything)

    def __len__(self) -> int:
        return len(self.positions_N)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), self.size, self.size, self.num_channels)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        return 4

    @property
    def nbytes(self) -> int:
        """Bytes of the array that it stands for."""
        return math.prod(self.shape)

    @functools.cached_property
    def identity(self) -> str:
        """SHA-256 (hex) that stands for the pixels, which are not looked at."""
        parts = (self.records.identity, jpeg.RULE, self.size, self.num_channels)
        digest = hashlib.sha256(repr(parts).encode())
        digest.update(np.ascontiguousarray(self.positions_N, "<i8"))
        return digest.hexdigest()

    def take(self, positions: Sequence[int] | np.ndarray) -> "Images":
        """The images at `positions` [M], in that order, not decoded either."""
        positions = np.asarray(positions, np.int64)
        return dataclasses.replace(self, positions_N=self.positions_N[positions])

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray):
        """Decoded images.

        Args:
          index: an integer, a slice, or [M] integers or [N] booleans.

        Returns:
          [H,W,C] uint8 for an integer, else [M,H,W,C] uint8.

        Raises:
          IndexError: out of range, or of more than one dimension.
          InputError: an image is missing or damaged.
        """
        if isinstance(index, Sequence) and not len(index):
            index = slice(0)
        wanted_M = self.positions_N[index]
        if wanted_M.ndim == 0:
            return self._decode(int(wanted_M))
        if wanted_M.ndim > 1:
            raise IndexError(f"one index for the images, found shape {wanted_M.shape}")
        # In the order of the files, which is kinder to disks than a shuffled one.
        records, firsts, inverse_M = np.unique(
            wanted_M, return_index=True, return_inverse=True
        )
        decoded = np.empty((len(wanted_M), *self.shape[1:]), np.uint8)

        def fill(jobs: range) -> None:
            for job in jobs:
                decoded[firsts[job]] = self._decode(int(records[job]))

        workers = self.workers or cores()
        jobs = range(len(records))
        parts = [jobs[start :: _PARTS * workers] for start in range(_PARTS * workers)]
        for _ in _threads(workers).map(fill, filter(None, parts)):
            pass
        again = np.setdiff1d(np.arange(len(wanted_M)), firsts, assume_unique=True)
        decoded[again] = decoded[firsts[inverse_M[again]]]
        return decoded

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if copy is False:
            raise ValueError("images of a stream are decoded, which makes a copy")
        return np.asarray(self[:], dtype)

    def _decode(self, record: int) -> np.ndarray:
        data, where = self.records.read(record), self.records.describe(record)
        return jpeg.decode(data, self.size, self.num_channels, where)


def cores() -> int:
    """How many cores this process may use, which a scheduler may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _threads(count: int) -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(count, "ddjax-decode")
