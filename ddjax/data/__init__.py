"""Where images come from: named sources, their splits, and files of both."""

import itertools

from ddjax import regular
from ddjax.data import (
    checks,
    cifar,
    digits,
    fashion_mnist,
    folder,
    glyphs,
    npz,
    optional,
    tfds,
)
from ddjax.data.checks import likeness
from ddjax.data.exchange import (
    read_features,
    read_scores,
    read_subset,
    texts,
    write_scores,
    write_subset,
)
from ddjax.data.image_sets import (
    ImageSet,
    Rounding,
    read_image_set,
    rounding,
    write_image_set,
)
from ddjax.data.image_sets.files import check_export, write_export
from ddjax.data.source import Examples, Facts, Kind, Scan, Source, blank, from_arrays
from ddjax.data.split import split_validation, thin
from ddjax.errors import InputError

__all__ = [
    "SOURCES",
    "Examples",
    "Facts",
    "ImageSet",
    "Kind",
    "Rounding",
    "Scan",
    "Source",
    "blank",
    "check_export",
    "check_name",
    "facts",
    "from_arrays",
    "likeness",
    "listed",
    "load",
    "read_features",
    "read_image_set",
    "read_scores",
    "read_subset",
    "rounding",
    "scan",
    "split_validation",
    "texts",
    "thin",
    "write_export",
    "write_image_set",
    "write_scores",
    "write_subset",
]


def __dir__() -> list[str]:
    return __all__


# What a name begins with -> the declaration in its file. Of several kinds that hold
# what lies at a path, the first one reads it.
SOURCES: dict[str, Kind] = {
    "digits": digits.KIND,
    "fashion_mnist": fashion_mnist.KIND,
    "tfds": tfds.KIND,
    "cifar": cifar.KIND,
    "folder": folder.KIND,
    "npz": npz.KIND,
    "glyphs": glyphs.KIND,
}


def listed() -> dict[str, str]:
    """Returns a line on each kind of source, and on each data set with facts."""
    lines = {_usage(name): kind.summary for name, kind in SOURCES.items()}
    for name, kind in SOURCES.items():
        for argument, known in kind.facts.items():
            lines.setdefault(
                f"{name}:{argument}" if argument else name,
                f"{known.train:,} training and {known.test:,} test images of "
                f"{known.classes:,} classes; can be planned where it is not",
            )
    return lines


def _usage(name: str) -> str:
    """How a source is named, such as "folder:PATH"."""
    argument = SOURCES[name].argument
    return f"{name}:{argument}" if argument else name


def check_name(name: str) -> None:
    """Checks the name of a source without loading it.

    Args:
      name: of `SOURCES`, and after a colon what the kind takes as its argument, such as
        "digits" or "folder:PATH".

    Raises:
      InputError: no such source, its argument is missing or superfluous, or the path
        does not exist.
    """
    kind, colon, argument = name.partition(":")
    found = SOURCES.get(kind)
    if not found or {bool(colon), bool(argument)} != {bool(found.argument)}:
        raise InputError(
            f"source: found {name!r}, allowed is one of "
            f"{', '.join(map(_usage, SOURCES))}"
        )
    is_there = {"folder": regular.is_folder, "file": regular.is_file}.get(found.place)
    if is_there and not is_there(argument):
        path = regular.expanded(argument)
        raise InputError(
            f"source {name!r}: there is no {found.place} {path}, found "
            f"{regular.found(path)}"
        )


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int | None = None,
    stream: bool = False,
) -> Source:
    """Loads a source by name, all of it into memory unless it is streamed.

    Args:
      name: as in `check_name`.
      data_dir: folder of the idx files of fashion_mnist, or TFDS's folder; None for
        their usual places. The other sources do not use it.
      image_size: if given, every image of both splits is brought to this many pixels
        per side, as by `ddjax.data.images.resize`.
      stream: leave the images in their files and decode what is indexed, see
        `images.Streamed`; of kinds with a stream, and with image_size, as in
        `images.decode_square`.

    Returns:
      The source; mean, std and digest are of the images at their final size. Its
      remarks state what is odd about it, such as test images that are also training
      images.

    Raises:
      InputError: as `check_name`; data_dir is not a folder; image_size is below 1, or
        missing with `stream`; the source cannot be streamed, or a package that it needs
        is not installed; another source reads what lies at the path; or the data are
        missing, damaged or not a classification problem; or no images, see
        `checks.plausible`.
    """
    check_name(name)
    if data_dir is not None:
        data_dir = str(regular.expanded(data_dir))
        if not regular.is_folder(data_dir):
            raise InputError(f"data_dir: there is no folder {data_dir!r}")
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size: found {image_size}, allowed is at least 1")
    kind, _, argument = name.partition(":")
    if SOURCES[kind].holds is not None:
        path = regular.expanded(argument)
        for other in itertools.takewhile(lambda other: other != kind, SOURCES):
            holds = SOURCES[other].holds
            if holds is not None and holds(path):
                raise InputError(f"{name}: has files that {other}:{argument} reads")
    if not stream:
        return checks.inspect(SOURCES[kind].load(argument, data_dir, image_size))
    streams = SOURCES[kind].stream
    if streams is None:
        allowed = [_usage(name) for name in SOURCES if SOURCES[name].stream]
        raise InputError(
            f"source: found {name!r}, which has no stream, allowed is "
            f"{' and '.join(allowed)}"
        )
    if image_size is None:
        raise InputError(
            f"image_size: found None, but images of {name} are streamed; "
            "image_size=PIXELS brings all to one size"
        )
    optional.require(("grain", "simplejpeg"), "stream=True")
    return checks.inspect(streams(argument, data_dir, image_size))


def scan(path: str) -> Scan:
    """Describes a data set; of a folder it reads only names and some images' headers.

    Args:
      path: what a kind of source holds.

    Raises:
      InputError: none does, or what is there is no data set.
    """
    place = regular.expanded(path)
    kinds = {name: kind for name, kind in SOURCES.items() if kind.scan and kind.holds}
    for kind in kinds.values():
        if kind.scan and kind.holds and kind.holds(place):
            return kind.scan(path)
    allowed = [f"{name} ({kind.summary.rstrip('.')})" for name, kind in kinds.items()]
    raise InputError(
        f"--data: found {path!r}, allowed is the path of a source: {'; '.join(allowed)}"
    )


def facts(name: str) -> Facts | None:
    """Returns what is known of a source without reading it, None if nothing is.

    Args:
      name: as in `check_name`; of a path only its last part counts, of a TFDS name all
        but the version.
    """
    kind, _, argument = name.partition(":")
    return SOURCES[kind].known(argument) if kind in SOURCES else None
