"""What every source is made of: labelled images, checked and digested.

Shape letters: N examples, H height, W width, C channels.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import valid
from ddjax.data.fingerprints import fingerprints
from ddjax.errors import InputError

_SAMPLE = 4096  # images of a stream that its mean and std are taken from
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # that Pillow is let read
READ = "PNG, JPEG, BMP or WebP"  # the same, in messages
# What Pillow raises of damaged images.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError)
_BLOCK = 64  # images handled at a time: they fit in the cache, a split does not


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images of one split, or of a part of one.

    Attributes:
      images: [N, H, W, C] uint8: an array, or `streamed.Images`, which decodes what
        it is asked for.
      labels: [N] int32, 0 .. num_classes - 1.
      ids: [N] int32, the example's position in the source's own fixed order of the
        split. It stays with the image, whatever subset the image is in.
    """

    images: Any
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Sequence[int] | np.ndarray) -> "Examples":
        """The examples at `positions`, in that order.

        Args:
          positions: [M] integers, 0 .. N - 1, positions in these arrays (not ids).

        Returns:
          M examples, with their own ids. Those of a stream stay in their files.
        """
        positions = np.asarray(positions, dtype=np.int64)
        images = self.images
        images = images[positions] if _in_memory(images) else images.take(positions)
        return Examples(images, self.labels[positions], self.ids[positions])


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A dataset with a training and a test split; made by `from_arrays`.

    Attributes:
      name: what the user called it, such as "digits" or "folder:PATH".
      classes: class names in label order.
      train: the training examples.
      test: the test examples.
      root: the folder that `paths` start from; "" without paths.
      paths: of each training example, by id, its file below `root`, with "/" between
        the parts; None: its images have no files of their own.
      remarks: what was assumed or left out in reading, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    train: Examples
    test: Examples
    root: str = ""
    paths: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.train.images.shape[1:]

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the training pixels per channel, in [0, 1].

        Of a stream, it is that of 4,096 training images spread evenly over the split.
        """
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the training pixels per channel, in units of [0, 1].

        Of the same images as the mean. A channel of one constant value gets 1, so that
        dividing by it is harmless.
        """
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        # From the exact histogram: no rounding that depends on the order of summing.
        images_NHWC = self.train.images
        if not _in_memory(images_NHWC):
            count = min(_SAMPLE, len(images_NHWC))
            images_NHWC = images_NHWC.take(np.arange(count) * len(images_NHWC) // count)
        channels = range(images_NHWC.shape[-1])
        counts_CV = np.zeros((len(channels), 256), np.int64)
        for start in range(0, len(images_NHWC), _BLOCK):
            block = images_NHWC[start : start + _BLOCK]
            for c in channels:
                counts_CV[c] += np.bincount(block[..., c].ravel(), minlength=256)
        num_pixels = counts_CV[0].sum()
        values_V = np.arange(256)
        mean_C = counts_CV @ values_V / num_pixels
        squares_CV = (values_V - mean_C[:, None]) ** 2
        std_C = np.sqrt((counts_CV * squares_CV).sum(axis=1) / num_pixels)
        std_C = np.where(std_C > 0, std_C / 255, 1.0)
        return tuple((mean_C / 255).tolist()), tuple(std_C.tolist())

    @functools.cached_property
    def fingerprints(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What identifies each training and each test image; None of a stream."""
        splits = (self.train.images, self.test.images)
        if not all(map(_in_memory, splits)):
            return None
        train, test = map(fingerprints, splits)
        return train, test

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of images, labels and class names, whatever the name.

        For the images of a stream stand the names and sizes of their files and the
        rule by which they are decoded.
        """
        splits = (self.train, self.test)
        shapes = [split.images.shape for split in splits]
        digest = hashlib.sha256(json.dumps([self.classes, shapes]).encode())
        for split in splits:
            if _in_memory(split.images):
                digest.update(np.ascontiguousarray(split.images))
            else:
                digest.update(split.images.identity.encode())
            digest.update(np.ascontiguousarray(split.labels, dtype="<i4"))
        return digest.hexdigest()


def _in_memory(images: Any) -> bool:
    return isinstance(images, np.ndarray)


def from_arrays(
    name: str,
    classes: tuple[str, ...],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    image_size: int | None = None,
) -> Source:
    """Check the arrays of two splits and make a source of them.

    Args:
      name: name of the source, for messages.
      classes: class names in label order.
      train: images [N, H, W] or [N, H, W, C] uint8, or those of a stream, labels [N]
        integral.
      test: the same for the test split.
      image_size: if given, every image is brought to this many pixels per side, as
        by `resize`.

    Returns:
      The source; ids are the positions in the arrays.

    Raises:
      InputError: as `valid.validate`.
    """
    train, test = (
        (images[..., None] if images.ndim == 3 else images, labels)
        for images, labels in (train, test)
    )
    valid.validate(name, classes, train, test)
    splits = []
    for images_NHWC, labels_N in (train, test):
        if image_size is not None:
            images_NHWC = resize(images_NHWC, image_size)
        ids_N = np.arange(len(labels_N), dtype=np.int32)
        splits.append(Examples(images_NHWC, labels_N.astype(np.int32), ids_N))
    return Source(name, tuple(classes), *splits)


def resize(images_NHWC: np.ndarray, image_size: int) -> np.ndarray:
    """Bring images to a square, whatever their proportions were.

    Each new pixel is the mean of the area that it covers, rounded to the nearest, a tie
    to the even value: mean pooling where the size divides, repeated pixels where it
    multiplies. Nothing is cropped, so that nothing that makes the class is lost.

    Args:
      images_NHWC: [N, H, W, C] uint8.
      image_size: pixels per side, at least 1.

    Returns:
      [N, image_size, image_size, C] uint8.
    """
    count, height, width, channels = images_NHWC.shape
    if height == width == image_size:
        return images_NHWC
    resized = _empty((count, image_size, image_size, channels))
    for start in range(0, count, _BLOCK):
        rows = _stretch_sums(images_NHWC[start : start + _BLOCK], image_size, axis=1)
        sums = _stretch_sums(rows, image_size, axis=2)
        resized[start : start + _BLOCK] = np.rint(sums / (height * width))
    return resized


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """An array of images, where the host has twice the memory that they take."""
    size, memory = math.prod(shape), host_memory()
    if size > memory / 2:
        count, height, width, _ = shape
        raise InputError(
            f"image_size: {count:,} images of {height} x {width} pixels take "
            f"{size / 2**30:,.1f} GiB, allowed is half of the host's "
            f"{memory / 2**30:,.1f} GiB; image_size=PIXELS makes them smaller, and "
            "stream=True leaves those of files on disk"
        )
    return np.empty(shape, np.uint8)


def host_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _stretch_sums(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Sums over `count` equal stretches of an axis, in units of 1 / count of a step.

    A stretch may end inside a step and then has that part of it. In these units all is
    whole numbers: exact, and the same on every machine.
    """
    values = np.moveaxis(values, axis, 0).astype(np.int64)
    before = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    whole, part = np.divmod(np.arange(count + 1) * len(values), count)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    inside = part * values[np.minimum(whole, len(values) - 1)]
    return np.moveaxis(np.diff(count * before[whole] + inside, axis=0), 0, axis)


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
      look: is shown the `PIL.Image.Image` before it is decoded.

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
