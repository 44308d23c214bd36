"""Which images a folder holds: one folder a class, with or without splits."""

import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from ddjax import regular
from ddjax.data import split
from ddjax.data.files import truth
from ddjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
READ = "PNG, JPEG, BMP or WebP"
_OTHERS = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg", ".npy")
_KAGGLE = "ILSVRC/Data/CLS-LOC"  # where the images of Kaggle's ImageNet lie
_INSIDE = "images"  # folder of a class's images, as in TinyImageNet


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

    ROOT/val takes the place of ROOT/test where that is absent or cannot be used.
    Without splits, a fifth of each class, at least one image, is set aside as the test
    split, by a hash of class and file name: a file that is added or removed moves
    hardly any other. Images are files with a suffix of `SUFFIXES` directly in a class's
    folder, or in its folder "images", as in TinyImageNet. The test images may lie in no
    class folders if a table says their classes, as in TinyImageNet and ImageNet: see
    `truth.find`; it lies in ROOT, beside the images, or, as Kaggle has it, above
    ROOT/ILSVRC/Data/CLS-LOC. Names that begin with a dot are passed over.

    Args:
      root: the folder.

    Returns:
      The files; no image was opened.

    Raises:
      InputError: a folder is missing, cannot be read or has no images, the two splits
        have different classes, a class has a single image to divide, or a table does
        not fit.
    """
    left_out = _LeftOut(root)
    base = root / _KAGGLE
    if regular.is_folder(root / "train") or not regular.is_folder(base / "train"):
        base = root
    if any(_is_split(base / name) for name in ("train", "test", "val")):
        train, test, remarks = _of_splits(base, root, left_out)
        return Listing(root, train, test, False, (*remarks, *left_out.remarks()))
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

    def take(self, other: "_LeftOut") -> None:
        """Adds what another one has."""
        for reason, (count, first) in other._found.items():
            self.add(reason, first, count)

    def remarks(self) -> tuple[str, ...]:
        if not self._found:
            return ()
        parts = [
            f"{reason} ({count:,}, as {first.relative_to(self._root)})"
            for reason, (count, first) in self._found.items()
        ]
        return (f"left out of {self._root}: {', '.join(parts)}",)


def _is_image(entry: os.DirEntry) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and regular.is_file(entry)


def _is_split(folder: Path) -> bool:
    """Whether a folder is no class's: it holds no image itself."""
    return regular.is_folder(folder) and not any(
        entry.name.lower().endswith(SUFFIXES) for entry in regular.entries(folder)
    )


def _of_splits(base: Path, root: Path, left_out: _LeftOut):
    """(train, test, remarks); test is the first of the folders that can be used."""
    train = _of_split(base / "train", left_out, root)
    errors, test, remarks = [], None, ()
    for folder in (base / "test", base / "val"):
        if not regular.is_folder(folder):
            continue
        if test is not None:
            left_out.add("a folder beside train and test", folder)
            continue
        passed_over = _LeftOut(root)
        try:
            test, remarks = _of_test(folder, train, passed_over, root)
            left_out.take(passed_over)
        except InputError as error:
            errors.append(error)
    if test is None:
        if errors:
            raise errors[0]
        _of_split(base / "test", left_out, root)
    notes = tuple(f"{error}; it was not taken as the test split" for error in errors)
    return train, test, (*remarks, *notes)


def _of_test(
    folder: Path, train: dict[str, list[str]], left_out: _LeftOut, root: Path
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Class name -> files of a test split, and remarks on how classes were found."""
    entries = regular.entries(folder)
    inside = folder / _INSIDE
    place = folder
    if not any(map(_is_image, entries)) and _INSIDE not in train:
        place = inside if regular.is_folder(inside) else folder
    names = [entry.name for entry in regular.entries(place) if _is_image(entry)]
    if not names or any(entry.name in train for entry in entries):
        test = _of_classes(folder, left_out, root)
        if train.keys() != test.keys():
            raise InputError(
                f"folder:{root}: the splits must have the same classes; only in train: "
                f"{sorted(train.keys() - test)}, only in {folder.name}: "
                f"{sorted(test.keys() - train)}"
            )
        return test, ()
    base = folder.parent
    places = [folder, base, root]
    if base.match(_KAGGLE):
        places.append(base.parents[2])
    found = truth.find(places, folder.name, names, train)
    if found is None:
        raise InputError(
            f"{place}: {len(names):,} images in no class folders, and no table of "
            f"their classes in {' or '.join(map(str, dict.fromkeys(places)))}; known "
            f"are {truth.described(folder.name)}"
        )
    prefix = place.relative_to(root).as_posix()
    test = {name: [] for name in train}
    for name in names:
        test[found.class_of[name]].append(f"{prefix}/{name}")
    return test, (found.remark,)


def _of_split(folder: Path, left_out: _LeftOut, root: Path) -> dict[str, list[str]]:
    if not regular.is_folder(folder):
        hint = ""
        if folder.name == "test":
            train = folder.with_name("train")
            hint = f"; folder:{train} sets a part of its images aside as one"
        raise InputError(
            f"{folder}: no such folder; it must hold one folder per class{hint}"
        )
    return _of_classes(folder, left_out, root)


def _of_classes(
    folder: Path, left_out: _LeftOut, root: Path | None = None
) -> dict[str, list[str]]:
    """Class name -> its image files below the root, both sorted by name."""
    root = folder if root is None else root
    files = {}
    for entry in regular.entries(folder):
        if not regular.is_folder(entry):
            left_out.add("files beside the class folders", Path(entry.path))
            continue
        files[entry.name] = _of_class(Path(entry.path), left_out, root)
    if not files:
        raise InputError(
            f"{folder}: no class folders; allowed are {root}/CLASS/*.png (or .jpg, "
            f".bmp, .webp), or {root}/train/CLASS/*.png and {root}/test/CLASS/*.png"
        )
    return files


def _of_class(folder: Path, left_out: _LeftOut, root: Path) -> list[str]:
    entries = regular.entries(folder)
    images = [entry for entry in entries if _is_image(entry)]
    inside, prefix = folder / _INSIDE, folder.relative_to(root).as_posix()
    if not images and regular.is_folder(inside):
        images = [entry for entry in regular.entries(inside) if _is_image(entry)]
        if images:
            entries = [entry for entry in entries if entry.name != _INSIDE]
            entries += regular.entries(inside)
            prefix = f"{prefix}/{_INSIDE}"
    taken = {entry.path for entry in images}
    deeper, others = None, []
    for entry in entries:
        path = Path(entry.path)
        if entry.path in taken:
            continue
        if regular.is_folder(entry):
            below = _images_below(path)
            if below:
                deeper = deeper or below[0]
                reason = "images in folders inside a class folder"
                left_out.add(reason, below[0], len(below))
        elif not regular.is_file(entry):
            left_out.add("what is no regular file", path)
        elif entry.name.lower().endswith(_OTHERS):
            others.append(path)
            left_out.add(f"images that are no {READ}", path)
        else:
            left_out.add("files that are no images", path)
    if not images:
        hint = f"; its images lie deeper, as {deeper}" if deeper else ""
        if others:
            hint += f"; {len(others):,} are of another kind, as {others[0].name}"
        raise InputError(f"{folder}: class folder without a {READ} file{hint}")
    return [f"{prefix}/{entry.name}" for entry in images]


def _images_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed: {error.strerror}")

    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _key(path: str) -> np.uint64:
    """A hash of class and file name, the same wherever the folder lies."""
    digest = hashlib.sha256(os.fsencode(path)).digest()
    return np.uint64(int.from_bytes(digest[:8], "little"))


def _count(files: dict[str, list[str]]) -> int:
    return sum(map(len, files.values()))
