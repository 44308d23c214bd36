"""Images: opened, decoded, resized, gathered in memory or left in their files.

Letters: N images, H height, W width, C channels, M of them indexed, S side of a
square.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, Protocol

import numpy as np

from ddjax import memory, regular
from ddjax.errors import InputError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # that Pillow is let read
READ = "PNG, JPEG, BMP or WebP"  # the same, in messages
GREY = ("1", "L", "LA")  # modes of Pillow that have no colour
# What Pillow raises of damaged images.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError)
_OPTIONS = {"png": {}, "jpeg": {"quality": 75}}
# What the pixels depend on beside the file; a change of it changes every digest.
SQUARE_RULE = "libjpeg-turbo scaled to at least the size, bilinear or area to it; 2"
_BLOCK = 64  # images handled at a time: they fit in the cache, a split does not
_PARTS = 4  # of the work for each thread: fewer let some idle at the end


@contextlib.contextmanager
def opened(file: Any, where: str) -> Iterator[Any]:
    """Open an image of `FORMATS` with Pillow; damage in the block is an InputError.

    Args:
      file: path or binary file object.
      where: what the image is called in messages, such as its path.

    Yields:
      A `PIL.Image.Image` of 8 bits per channel, not yet decoded.

    Raises:
      InputError: of another format, no regular file, damaged, truncated, or of
        another depth.
    """
    from PIL import Image, UnidentifiedImageError

    named = isinstance(file, (str, os.PathLike))
    try:
        with (
            regular.opened(file) if named else contextlib.nullcontext(file) as content,
            Image.open(content, formats=FORMATS) as image,
        ):
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode}, must have 8 bits per channel")
            yield image
    except InputError:
        raise
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "it is something else"  # Pillow names an object of Python here
        raise InputError(f"{where}: not a readable image ({READ}): {reason}") from error


def decode(
    file: Any,
    num_channels: int,
    where: str,
    look: Callable[[Any], None] | None = None,
) -> np.ndarray:
    """Decode an image.

    Args:
      file: path or binary file object.
      num_channels: 1 for grey, 3 for RGB; transparency is dropped.
      where: what the image is called in messages.
      look: called with the `PIL.Image.Image` before it is decoded.

    Returns:
      [H, W, num_channels] uint8.

    Raises:
      InputError: as `opened`.
    """
    with opened(file, where) as image:
        if look is not None:
            look(image)
        pixels = np.asarray(image.convert("L" if num_channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], num_channels)


def decode_square(data: bytes, size: int, num_channels: int, where: str) -> np.ndarray:
    """Decode an image to a square.

    Nothing is cropped, whatever the proportions. A JPEG is decoded at the smallest of
    libjpeg's scales (eighths of the full size) that is at least `size` on both sides,
    which spares most of the work on a large image. OpenCV then brings it to the square:
    bilinear with integers where a side at most halves, else the mean of areas. The same
    bytes give the same pixels, always.

    An image that has the size already is decoded to the very pixels that are loaded
    into memory, with two exceptions, both JPEG. One in CMYK differs by up to 2 of 255
    levels: libjpeg and Pillow, which reads images into memory, turn it into RGB by
    different arithmetic. One in colour that is wanted in grey is its luma here, and
    the grey of its RGB pixels there: the same, but where these were cut off at 0 or
    255, by up to 15 levels in pure noise. Others differ from `resize`, the exact
    mean of areas, which is ten to twenty times slower: at 224 pixels from 500x375 by
    0.4 (smooth) to 6 (much grain) of 255 levels on average.

    Args:
      data: a JPEG, PNG, BMP or WebP file. Grey, CMYK and palette images get
        `num_channels` channels; transparency is dropped.
      size: S, pixels per side.
      num_channels: C, 1 for grey, 3 for RGB.
      where: what the image is called in messages.

    Returns:
      [S,S,C] uint8.

    Raises:
      InputError: of another format, damaged, truncated, or of another depth.
    """
    pixels = None
    if data[:2] == b"\xff\xd8":
        import simplejpeg

        space = "GRAY" if num_channels == 1 else "RGB"
        try:
            pixels = simplejpeg.decode_jpeg(
                data, space, min_height=size, min_width=size
            )
        except (
            ValueError
        ):  # flawed: Pillow forgives more, and its errors give the reason
            pixels = None
    if pixels is None:
        pixels = decode(io.BytesIO(data), num_channels, where)
    return _square(pixels, size)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width, num_channels = pixels.shape
    if height == width == size:
        return pixels
    import cv2

    shrinks = max(height, width) > 2 * size
    rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT
    square = cv2.resize(pixels, (size, size), interpolation=rule)
    return square.reshape(size, size, num_channels)


def encode(image_HWK: np.ndarray, file_format: str) -> bytes:
    """Make a file of an image.

    Args:
      image_HWK: [H,W,K] uint8, K 1 or 3.
      file_format: "png", which keeps every pixel, or "jpeg", of quality 75 as the files
        of most published image sets.

    Returns:
      The file's content.
    """
    from PIL import Image

    pixels = image_HWK[..., 0] if image_HWK.shape[-1] == 1 else image_HWK
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **_OPTIONS[file_format])
    return file.getvalue()


def resize(images_NHWC: np.ndarray, image_size: int) -> np.ndarray:
    """Bring images to a square, whatever their proportions were.

    Each new pixel is the mean of the area that it covers, of uint8 rounded to the
    nearest, a tie to the even value: mean pooling where the size divides, repeated
    pixels where it multiplies. Nothing is cropped, so that nothing that makes the
    class is lost.

    Args:
      images_NHWC: [N, H, W, C] uint8, or floats.
      image_size: pixels per side, at least 1.

    Returns:
      [N, image_size, image_size, C] of the same dtype.
    """
    count, height, width, channels = images_NHWC.shape
    if height == width == image_size:
        return images_NHWC
    floats = images_NHWC.dtype.kind == "f"
    dtype = images_NHWC.dtype if floats else np.dtype(np.uint8)
    resized = _empty((count, image_size, image_size, channels), dtype)
    for start in range(0, count, _BLOCK):
        rows = _stretch_sums(images_NHWC[start : start + _BLOCK], image_size, axis=1)
        means = _stretch_sums(rows, image_size, axis=2) / (height * width)
        resized[start : start + _BLOCK] = means if floats else np.rint(means)
    return resized


def _empty(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    """An array of images, where the host has twice the memory that they take."""
    count, height, width, _ = shape
    memory.check(
        math.prod(shape) * np.dtype(dtype).itemsize,
        f"image_size: {count:,} images of {height} x {width} pixels",
        "image_size=PIXELS makes them smaller, and stream=True leaves those of files "
        "on disk",
    )
    return np.empty(shape, dtype)


def _stretch_sums(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Sums over `count` equal stretches of an axis, in units of 1 / count of a step.

    A stretch may end inside a step and then has that part of it. In these units whole
    numbers stay whole: exact, and the same on every machine. Floats are summed in
    float64.
    """
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    values = np.moveaxis(values, axis, 0).astype(kind)
    before = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    whole, part = np.divmod(np.arange(count + 1) * len(values), count)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    inside = part * values[np.minimum(whole, len(values) - 1)]
    return np.moveaxis(np.diff(count * before[whole] + inside, axis=0), 0, axis)


def gather(
    read: Callable[[int], np.ndarray],
    count: int,
    image_size: int | None,
    describe: Callable[[int], str],
) -> np.ndarray:
    """Read images one by one, on several threads, into one array.

    Args:
      read: position -> image [H, W, C] uint8; called once or more per position.
      count: number of images, at least 1.
      image_size: if given, each image is brought to this many pixels per side, as by
        `resize`, before it is kept.
      describe: position -> what the image is called in messages.

    Returns:
      [count, H, W, C] uint8.

    Raises:
      InputError: the images differ in shape.
    """

    def read_resized(position: int) -> np.ndarray:
        image = read(position)
        return image if image_size is None else resize(image[None], image_size)[0]

    first = read_resized(0)
    images = _empty((count, *first.shape))

    def fill(start: int) -> None:
        for position in range(start, min(start + _BLOCK, count)):
            image = read_resized(position)
            if image.shape != first.shape:
                raise InputError(
                    f"{describe(position)}: shape {image.shape}, but {describe(0)} has "
                    f"{first.shape}; image_size=PIXELS brings all to one size"
                )
            images[position] = image

    with futures.ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(0, count, _BLOCK)):
            pass
    return images


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
class Streamed:
    """Stands for an array [N,H,W,C] uint8 of which no pixel is in memory.

    `images[0]`, `images[2:9]` and `images[[4, 4, 1]]` are NumPy arrays: decoded, in
    the order of the index. Nothing is kept, except that what an index has twice
    is decoded once. May be used from several threads, and pickled.

    Attributes:
      records: the encoded images.
      size: H and W, pixels per side; see `decode_square`.
      num_channels: C, 1 or 3.
      positions_N: [N] int64, which records these are; None: all, in order.
      workers: decoding threads; 0: one a core.
    """

    records: Records
    size: int
    num_channels: int
    positions_N: np.ndarray = None  # type: ignore[assignment]  # replaced below
    workers: int = 0

    def __post_init__(self) -> None:
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
        """SHA-256 (hex) that stands for the pixels, which are not decoded."""
        parts = (self.records.identity, SQUARE_RULE, self.size, self.num_channels)
        digest = hashlib.sha256(repr(parts).encode())
        digest.update(np.ascontiguousarray(self.positions_N, "<i8").data)
        return digest.hexdigest()

    def take(self, positions: Sequence[int] | np.ndarray) -> "Streamed":
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
        return decode_square(data, self.size, self.num_channels, where)


def cores() -> int:
    """How many cores this process may use, which a scheduler may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _threads(count: int) -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(count, "ddjax-decode")
