"""Fashion-MNIST: 70,000 grey images of 28 x 28, ten classes of clothing."""

import dataclasses
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.data import idx, source, tfds
from ddjax.errors import InputError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load Fashion-MNIST from its four idx files, gzipped or not, or through TFDS.

    Looked for in this order: the idx files in `data_dir`; the idx files where Debian's
    package dataset-fashion-mnist puts them; TFDS's "fashion_mnist" in `data_dir` or
    TFDS's own folder. TFDS keeps the images in another order than the idx files: ids
    and digest differ between the two, and agree within each.

    Args:
      argument: unused, "".
      data_dir: a folder, or None.
      image_size: pixels per side, None for the original 28.

    Returns:
      The source; ids are positions in the files of the split.

    Raises:
      InputError: found nowhere, or a file is missing or damaged.
    """
    for folder in (data_dir, DEBIAN_FOLDER):
        paths = _find(folder) if folder else []
        if paths:
            train, test = _read(*paths[:2]), _read(*paths[2:])
            return source.from_arrays("fashion_mnist", CLASSES, train, test, image_size)
    try:
        prepared = tfds.load("fashion_mnist", data_dir, image_size)
    except InputError as error:
        raise InputError(
            "fashion_mnist: no idx files found; install Debian's package "
            "dataset-fashion-mnist, or data_dir=FOLDER names the folder that holds "
            f"{_FILES[0]}.gz and its three companions, or use TFDS: {error}"
        ) from error
    return dataclasses.replace(prepared, name="fashion_mnist")


def _find(folder: str) -> list[Path]:
    """The four files in the order of _FILES, or none of them."""
    found, missing = [], []
    for name in _FILES:
        paths = [Path(folder, name), Path(folder, f"{name}.gz")]
        existing = [path for path in paths if regular.is_file(path)]
        found += existing[:1]
        missing += [] if existing else [name]
    if found and missing:
        raise InputError(f"fashion_mnist: {folder} lacks {missing[0]} or its .gz")
    return found


def _read(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = idx.read(images_path, 3), idx.read(labels_path, 1)
    if len(images) != len(labels):
        raise InputError(
            f"{labels_path}: {len(labels)} labels, but {images_path} has "
            f"{len(images)} images"
        )
    return images, labels
