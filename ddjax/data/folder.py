"""A folder of PNG and JPEG images, one folder per class."""

import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from ddjax.data import source, streamed
from ddjax.errors import InputError

_SUFFIXES = (".png", ".jpg", ".jpeg")


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> source.Source:
    """Load PATH/train/CLASS/*.png and PATH/test/CLASS/*.png (or .jpg, .jpeg).

    PATH/val takes the place of PATH/test where that is absent. Labels follow the
    sorted names of the class folders, ids the classes in that order and within a class
    the sorted file names; upper case sorts before lower case. Names that begin with a
    dot and files with other suffixes are passed over. If every image is grey, images
    have one channel, otherwise three; transparency is dropped.

    Args:
      argument: PATH.
      data_dir: unused.
      image_size: pixels per side, as in `source.resize`; required where sizes differ.

    Returns:
      The source; ids are positions in the order of labels and file names.

    Raises:
      InputError: a folder is missing or a class folder empty, the two splits have
        different classes, an image is damaged, or sizes differ without image_size.
    """
    name = f"folder:{argument}"
    (train, test), num_channels = _splits(name, Path(argument).expanduser())
    return source.from_arrays(
        name,
        tuple(train),
        _read(train, num_channels, image_size),
        _read(test, num_channels, image_size),
        image_size,
    )


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
    name = f"folder:{argument}"
    splits, num_channels = _splits(name, Path(argument).expanduser())
    read = []
    for files in splits:
        images = streamed.Images(_Files(files), image_size, num_channels)
        read.append((images, _labels(files)))
    return source.from_arrays(name, tuple(splits[0]), *read)


class _Files:
    """The image files of a split: `streamed.Records`."""

    def __init__(self, files: dict[str, list[Path]]):
        digest = hashlib.sha256()
        for path in itertools.chain(*files.values()):
            name = "/".join(path.parts[-3:])  # split, class, file
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        self.identity = digest.hexdigest()
        self._paths = [str(path) for path in itertools.chain(*files.values())]

    def __len__(self) -> int:
        return len(self._paths)

    def describe(self, position: int) -> str:
        return self._paths[position]

    def read(self, position: int) -> bytes:
        try:
            return Path(self._paths[position]).read_bytes()
        except OSError as error:
            raise InputError(f"{self._paths[position]}: {error.strerror}") from error


def _splits(name: str, root: Path) -> tuple[list[dict[str, list[Path]]], int]:
    """The files of train and test, by class, and the number of their channels."""
    splits = [root / "train", root / "test"]
    if (root / "val").is_dir() and not splits[1].is_dir():
        splits[1] = root / "val"
    train, test = (_files(split) for split in splits)
    if train.keys() != test.keys():
        raise InputError(
            f"{name}: the splits must have the same classes; only in {splits[0].name}: "
            f"{sorted(train.keys() - test)}, only in {splits[1].name}: "
            f"{sorted(test.keys() - train)}"
        )
    paths = itertools.chain(*train.values(), *test.values())
    return [train, test], 1 if all(_is_grey(path) for path in paths) else 3


def _files(split: Path) -> dict[str, list[Path]]:
    """Class name -> its image files, both sorted by name."""
    if not split.is_dir():
        raise InputError(f"{split}: no such folder; it must hold one folder per class")
    files = {}
    for name in sorted(entry.name for entry in os.scandir(split) if entry.is_dir()):
        if name.startswith("."):
            continue
        paths = [
            split / name / file
            for file in sorted(os.listdir(split / name))
            if file.lower().endswith(_SUFFIXES) and not file.startswith(".")
        ]
        if not paths:
            raise InputError(f"{split / name}: class folder without a PNG or JPEG file")
        files[name] = paths
    if not files:
        raise InputError(f"{split}: no class folders")
    return files


def _is_grey(path: Path) -> bool:
    with source.opened(path, str(path)) as image:
        return image.mode in ("1", "L", "LA")


def _read(
    files: dict[str, list[Path]], num_channels: int, image_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, C] uint8 and labels [N] of one split."""
    paths = [str(path) for class_paths in files.values() for path in class_paths]

    def read_image(position: int) -> np.ndarray:
        return source.decode(paths[position], num_channels, paths[position])

    images = source.gather(read_image, len(paths), image_size, paths.__getitem__)
    return images, _labels(files)


def _labels(files: dict[str, list[Path]]) -> np.ndarray:
    counts = [len(class_paths) for class_paths in files.values()]
    return np.repeat(np.arange(len(files)), counts)
