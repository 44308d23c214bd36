"""What a data set looks like, before it is loaded: class sizes, sides, colours."""

import dataclasses

import numpy as np

from ddjax import regular
from ddjax.data import cifar, class_folders, npz, source
from ddjax.errors import InputError

SAMPLE = 4096  # image files whose headers are read, spread evenly over all


@dataclasses.dataclass(frozen=True)
class Scan:
    """What was found.

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


def scan(path: str) -> Scan:
    """Looks at a data set; of a folder only names and the headers of some images.

    Args:
      path: a folder as `class_folders.find` reads it, or one of CIFAR's files, see
        `cifar.load`, or an .npz file as `npz.load` does; the last two are loaded.

    Raises:
      InputError: there is neither, or what is there is no data set.
    """
    place = regular.expanded(path)
    if regular.is_folder(place):
        if cifar.found(place):
            return _arrays(cifar.load(path), aside=False)
        return _folder(path, class_folders.find(place))
    if place.suffix == ".npz" and regular.found(place) != "nothing":
        loaded = npz.load(path)
        return _arrays(loaded, aside=bool(loaded.remarks))
    raise InputError(
        f"--data: found {path!r}, allowed is a folder with a folder of images for each "
        "class, one of CIFAR's own, or an .npz file"
    )


def _folder(path: str, listing: class_folders.Listing) -> Scan:
    names = [
        name
        for split in (listing.train, listing.test)
        for files in split.values()
        for name in files
    ]
    count = min(SAMPLE, len(names))
    sizes, grey = [], []
    for index in np.arange(count) * len(names) // count:
        place = str(listing.root / names[index])
        with source.opened(place, place) as image:
            sizes.append(image.size)
            grey.append(image.mode in ("1", "L", "LA"))
    shorter = np.min(sizes, axis=1)
    train = listing.train
    return Scan(
        source=f"folder:{path}",
        classes=tuple(train),
        counts=tuple(map(len, train.values())),
        test=sum(map(len, listing.test.values())),
        aside=listing.aside,
        sides=(int(shorter.min()), int(np.median(shorter)), int(shorter.max())),
        square=len({side for size in sizes for side in size}) == 1,
        channels=1 if all(grey) else 3,
    )


def _arrays(loaded: source.Source, aside: bool) -> Scan:
    height, width, channels = loaded.shape
    counts = np.bincount(loaded.train.labels, minlength=loaded.num_classes)
    return Scan(
        source=loaded.name,
        classes=loaded.classes,
        counts=tuple(counts.tolist()),
        test=len(loaded.test),
        aside=aside,
        sides=(min(height, width),) * 3,
        square=height == width,
        channels=channels,
    )
