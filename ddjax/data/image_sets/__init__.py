"""Image sets in files: those of ddjax for others, and those of others.

Letters: M images, H height, W width, K channels, C classes.
"""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddjax.data import classes as class_names
from ddjax.data.image_sets import export, files, suffix, tensors
from ddjax.data.image_sets.export import Rounding, rounding
from ddjax.data.image_sets.pixels import Pixels, check_bits, to_pixels
from ddjax.data.source import Source
from ddjax.errors import InputError

__all__ = [
    "FORMATS",
    "ImageSet",
    "Rounding",
    "read_image_set",
    "rounding",
    "write_image_set",
]


def __dir__() -> list[str]:
    return __all__


FORMATS = ("png", "jpeg", "npz", "array_record", "dc", "mtt")
_FILES = {"npz": ".npz", "dc": ".pt"}  # formats that are one file, and its suffix
_NORMALISED = ("dc", "mtt")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images from a file, class after class.

    Attributes:
      images: [M,H,W,K] uint8 where the file has levels of 8 bits, else float32 on the
        same scale, 0..255; learned pixels may lie outside of it.
      labels: [M] int32, ascending; every class has an image.
      classes: class names in label order.
      soft_labels: [M,C] float32, rows that sum to 1; None: the file has none.
      notes: what was assumed in reading and what the file lacks, a remark each.
      learning_rate: the rate that was learned with the images; None: the file has none.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    soft_labels: np.ndarray | None
    notes: tuple[str, ...]
    learning_rate: float | None = None


def read_image_set(
    path: str | os.PathLike,
    classes: Sequence[str],
    shape: tuple[int, int, int],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    resize: bool = False,
    scale: float = 0.0,
    clip: float = 0.005,
    label_kind: str = "",
    contradicting: float = 0.5,
    source: Source | None = None,
) -> ImageSet:
    """Read an image set for a source.

    Args:
      path: a folder with a folder of PNG or JPEG images for each class; a folder in
        ArrayRecord format as TFDS prepares it; or an .npz or .pt file, or a folder of
        .pt files, see `tensors.read`. What a file does not state follows the path, as
        PATH#zca, see `suffix.Suffix`.
      classes: the source's class names in label order.
      shape: (H, W, K) of the source's images.
      mean: [K] of pixels, by which the floats of a file were normalised; None: they
        were not, unless its layout is one of normalised images, see `tensors.read`.
        Floats that all lie between 0 and white are pixels even so.
      std: [K] as mean.
      resize: accept images of another size and bring them to H by W, if that is square,
        as by `ddjax.data.images.resize`.
      scale: the number that is white, also in `mean` and `std`; 0: 255 for uint8, 1 for
        floats.
      clip: share of the numbers, at most, that may lie beyond black and white; for
        learned images at least a half.
      label_kind: what soft labels are: "probabilities", "percent" or "logits"; "": what
        is plain, see `classes.distributions`.
      contradicting: share of the images, at most, whose soft labels may favour another
        class than their label.
      source: whose moments may be those by which images were normalised, and to whose
        training images ZCA whitening is fitted; None: neither is known.

    Returns:
      The set. Images of a class stay in the order of the file, or of the sorted names.

    Raises:
      InputError: nothing of that kind is there, it is damaged, or it does not fit the
        source: class names, a class without images, image size, channels, levels,
        labels.
    """
    path, stated = suffix.split(path)
    where, soft, rate = str(path), None, None
    more: tuple[str, ...]
    for name, value in (("mean", mean), ("std", std)):
        if value is not None and np.shape(value) != (shape[2],):
            raise InputError(
                f"{name}: found shape {list(np.shape(value))}, expected {shape[2]} "
                "numbers, one for each channel"
            )
    if not path.exists():
        raise InputError(f"{where}: there is no such file or folder")
    if path.is_file() and path.suffix not in tensors.SUFFIXES:
        raise InputError(
            f"{where}: found a file that ends in {path.suffix!r}, allowed is a folder "
            f"or {', '.join(tensors.SUFFIXES)}"
        )
    if label_kind not in class_names.LABEL_KINDS:
        raise InputError(
            f"label_kind: found {label_kind!r}, allowed is one of "
            f"{', '.join(filter(None, class_names.LABEL_KINDS))}, or ''"
        )
    pixels = Pixels(mean, std, scale, clip)
    try:
        if path.is_file() or tensors.held_by(path):
            held = tensors.read(
                path, len(classes), shape, pixels, resize, stated, source
            )
            images, found, notes = held.images, held.labels, held.notes
            rate = held.learning_rate
            label_of: Sequence[int] = range(len(classes))
            if "class_names" in found:
                names = found["class_names"].tolist()
                label_of, more = class_names.match(
                    names, classes, f"{path}: class_names"
                )
                notes += more
            labels, soft, more = class_names.read_labels(
                found, len(images), classes, label_of, label_kind, contradicting, where
            )
        else:
            stated.refuse(where, "experiment", "zca", "factor", "temperature")
            recorded = (path / "dataset_info.json").is_file()
            read = files.read_records if recorded else files.read_folders
            images, labels, notes = read(path, classes, shape, resize)
            images, more = to_pixels(images, pixels, where)
        notes += more
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error})") from error
    check_bits(images, where)
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        absent = [classes[label] for label in np.flatnonzero(counts == 0).tolist()]
        raise InputError(
            f"{where}: has no image of {len(absent)} of {len(classes)} classes: "
            f"{class_names.shown(absent)}"
        )
    if counts.min() < counts.max():
        fewest, most = (classes[int(i)] for i in (counts.argmin(), counts.argmax()))
        notes += (
            f"classes have from {counts.min()} ({fewest!r}) to {counts.max()} images "
            f"({most!r}): all were kept, so no number of images a class holds for the "
            "set",
        )
    order = np.argsort(labels, kind="stable")
    return ImageSet(
        images=np.ascontiguousarray(images[order]),
        labels=labels[order].astype(np.int32),
        classes=tuple(classes),
        soft_labels=None if soft is None else soft[order],
        notes=notes,
        learning_rate=rate,
    )


def write_image_set(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike,
    format: str = "png",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    soft_labels: np.ndarray | None = None,
    learning_rate: float | None = None,
) -> None:
    """Write an image set that `read_image_set` reads; it is there whole or not at all.

    Args:
      images: [M,H,W,K] uint8, or finite float32 on the scale 0..255, which formats of
        files of images round to 8 bits, see `rounding`; K is 1 or 3 for these.
      labels: [M] integers, 0 .. C - 1; every class has an image.
      classes: class names in label order.
      path: what to create, in a folder that exists: a folder; for npz a file .npz, for
        dc a file .pt.
      format: "png", a folder for each class; "jpeg", the same of quality 75, which
        changes pixels; "array_record", a dataset of TFDS, its images as PNG; "npz", the
        arrays images, labels, class_names and what else is given; "dc", a file of
        normalised images as DC, DSA and DM write it; or "mtt", a folder as MTT and DATM
        write it, with soft labels as logits.
      mean, std: [K] in [0, 1] units, by which dc and mtt normalise; they require it,
        others do not take it.
      soft_labels: [M,C] rows that sum to 1, of npz and mtt; None: there are none.
      learning_rate: learned with the images, above 0, of npz and mtt; None: none was.

    Raises:
      InputError: an argument is not as above, something is at `path`, or it cannot be
        written.
    """
    path = Path(path).expanduser()
    images, labels = np.asarray(images), np.asarray(labels)
    _check(images, labels, classes, path, format)
    _check_more(images, classes, format, mean, std, soft_labels, learning_rate)
    soft = None if soft_labels is None else np.asarray(soft_labels)
    mean, std = (() if m is None else m for m in (mean, std))
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        if format == "npz":
            export.write_npz(path, images, labels, classes, soft, learning_rate)
            return
        if format == "dc":
            export.write_dc(path, images, labels, mean, std)
            return
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        if format == "mtt":
            export.write_mtt(temporary, images, labels, mean, std, soft, learning_rate)
        elif format == "array_record":
            files.write_records(temporary, export.rounded(images), labels, classes)
        else:
            levels = export.rounded(images)
            files.write_folders(temporary, levels, labels, classes, format)
        os.rename(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(images, labels, classes, path, format):
    if format not in FORMATS:
        raise InputError(
            f"format: found {format!r}, allowed is one of {', '.join(FORMATS)}"
        )
    kind = images.dtype in (np.uint8, np.float32)
    if not kind or images.ndim != 4 or not images.size:
        raise InputError(
            f"images: found shape {list(images.shape)} of {images.dtype}, expected "
            "[M,H,W,K] uint8, or float32 on the scale 0..255"
        )
    if not np.isfinite(images).all():
        raise InputError("images: found values that are not finite")
    if format not in (*_FILES, *_NORMALISED) and images.shape[3] not in (1, 3):
        raise InputError(
            f"images: found {images.shape[3]} channels, {format} allows 1 or 3; npz "
            "allows any"
        )
    if len(set(classes)) < len(classes):
        raise InputError(f"classes: found {list(classes)}, expected different names")
    values = sorted(set(labels.ravel().tolist()))
    whole = labels.dtype.kind in "iu" and labels.shape == (len(images),)
    if not whole or values != list(range(len(classes))):
        raise InputError(
            f"labels: found shape {list(labels.shape)} of {labels.dtype}, the values "
            f"{class_names.shown(values)}, expected [{len(images)}] integers, each of "
            f"0..{len(classes) - 1} at least once"
        )
    ending = _FILES.get(format, "")
    if path.suffix != ending and (ending or path.suffix in _FILES.values()):
        formats = "npz takes one that ends in '.npz', dc in '.pt', others in neither"
        raise InputError(
            f"{path}: found a name that ends in {path.suffix!r} for {format}; {formats}"
        )
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: is there already; choose another name or remove it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent} to write it in")


def _check_more(images, classes, format, mean, std, soft_labels, learning_rate):
    """Refuses what a format does not take, lacks, or takes otherwise."""
    channels = images.shape[3]
    for name, values in (("mean", mean), ("std", std)):
        if (values is None) == (format in _NORMALISED):
            allowed = f"{channels} numbers" if format in _NORMALISED else "None"
            raise InputError(f"{name}: found {values}, {format} allows {allowed}")
        numbers = np.asarray(() if values is None else values, float)
        low = 0 if name == "std" else -np.inf
        wrong = numbers.shape != (channels,) or not (numbers > low).all()
        if values is not None and (wrong or not np.isfinite(numbers).all()):
            raise InputError(
                f"{name}: found {values}, expected {channels} finite numbers, one for "
                "each channel, those of std above 0"
            )
    for name, value in (("soft_labels", soft_labels), ("learning_rate", learning_rate)):
        if value is not None and format not in ("npz", "mtt"):
            raise InputError(f"{name}: was given, {format} does not have it")
    if learning_rate is not None and not 0 < learning_rate < np.inf:
        raise InputError(
            f"learning_rate: found {learning_rate}, allowed is a number above 0"
        )
    if soft_labels is None:
        return
    soft = np.asarray(soft_labels)
    shape = (len(images), len(classes))
    if soft.shape != shape or soft.dtype.kind != "f" or not (soft >= 0).all():
        raise InputError(
            f"soft_labels: found shape {list(soft.shape)} of {soft.dtype}, expected "
            f"{list(shape)} floats of 0 or more"
        )
    if abs(soft.sum(axis=1) - 1).max() > 2e-3:
        raise InputError(
            "soft_labels: found rows that do not sum to 1, expected probabilities"
        )
