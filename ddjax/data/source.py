"""A source: labelled images, checked and digested; and how a kind of it is declared.

Shape letters: N examples, H height, W width, C channels.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddjax.data.images import resize
from ddjax.errors import InputError

_SAMPLE = 4096  # images of a stream that its mean and std are taken from
_BLOCK = 64  # images handled at a time: they fit in the cache, a split does not
Split = tuple[Any, np.ndarray]  # images of a split, as of `Examples`, and labels
CHANNELS = (1, 3)  # grey and RGB: what every figure and image file can show


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images of one split, or of a part of one.

    Attributes:
      images: [N, H, W, C] uint8: an array, or `images.Streamed`, which decodes
        what is indexed.
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
        if not _in_memory(images):
            images = images.take(positions)
        elif any(images.strides):
            images = images[positions]
        else:
            images = blank(len(positions), images.shape[1:])
        return Examples(images, self.labels[positions], self.ids[positions])


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A dataset with a training and a test split; `from_arrays` builds it.

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
                digest.update(np.ascontiguousarray(split.images).data)
            else:
                digest.update(split.images.identity.encode())
            digest.update(np.ascontiguousarray(split.labels, dtype="<i4").data)
        return digest.hexdigest()


def _in_memory(images: Any) -> bool:
    return isinstance(images, np.ndarray)


def fingerprints(images: np.ndarray) -> np.ndarray:
    """Returns [N] texts such as "32x32x3:0123456789abcdef".

    Args:
      images: [N, H, W, C] uint8. Equal images have equal texts, others have not, but by
        an accident of 64 bits.
    """
    size = "x".join(map(str, images.shape[1:]))
    found = (
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8)
        for image in images
    )
    return np.array([f"{size}:{digest.hexdigest()}" for digest in found], np.str_)


def from_arrays(
    name: str,
    classes: tuple[str, ...],
    train: Split,
    test: Split,
    image_size: int | None = None,
    remarks: tuple[str, ...] = (),
) -> Source:
    """Makes a source of the arrays of two splits, checked.

    Args:
      name: name of the source, for messages.
      classes: class names in label order.
      train: images [N, H, W] or [N, H, W, C] uint8, or those of a stream, labels [N]
        integral.
      test: the same for the test split.
      image_size: if given, every image is brought to this many pixels per side, as
        by `resize`.
      remarks: what was assumed or left out in reading, a sentence each.

    Returns:
      The source; ids are the positions in the arrays.

    Raises:
      InputError: the splits do not make a classification problem: one is empty; images
        are not uint8 [N, H, W, C] with 1 or 3 channels, or differ in shape between the
        splits; there is not one label per image, or a label is not an integer of
        0 .. K - 1; two classes have one name; a class has no training example.
    """
    train, test = (
        (images[..., None] if images.ndim == 3 else images, labels)
        for images, labels in (train, test)
    )
    _validate(name, classes, train, test)

    def examples(images_NHWC: Any, labels_N: np.ndarray) -> Examples:
        if image_size is not None:
            images_NHWC = resize(images_NHWC, image_size)
        ids_N = np.arange(len(labels_N), dtype=np.int32)
        return Examples(images_NHWC, labels_N.astype(np.int32), ids_N)

    return Source(
        name, tuple(classes), examples(*train), examples(*test), remarks=remarks
    )


def _validate(
    name: str,
    classes: tuple[str, ...],
    train: Split,
    test: Split,
) -> None:
    """Refuses splits that do not make a classification problem, see `from_arrays`."""
    if len(set(classes)) < len(classes):
        raise InputError(f"{name}: class names must differ, found {list(classes)}")
    for split, (images, labels) in (("train", train), ("test", test)):
        where = f"{name}: {split} split"
        _check_images(images, where)
        _check_labels(labels, len(images), len(classes), where)
    (train_images, train_labels), (test_images, _) = train, test
    if train_images.shape[1:] != test_images.shape[1:]:
        raise InputError(
            f"{name}: train images have shape {train_images.shape[1:]} but test "
            f"images {test_images.shape[1:]}, must be the same"
        )
    counts = np.bincount(train_labels.astype(np.int64), minlength=len(classes))
    if not counts.all():
        label = np.argmin(counts)
        raise InputError(
            f"{name}: train split has no example of class {classes[label]!r} "
            f"(label {label})"
        )


def _check_images(images: Any, where: str) -> None:
    shape = images.shape
    shaped = images.ndim == 4 and min(shape[1:]) > 0 and shape[3] in CHANNELS
    if images.dtype != np.uint8 or not shaped:
        hint = ""
        if images.ndim == 4 and shape[3] in (2, 4):
            hint = f"; images[..., :{shape[3] - 1}] leaves out what may be transparency"
        elif images.ndim == 4 and shape[1] in CHANNELS:
            hint = "; images.transpose(0, 2, 3, 1) puts channels last"
        raise InputError(
            f"{where} has images of dtype {images.dtype} and shape {shape}, must be "
            f"uint8 [N, H, W] or [N, H, W, C] with 1 or 3 channels, last{hint}"
        )
    if len(images) == 0:
        raise InputError(f"{where} has no images")


def _check_labels(labels: np.ndarray, count: int, classes: int, where: str) -> None:
    if labels.shape != (count,):
        hint = ""
        if labels.shape == (count, 1):
            hint = "; labels[:, 0] makes them fit"
        elif labels.shape == (count, classes):
            hint = "; labels.argmax(axis=1) makes them of one-hot rows"
        raise InputError(
            f"{where} has labels of shape {labels.shape}, must be ({count},): one for "
            f"each image{hint}"
        )
    if labels.dtype.kind not in "iuf":
        hint = ""
        if labels.dtype.kind in "SU":
            hint = "; np.unique(labels, return_inverse=True) has names and numbers"
        raise InputError(
            f"{where} has labels of dtype {labels.dtype}, not integer{hint}"
        )
    allowed = (labels == np.rint(labels)) & (labels >= 0) & (labels < classes)
    if not allowed.all():
        first = np.argmin(allowed)
        raise InputError(
            f"{where} has label {labels[first]} at position {first}, "
            f"must be an integer of 0..{classes - 1}"
        )


def blank(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns `count` black images of a shape, which take no memory, read-only."""
    return np.broadcast_to(np.uint8(0), (count, *shape))


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a data set without reading it.

    Attributes:
      train, test: number of images.
      classes: number of classes.
      shape: (height, width, channels) of an image; height 0: they differ.
    """

    train: int
    test: int
    classes: int
    shape: tuple[int, int, int]

    def stand_in(self, name: str, image_size: int | None = None) -> Source:
        """Returns a source of the right size that holds no pixels.

        Its classes are equally large, or one image apart, and its images are black and
        take no memory.

        Args:
          name: of the source.
          image_size: pixels per side; None as they come.

        Raises:
          InputError: images of different sizes without `image_size`.
        """
        height, width, channels = self.shape
        if image_size:
            height = width = image_size
        if not height:
            raise InputError(
                f"image_size: found {image_size}, but the images of {name} differ in "
                "size, allowed is a number of pixels"
            )

        def examples(count: int) -> Examples:
            ids = np.arange(count, dtype=np.int32)
            labels = ids % np.int32(self.classes)
            return Examples(blank(count, (height, width, channels)), labels, ids)

        names = tuple(str(label) for label in range(self.classes))
        return _Blank(name, names, examples(self.train), examples(self.test))


class _Blank(Source):
    """A source whose mean and deviation are not to be counted."""

    @property
    def _moments(self):
        channels = self.shape[2]
        return (0.5,) * channels, (0.25,) * channels


@dataclasses.dataclass(frozen=True)
class Scan:
    """The properties of a data set that settings are derived from.

    Attributes:
      source: name of the source, as `ddjax.data.load` takes it.
      classes: class names in label order.
      counts: training images of each class.
      test: number of test images.
      aside: whether the test split had to be set aside.
      sides: (smallest, median, largest) shorter side, in pixels.
      square: whether all images are squares of one size.
      channels: 1 if all are grey, else 3; of arrays the number that they have.
    """

    source: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    test: int
    aside: bool
    sides: tuple[int, int, int]
    square: bool
    channels: int

    @classmethod
    def of(cls, loaded: Source, aside: bool) -> "Scan":
        """Describes a source that is loaded, its test split set aside or not."""
        height, width, channels = loaded.shape
        counts = np.bincount(loaded.train.labels, minlength=loaded.num_classes)
        return cls(
            source=loaded.name,
            classes=loaded.classes,
            counts=tuple(counts.tolist()),
            test=len(loaded.test),
            aside=aside,
            sides=(min(height, width),) * 3,
            square=height == width,
            channels=channels,
        )


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of source, declared by the file that reads it.

    Attributes:
      doc: the file's docstring, whose first line `ddjax list` shows.
      load: (argument, data_dir, image_size) -> the source, all of it in memory. The
        argument is what follows the colon of the name, "" without one; data_dir is a
        folder or None, for the usual place; image_size is pixels per side, to which
        `from_arrays` resizes, or None.
      stream: the same with images that stay in their files, decoded to image_size;
        None: it has none.
      argument: what the argument is, such as "PATH" or "NAME"; "": there is none.
      place: what a PATH must be, "folder" or "file"; "": that is not checked.
      facts: argument -> what is known of a data set that may be planned where it is
        not; of a PATH the last part counts, of a NAME all but the version.
      holds: whether what lies at a path is of this kind; None: it has no path.
      scan: path that `holds` -> its `Scan`, read or not; None: no path.
    """

    doc: str
    load: Callable[[str, str | None, int | None], Source]
    stream: Callable[[str, str | None, int], Source] | None = None
    argument: str = ""
    place: str = ""
    facts: Mapping[str, Facts] = dataclasses.field(default_factory=dict)
    holds: Callable[[Path], bool] | None = None
    scan: Callable[[str], Scan] | None = None

    @property
    def summary(self) -> str:
        """The line that `ddjax list` prints of it."""
        return self.doc.partition("\n")[0]

    def known(self, argument: str) -> Facts | None:
        """Returns the facts of an argument, None if there are none."""
        if self.argument == "PATH":
            argument = Path(argument).name
        return self.facts.get(argument.partition(":")[0])
