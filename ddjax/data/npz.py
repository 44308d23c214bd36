"""A NumPy archive with the arrays of both splits, or of one data set."""

import math
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.data import split
from ddjax.data.arrays import Archive
from ddjax.data.source import Kind, Scan, Source, Split, from_arrays
from ddjax.errors import InputError

_NAMES = {  # each array, and its other name
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}
_WHOLE = {"x": "images", "y": "labels"}  # likewise, of a file without splits


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load an .npz file with x_train, y_train, x_test, y_test, or with x and y.

    The names train_images, train_labels, test_images, test_labels, and images, labels
    do as well. Of x and y a fifth of each class is set aside as the test split, see
    `split.set_aside`, with a remark of the source. Images are [N, H, W] or
    [N, H, W, C], either uint8, or float in [0, 1], which becomes uint8 by rounding 255
    times the value. An optional array class_names has K strings; without it there are
    as many classes as the training labels have different values, called "0", "1", and
    so on.

    Ids are positions in the arrays, of x and y in what is left of them.

    Raises:
      InputError: the file is damaged, lacks an array, or has pickled objects, or an
        image or label that is not allowed.
    """
    arrays = _read(regular.expanded(argument))
    remarks: tuple[str, ...] = ()

    def read(end: str) -> Split:
        images = _to_uint8(arrays[f"x{end}"], f"{argument}: x{end}")
        return images, arrays[f"y{end}"]

    if "x" in arrays:
        train, test, remarks = _divided(argument, *read(""))
    else:
        train, test = read("_train"), read("_test")
    names = arrays.get("class_names")
    if names is None:
        names = np.arange(len(np.unique(train[1]))).astype(str)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise InputError(
            f"{argument}: class_names has dtype {names.dtype} and shape {names.shape}, "
            "must be strings of shape [K]"
        )
    classes = tuple(names.tolist())
    return from_arrays(f"npz:{argument}", classes, train, test, image_size, remarks)


def _divided(
    argument: str, images: np.ndarray, labels: np.ndarray
) -> tuple[Split, Split, tuple[str, ...]]:
    """Train and test of images without splits, and the remark on it."""
    if labels.shape != (len(images),):
        raise InputError(
            f"{argument}: y has shape {labels.shape}, must be ({len(images)},): one "
            "label for each image"
        )
    values, counts = np.unique(labels, return_counts=True)
    if len(images) == 0 or counts.min() < 2:
        found = f"label {values[counts.argmin()]} once" if len(images) else "no images"
        raise InputError(
            f"{argument}: found {found}, allowed are at least two images of each "
            "label, one of them for the test split"
        )
    aside = split.set_aside(labels)
    remark = split.set_aside_remark(
        argument, int(aside.sum()), len(aside), "their positions"
    )
    train, test = ((images[part], labels[part]) for part in (~aside, aside))
    return train, test, (remark,)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Arrays under the left names of _NAMES or _WHOLE, and class_names if there."""
    found: dict[str, np.ndarray] = {}
    with Archive(path) as archive:
        names = archive.names
        splits = any(name in names for pair in _NAMES.items() for name in pair)
        whole = any(name in names for name in ("x", "images"))
        wanted = _WHOLE if whole and not splits else _NAMES
        for name, other in (*wanted.items(), ("class_names", "class_names")):
            both = sorted({name, other} & set(names))
            if len(both) > 1:
                raise InputError(
                    f"{path}: has the arrays {both[0]} and {both[1]}, which mean the "
                    "same, allowed is one of them"
                )
            if both:
                found[name] = archive.read(both[0])
            elif name in wanted:
                raise InputError(f"{path}: no array {name} (or {other}), found {names}")
    return found


def _to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim not in (3, 4):
        hint = ""
        side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
        if side > 1 and side**2 == images.shape[1]:
            hint = f"; reshape(-1, {side}, {side}) makes squares of its rows"
        raise InputError(
            f"{where} has shape {images.shape}, must be [N, H, W] or [N, H, W, C]{hint}"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        hint = ""
        if images.dtype.kind in "iu" and images.size:
            least, most = images.min(), images.max()
            hint = f"; its values are {least}..{most}"
            if 0 <= least and 1 < most <= 255:
                hint += ", which astype(numpy.uint8) keeps"
        elif images.dtype.kind == "b":
            hint = "; 255 * x.astype(numpy.uint8) makes black and white of it"
        raise InputError(
            f"{where} has dtype {images.dtype}, must be uint8 or float in [0, 1]{hint}"
        )
    allowed = (images >= 0) & (images <= 1)  # NaN is neither
    if not allowed.all():
        first = np.argmin(allowed)
        example = np.unravel_index(first, images.shape)[0]
        raise InputError(
            f"{where} has the value {images.flat[first]} in example {example}, "
            f"must be finite and in [0, 1]{_hint(images)}"
        )
    return np.rint(images * 255).astype(np.uint8)


def _hint(images: np.ndarray) -> str:
    """Suggests what brings floats to [0, 1], from their range."""
    finite = np.isfinite(images)
    if not finite.all():
        return f"; {images.size - finite.sum():,} of its values are not finite"
    least, most = images.min(), images.max()
    span = f"; its values are {least:g}..{most:g}"
    if 0 <= least and most <= 255:
        return f"{span}: divided by 255 they fit"
    if least < 0:
        return f"{span}: if they are normalised, mean and deviation must be undone"
    return span


def holds(place: Path) -> bool:
    """Whether something is called .npz."""
    return place.suffix == ".npz" and regular.found(place) != "nothing"


def scan(path: str) -> Scan:
    """Loads the data set and describes it."""
    loaded = load(path)
    return Scan.of(loaded, aside=bool(loaded.remarks))


KIND = Kind(__doc__, load, argument="PATH", place="file", holds=holds, scan=scan)
