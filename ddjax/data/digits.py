"""scikit-learn's handwritten digits: 1797 grey images of 8 x 8, ten classes."""

import importlib.util
from pathlib import Path

import numpy as np

from ddjax.data.source import Kind, Source, from_arrays
from ddjax.errors import InputError

_TEST_EVERY = 5


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load the digits that scikit-learn ships.

    There is no official split. Of each class, in the order of the file, every fifth
    example (the 5th, the 10th, ...) is test, the others are train: 1442 and 355. The
    split is the same for ever and needs no random numbers; like any split by example,
    it has the same writers on both sides. Values 0 .. 16 become 0 .. 255, rounded to
    the nearest.

    Ids are positions in the split, in the order of the file.

    Raises:
      InputError: scikit-learn or its file is not there.
    """
    table = np.loadtxt(_path(), delimiter=",", dtype=np.int64)
    images = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = table[:, -1]
    is_test = np.zeros(len(labels), bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return from_arrays(
        "digits",
        tuple("0123456789"),
        (images[~is_test], labels[~is_test]),
        (images[is_test], labels[is_test]),
        image_size,
    )


def _path() -> Path:
    # The file behind sklearn.datasets.load_digits: importing sklearn costs seconds.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InputError("digits: needs the package scikit-learn, which has the images")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise InputError(f"digits: this scikit-learn has no {path}")
    return path


KIND = Kind(__doc__, load)
