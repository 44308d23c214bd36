"""Public facts of the literature's data sets, for plans made where they are not.

Sources: the pages of TFDS's catalogue (fashion_mnist, cifar10, cifar100, imagenet2012,
imagenette), the README of fastai/imagenette for ImageWoof (v2), that of Stanford's
CS231n for TinyImageNet, whose labelled validation images serve as test images, and the
page of CIFAR's authors for the names of their folders.
"""

import dataclasses
import pathlib

import numpy as np

from ddjax.data.source import Examples, Source
from ddjax.errors import InputError


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


FACTS = {
    "fashion_mnist": Facts(60_000, 10_000, 10, (28, 28, 1)),
    "tfds:cifar10": Facts(50_000, 10_000, 10, (32, 32, 3)),
    "tfds:cifar100": Facts(50_000, 10_000, 100, (32, 32, 3)),
    "tfds:imagenet2012": Facts(1_281_167, 50_000, 1000, (0, 0, 3)),
    "tfds:imagenette/full-size-v2": Facts(9_469, 3_925, 10, (0, 0, 3)),
    "folder:imagewoof": Facts(9_025, 3_929, 10, (0, 0, 3)),
    "folder:tiny_imagenet": Facts(100_000, 10_000, 200, (64, 64, 3)),
    "folder:tiny-imagenet-200": Facts(100_000, 10_000, 200, (64, 64, 3)),
    "cifar:cifar-10-batches-py": Facts(50_000, 10_000, 10, (32, 32, 3)),
    "cifar:cifar-10-batches-bin": Facts(50_000, 10_000, 10, (32, 32, 3)),
    "cifar:cifar-100-python": Facts(50_000, 10_000, 100, (32, 32, 3)),
    "cifar:cifar-100-binary": Facts(50_000, 10_000, 100, (32, 32, 3)),
}


def known(name: str) -> Facts | None:
    """Returns the facts of a source, None if there are none.

    Args:
      name: as in `ddjax.data.check_name`; of a folder only its last part counts, of a
        TFDS name all but the version.
    """
    kind, colon, argument = name.partition(":")
    if kind in ("folder", "cifar"):
        argument = pathlib.Path(argument).name
    return FACTS.get(f"{kind}{colon}{argument.partition(':')[0]}")


def stand_in(name: str, image_size: int | None = None) -> Source:
    """Returns a source of the right size that holds no pixels.

    Its classes are equally large, or one image apart, and its images one black pixel
    seen again and again, so that it takes next to no memory.

    Args:
      name: of a source with facts.
      image_size: pixels per side; None as they come.

    Raises:
      InputError: no such facts, or images of different sizes without `image_size`.
    """
    facts = known(name)
    if facts is None:
        raise InputError(f"source: found {name!r}, known are {', '.join(FACTS)}")
    height, width, channels = facts.shape
    if image_size:
        height = width = image_size
    if not height:
        raise InputError(
            f"image_size: found {image_size}, but the images of {name} differ in size, "
            "allowed is a number of pixels"
        )

    def examples(count):
        ids = np.arange(count, dtype=np.int32)
        labels = ids % np.int32(facts.classes)
        return Examples(blank(count, (height, width, channels)), labels, ids)

    names = tuple(str(label) for label in range(facts.classes))
    return _Blank(name, names, examples(facts.train), examples(facts.test))


def blank(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns `count` black images of a shape, which take no memory, read-only."""
    return np.broadcast_to(np.uint8(0), (count, *shape))


class _Blank(Source):
    """A source whose mean and deviation are not to be counted."""

    @property
    def _moments(self):
        channels = self.shape[2]
        return (0.5,) * channels, (0.25,) * channels
