"""Where images come from: named sources, and splits of their training examples."""

import dataclasses
from collections.abc import Callable

from ddjax import regular
from ddjax.data import (
    cifar,
    copies,
    digits,
    fashion_mnist,
    folder,
    npz,
    optional,
    tfds,
    valid,
)
from ddjax.data.exchange import (
    read_features,
    read_scores,
    read_subset,
    write_scores,
    write_subset,
)
from ddjax.data.identities import texts
from ddjax.data.image_set import ImageSet, read_image_set, write_image_set
from ddjax.data.source import Examples, Source, from_arrays
from ddjax.data.split import split_validation, thin
from ddjax.errors import InputError

__all__ = [
    "ARGUMENTS",
    "SOURCES",
    "Examples",
    "ImageSet",
    "Source",
    "check_name",
    "from_arrays",
    "load",
    "read_features",
    "read_image_set",
    "read_scores",
    "read_subset",
    "split_validation",
    "texts",
    "thin",
    "write_image_set",
    "write_scores",
    "write_subset",
]


def __dir__() -> list[str]:
    return __all__


# name -> load(argument, data_dir, image_size); the argument follows the name's colon.
SOURCES: dict[str, Callable[[str, str | None, int | None], Source]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "tfds": tfds.load,
    "folder": folder.load,
    "npz": npz.load,
    "cifar": cifar.load,
}
# What a source is loaded by where its images are to stay in their files.
_STREAMS = {"tfds": tfds.stream, "folder": folder.stream}
ARGUMENTS = {"tfds": "NAME", "folder": "PATH", "npz": "PATH", "cifar": "PATH"}
_FOLDERS, _FILES = ("folder", "cifar"), ("npz",)


def check_name(name: str) -> None:
    """Check the name of a source without loading it.

    Args:
      name: "digits", "fashion_mnist", "tfds:NAME", "folder:PATH", "npz:PATH" or
        "cifar:PATH".

    Raises:
      InputError: no such source, its argument is missing or superfluous, or the path
        does not exist.
    """
    kind, colon, argument = name.partition(":")
    if kind not in SOURCES or {bool(colon), bool(argument)} != {kind in ARGUMENTS}:
        known = [
            f"{kind}:{ARGUMENTS[kind]}" if kind in ARGUMENTS else kind
            for kind in SOURCES
        ]
        raise InputError(
            f"source: found {name!r}, allowed is one of {', '.join(known)}"
        )
    if kind in _FOLDERS and not regular.is_folder(argument):
        path = regular.expanded(argument)
        raise InputError(
            f"source {name!r}: there is no folder {path}, found {regular.found(path)}"
        )
    if kind in _FILES and not regular.is_file(argument):
        path = regular.expanded(argument)
        raise InputError(
            f"source {name!r}: there is no file {path}, found {regular.found(path)}"
        )


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    stream: bool = False,
) -> Source:
    """Load a source by name, all of it into memory unless it is streamed.

    Args:
      name: as in `check_name`.
      data_dir: folder of the idx files of fashion_mnist, or TFDS's folder; None for
        their usual places. The other sources do not use it.
      image_size: if given, every image of both splits is brought to this many pixels
        per side, as by `ddjax.data.source.resize`.
      stream: leave the images in their files and decode what is asked for, see
        `streamed.Images`; of "tfds:NAME" and "folder:PATH", and with image_size, as
        in `jpeg.decode`.

    Returns:
      The source; mean, std and digest are of the images at their final size. Its
      remarks tell what is odd about it, such as test images that are also training
      images.

    Raises:
      InputError: as `check_name`; data_dir is not a folder; image_size is below 1, or
        missing with `stream`; the source cannot be streamed, or a package that it needs
        is not installed; or the data are missing, damaged or not a classification
        problem; or no images, see `valid.plausible`.
    """
    check_name(name)
    if data_dir is not None:
        data_dir = str(regular.expanded(data_dir))
        if not regular.is_folder(data_dir):
            raise InputError(f"data_dir: there is no folder {data_dir!r}")
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size: found {image_size}, allowed is at least 1")
    kind, _, argument = name.partition(":")
    if stream:
        if kind not in _STREAMS:
            allowed = " and ".join(f"{kind}:{ARGUMENTS[kind]}" for kind in _STREAMS)
            raise InputError(
                f"source: found {name!r}, which has no stream, allowed is {allowed}"
            )
        if image_size is None:
            raise InputError(
                f"image_size: found None, but images of {name} are streamed; "
                "image_size=PIXELS brings all to one size"
            )
        optional.require(("grain", "simplejpeg"), "stream=True")
        return _inspected(_STREAMS[kind](argument, data_dir, image_size))
    return _inspected(SOURCES[kind](argument, data_dir, image_size))


def _inspected(source: Source) -> Source:
    """The source with remarks on its images; refused if they cannot be right."""
    remarks = source.remarks
    for name, split in (("train", source.train), ("test", source.test)):
        remarks += valid.plausible(source.name, name, split.images)
    remarks += valid.balance(source) + copies.remarks(source)
    return dataclasses.replace(source, remarks=remarks)
