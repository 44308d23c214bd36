"""A folder of images, one folder per class, or in a layout that is recognised."""

import dataclasses
import functools
import hashlib
import itertools
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import cifar, class_folders, source, streamed
from ddjax.data.class_folders import Listing
from ddjax.errors import InputError

_SAMPLE = 4096  # images of a stream that are examined for transparency and turns
_ORIENTATION = 0x0112  # Exif's tag for how the camera was held


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load PATH/train/CLASS/* and PATH/test/CLASS/*, or else PATH/CLASS/*.

    Which files these are, and which images are set aside as a test split where the
    folder has none, see `class_folders.find`; TinyImageNet and ImageNet are read as
    they are published. Labels follow the sorted names of the class folders, ids the
    classes in that order and within a class the sorted file names. If every image is
    grey, images have one channel, otherwise three; transparency is dropped, and the
    remarks say of how many.

    Args:
      argument: PATH.
      data_dir: unused.
      image_size: pixels per side, as in `source.resize`; required where sizes differ.

    Returns:
      The source; ids are positions in the order of labels and file names. Its remarks
      tell what was set aside or left out.

    Raises:
      InputError: as `class_folders.find`, an image is damaged, or sizes differ without
        image_size.
    """
    listing, num_channels = _found(argument)
    lost = _Lost()
    read = [
        _read(listing, files, num_channels, image_size, lost)
        for files in (listing.train, listing.test)
    ]
    total = sum(len(labels) for _, labels in read)
    remarks = lost.remarks(argument, total)
    return _source(argument, listing, remarks, *read, image_size)


def stream(argument: str, data_dir: str | None, image_size: int) -> source.Source:
    """Like `load`, but images stay in their files until they are asked for.

    Args:
      argument: PATH.
      data_dir: unused.
      image_size: pixels per side, as in `jpeg.decode`.

    Returns:
      The source, with the ids of `load`; its images are `streamed.Images`.

    Raises:
      InputError: as `load`; but a damaged image is met only when it is asked for.
    """
    listing, num_channels = _found(argument)
    read = []
    for files in (listing.train, listing.test):
        images = streamed.Images(_Files(listing, files), image_size, num_channels)
        read.append((images, _labels(files)))
    paths = _paths(listing, listing.train) + _paths(listing, listing.test)
    lost, count = _Lost(), min(_SAMPLE, len(paths))
    for index in np.arange(count) * len(paths) // count:
        with source.opened(paths[index], paths[index]) as image:
            lost.look(paths[index], image)
    return _source(argument, listing, lost.remarks(argument, len(paths)), *read)


class _Files:
    """The image files of a split: `streamed.Records`, and their paths."""

    def __init__(self, listing: Listing, files: dict[str, list[str]]):
        digest = hashlib.sha256()
        for name in itertools.chain(*files.values()):
            try:
                size = (listing.root / name).stat().st_size
            except OSError as error:
                path = listing.root / name
                raise InputError(f"{path}: cannot be read: {error.strerror}") from error
            digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        self.identity = digest.hexdigest()
        self.paths = _paths(listing, files)

    def __len__(self) -> int:
        return len(self.paths)

    def describe(self, position: int) -> str:
        return self.paths[position]

    def read(self, position: int) -> bytes:
        return regular.read(self.paths[position])


def _found(argument: str) -> tuple[Listing, int]:
    """The files of a folder, and the number of their channels."""
    root = regular.expanded(argument)
    if cifar.found(root):
        raise InputError(
            f"folder:{argument}: has files of CIFAR, which cifar:{argument} reads"
        )
    listing = class_folders.find(root)
    paths = (*_paths(listing, listing.train), *_paths(listing, listing.test))
    return listing, 1 if all(_is_grey(path) for path in paths) else 3


def _source(
    argument: str, listing: Listing, remarks, train, test, image_size=None
) -> source.Source:
    made = source.from_arrays(
        f"folder:{argument}", tuple(listing.train), train, test, image_size
    )
    return dataclasses.replace(
        made,
        root=str(listing.root),
        paths=tuple(itertools.chain(*listing.train.values())),
        remarks=listing.remarks + remarks,
    )


class _Lost:
    """What of the images is dropped: transparency, turns, further frames."""

    def __init__(self):
        self._found: dict[str, dict[str, None]] = {}  # what -> paths, in order
        self._seen: dict[str, None] = {}

    def look(self, path: str, image: Any) -> None:
        """Notes it of an image of Pillow; from several threads, and more than once."""
        self._seen[path] = None
        if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
            self._note("have transparency, which is dropped", path)
        if image.getexif().get(_ORIENTATION, 1) != 1:
            self._note("say that they are turned (Exif), and are read as stored", path)
        if getattr(image, "n_frames", 1) > 1:
            self._note("have several frames, of which the first is read", path)

    def _note(self, what: str, path: str) -> None:
        self._found.setdefault(what, {})[path] = None

    def remarks(self, argument: str, total: int) -> tuple[str, ...]:
        """Returns a sentence each.

        Args:
          argument: PATH.
          total: number of images, of which some or all were examined.
        """
        of = f"{len(self._seen):,}"
        if len(self._seen) < total:
            of += f" (examined, of {total:,})"
        return tuple(
            f"folder:{argument}: {len(paths):,} of {of} images {what}, such as "
            f"{min(paths)}"
            for what, paths in sorted(self._found.items())
        )


def _is_grey(path: str) -> bool:
    with source.opened(path, path) as image:
        return image.mode in ("1", "L", "LA")


def _paths(listing: Listing, files: dict[str, list[str]]) -> list[str]:
    return [str(listing.root / name) for name in itertools.chain(*files.values())]


def _read(
    listing: Listing,
    files: dict[str, list[str]],
    num_channels: int,
    image_size: int | None,
    lost: _Lost,
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, C] uint8 and labels [N] of one split."""
    paths = _paths(listing, files)

    def read_image(position: int) -> np.ndarray:
        path = paths[position]
        return source.decode(
            path, num_channels, path, functools.partial(lost.look, path)
        )

    images = source.gather(read_image, len(paths), image_size, paths.__getitem__)
    return images, _labels(files)


def _labels(files: dict[str, list[str]]) -> np.ndarray:
    counts = [len(class_paths) for class_paths in files.values()]
    return np.repeat(np.arange(len(files)), counts)
