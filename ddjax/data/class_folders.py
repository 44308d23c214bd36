"""Which images a folder holds: one folder a class, with or without splits."""

import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from ddjax.data import split
from ddjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The image files of both splits.

    Attributes:
      root: the folder.
      train: class name -> its files below the root, "/" between the parts; classes and
        files are sorted by name, upper case before lower case.
      test: the same classes, with the files of the test split.
      aside: whether the test split had to be set aside.
      remarks: what was set aside or left out, a sentence each.
    """

    root: Path
    train: dict[str, list[str]]
    test: dict[str, list[str]]
    aside: bool
    remarks: tuple[str, ...]


def find(root: Path) -> Listing:
    """Lists ROOT/train/CLASS/* and ROOT/test/CLASS/*, or else ROOT/CLASS/*.

    ROOT/val takes the place of ROOT/test where that is absent. Without splits, a fifth
    of each class, at least one image, is set aside as the test split, by a hash of
    class and file name: a file that is added or removed moves hardly any other.
    Images are files with the suffixes .png, .jpg or .jpeg directly in a class's
    folder. Names that begin with a dot are passed over.

    Args:
      root: the folder.

    Returns:
      The files; no image was opened.

    Raises:
      InputError: a folder is missing or has no images, the two splits have different
        classes, or a class has a single image to divide.
    """
    left_out = _LeftOut(root)
    if any(_is_split(root / name) for name in ("train", "test", "val")):
        train, test = _of_splits(root, left_out)
        return Listing(root, train, test, False, left_out.remarks())
    files = _of_classes(root, left_out)
    train, test = {}, {}
    for name, paths in files.items():
        if len(paths) < 2:
            raise InputError(
                f"{root / name}: class folder with a single image, allowed are at "
                "least two, one of them for the test split"
            )
        aside = split.set_aside(
            np.zeros(len(paths), np.int32), np.array([_key(path) for path in paths])
        )
        train[name] = list(itertools.compress(paths, ~aside))
        test[name] = list(itertools.compress(paths, aside))
    remark = split.set_aside_remark(
        str(root), _count(test), _count(files), "their names"
    )
    return Listing(root, train, test, True, (remark, *left_out.remarks()))


class _LeftOut:
    """Files that are not read, by reason: how many, and the first of them."""

    def __init__(self, root: Path):
        self._root = root
        self._found = {}

    def add(self, reason: str, path: Path, count: int = 1) -> None:
        before, first = self._found.get(reason, (0, path))
        self._found[reason] = (before + count, first)

    def remarks(self) -> tuple[str, ...]:
        if not self._found:
            return ()
        parts = [
            f"{reason} ({count:,}, as {first.relative_to(self._root)})"
            for reason, (count, first) in self._found.items()
        ]
        return (f"left out of {self._root}: {', '.join(parts)}",)


def _is_split(folder: Path) -> bool:
    """Whether a folder is no class's: it holds no image itself."""
    return folder.is_dir() and not any(
        name.lower().endswith(SUFFIXES) for name in os.listdir(folder)
    )


def _of_splits(root: Path, left_out: _LeftOut) -> list[dict[str, list[str]]]:
    splits = [root / "train", root / "test"]
    if (root / "val").is_dir():
        if splits[1].is_dir():
            left_out.add("a folder beside train and test", root / "val")
        else:
            splits[1] = root / "val"
    train, test = (_of_split(folder, left_out) for folder in splits)
    if train.keys() != test.keys():
        raise InputError(
            f"folder:{root}: the splits must have the same classes; only in "
            f"{splits[0].name}: {sorted(train.keys() - test)}, only in "
            f"{splits[1].name}: {sorted(test.keys() - train)}"
        )
    return [train, test]


def _of_split(folder: Path, left_out: _LeftOut) -> dict[str, list[str]]:
    if not folder.is_dir():
        hint = ""
        if folder.name == "test":
            train = folder.with_name("train")
            hint = f"; folder:{train} sets a part of its images aside as one"
        raise InputError(
            f"{folder}: no such folder; it must hold one folder per class{hint}"
        )
    return _of_classes(folder, left_out, folder.parent)


def _of_classes(
    folder: Path, left_out: _LeftOut, root: Path | None = None
) -> dict[str, list[str]]:
    """Class name -> its image files below the root, both sorted by name."""
    root = folder if root is None else root
    files = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            left_out.add("files beside the class folders", Path(entry.path))
            continue
        files[entry.name] = _of_class(Path(entry.path), left_out, root)
    if not files:
        raise InputError(
            f"{folder}: no class folders; allowed are {root}/CLASS/*.png (or .jpg, "
            f".jpeg), or {root}/train/CLASS/*.png and {root}/test/CLASS/*.png"
        )
    return files


def _of_class(folder: Path, left_out: _LeftOut, root: Path) -> list[str]:
    images, deeper, prefix = [], None, folder.relative_to(root).as_posix()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            below = _images_below(Path(entry.path))
            if below:
                deeper = deeper or below[0]
                reason = "images in folders inside a class folder"
                left_out.add(reason, below[0], len(below))
        elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
            images.append(f"{prefix}/{entry.name}")
        else:
            left_out.add("files that are no PNG or JPEG", Path(entry.path))
    if not images:
        hint = f"; its images lie deeper, as {deeper}" if deeper else ""
        raise InputError(f"{folder}: class folder without a PNG or JPEG file{hint}")
    return images


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _key(path: str) -> np.uint64:
    """A hash of class and file name, the same wherever the folder lies."""
    digest = hashlib.sha256(os.fsencode(path)).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def _count(files: dict[str, list[str]]) -> int:
    return sum(map(len, files.values()))
