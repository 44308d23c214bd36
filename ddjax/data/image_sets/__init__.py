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
from ddjax.data.image_sets import files, tensors
from ddjax.data.image_sets.tensors import Pixels, check_bits, to_levels
from ddjax.errors import InputError

__all__ = ["FORMATS", "ImageSet", "read_image_set", "write_image_set"]


def __dir__() -> list[str]:
    return __all__


FORMATS = ("png", "jpeg", "npz", "array_record")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images from a file, class after class.

    Attributes:
      images: [M,H,W,K] uint8.
      labels: [M] int32, ascending; every class has an image.
      classes: class names in label order.
      soft_labels: [M,C] float32, rows that sum to 1; None: the file has none.
      notes: what was assumed in reading and what the file lacks, a remark each.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    soft_labels: np.ndarray | None
    notes: tuple[str, ...]


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
) -> ImageSet:
    """Read an image set for a source.

    Args:
      path: a folder with a folder of PNG or JPEG images for each class; a folder in
        ArrayRecord format as TFDS prepares it; or an .npz or .pt file, or a folder of
        .pt files, see `tensors.read`.
      classes: the source's class names in label order.
      shape: (H, W, K) of the source's images.
      mean: [K] of pixels, by which the floats of a file were normalised; None: they
        were not. Floats that all lie between 0 and white are pixels even so.
      std: [K] as mean.
      resize: accept images of another size and bring them to H by W, if that is square,
        as by `ddjax.data.images.resize`.
      scale: the number that is white, also in `mean` and `std`; 0: 255 for uint8, 1 for
        floats.
      clip: share of the numbers, at most, that may lie beyond black and white and be
        clipped.
      label_kind: what soft labels are: "probabilities", "percent" or "logits"; "": what
        is plain, see `classes.distributions`.
      contradicting: share of the images, at most, whose soft labels may favour another
        class than their label.

    Returns:
      The set. Images of a class stay in the order of the file, or of the sorted names.

    Raises:
      InputError: nothing of that kind is there, it is damaged, or it does not fit the
        source: class names, a class without images, image size, channels, levels,
        labels.
    """
    path = Path(path).expanduser()
    where, soft = str(path), None
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
            images, found, notes = tensors.read(
                path, len(classes), shape, pixels, resize
            )
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
            recorded = (path / "dataset_info.json").is_file()
            read = files.read_records if recorded else files.read_folders
            images, labels, notes = read(path, classes, shape, resize)
            images, more = to_levels(images, pixels, where)
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
    )


def write_image_set(
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    path: str | os.PathLike,
    format: str = "png",
) -> None:
    """Write an image set that `read_image_set` reads; it is there whole or not at all.

    Args:
      images: [M,H,W,K] uint8; K is 1 or 3 unless the format is npz.
      labels: [M] integers, 0 .. C - 1; every class has an image.
      classes: class names in label order.
      path: what to create, in a folder that exists: a folder; for npz a file .npz.
      format: "png", a folder for each class; "jpeg", the same of quality 75, which
        changes pixels; "npz", the arrays images, labels, class_names; or
        "array_record", a dataset of TFDS, its images as PNG.

    Raises:
      InputError: an argument is not as above, something is at `path`, or it cannot be
        written.
    """
    path = Path(path).expanduser()
    images, labels = np.asarray(images), np.asarray(labels)
    _check(images, labels, classes, path, format)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        if format == "npz":
            tensors.write_npz(path, images, labels, classes)
            return
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        if format == "array_record":
            files.write_records(temporary, images, labels, classes)
        else:
            files.write_folders(temporary, images, labels, classes, format)
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
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise InputError(
            f"images: found shape {list(images.shape)} of {images.dtype}, expected "
            "[M,H,W,K] uint8"
        )
    if format != "npz" and images.shape[3] not in (1, 3):
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
    if (path.suffix == ".npz") != (format == "npz"):
        raise InputError(
            f"{path}: found a name that ends in {path.suffix!r}; format npz, and no "
            "other, takes one that ends in '.npz'"
        )
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: is there already; choose another name or remove it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent} to write it in")
