"""A NumPy archive with the arrays of both splits."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ddjax.data import source
from ddjax.errors import InputError

_NAMES = {  # each array, and its other name
    "x_train": "train_images",
    "y_train": "train_labels",
    "x_test": "test_images",
    "y_test": "test_labels",
}


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load an .npz file with x_train, y_train, x_test, y_test.

    The names train_images, train_labels, test_images, test_labels do as well. Images
    are [N, H, W] or [N, H, W, C], either uint8, or float in [0, 1], which becomes
    uint8 by rounding 255 times the value. An optional array class_names has K strings;
    without it there are as many classes as y_train has
    different labels, called "0", "1", and so on.

    Args:
      argument: path of the file. Pickled objects in it are refused.
      data_dir: unused.
      image_size: pixels per side, as in `source.resize`.

    Returns:
      The source; ids are positions in the arrays.

    Raises:
      InputError: the file is damaged, lacks an array, or has an image or label that
        is not allowed.
    """
    arrays = _read(Path(argument).expanduser())
    splits = [
        (
            _to_uint8(arrays[f"x_{split}"], f"{argument}: x_{split}"),
            arrays[f"y_{split}"],
        )
        for split in ("train", "test")
    ]
    names = arrays.get("class_names")
    if names is None:
        names = np.arange(len(np.unique(arrays["y_train"]))).astype(str)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise InputError(
            f"{argument}: class_names has dtype {names.dtype} and shape {names.shape}, "
            "must be strings of shape [K]"
        )
    return source.from_arrays(
        f"npz:{argument}", tuple(names.tolist()), *splits, image_size
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays under the names on the left of _NAMES, and class_names if there."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: missing, damaged, or not an .npz file")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = sorted(archive.files)
            for name, other in (*_NAMES.items(), ("class_names", "class_names")):
                key = name if name in found else other
                if key in found:
                    arrays[name] = archive[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    for name, other in _NAMES.items():
        if name not in arrays:
            raise InputError(f"{path}: no array {name} (or {other}), found {found}")
    return arrays


def _to_uint8(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim not in (3, 4):
        raise InputError(
            f"{where} has shape {images.shape}, must be [N, H, W] or [N, H, W, C]"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InputError(
            f"{where} has dtype {images.dtype}, must be uint8 or float in [0, 1]"
        )
    allowed = (images >= 0) & (images <= 1)  # NaN is neither
    if not allowed.all():
        first = np.argmin(allowed)
        example = np.unravel_index(first, images.shape)[0]
        raise InputError(
            f"{where} has the value {images.flat[first]} in example {example}, "
            "must be finite and in [0, 1]"
        )
    return np.rint(images * 255).astype(np.uint8)
