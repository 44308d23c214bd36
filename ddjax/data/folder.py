"""A folder of images, one folder per class, or in a layout that is recognised.

Facts: the README of fastai/imagenette for ImageWoof (v2), that of Stanford's CS231n for
TinyImageNet, whose labelled validation images serve as test images.
"""

import dataclasses
import functools
import hashlib
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import regular
from ddjax.data import class_tables, split
from ddjax.data.images import (
    GREY,
    READ,
    Streamed,
    decode,
    gather,
    opened,
)
from ddjax.data.source import Facts, Kind, Scan, Source, Split, from_arrays
from ddjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
_OTHERS = (".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg", ".npy")
_KAGGLE = "ILSVRC/Data/CLS-LOC"  # where the images of Kaggle's ImageNet lie
_INSIDE = "images"  # folder of a class's images, as in TinyImageNet
_SAMPLE = 4096  # images whose headers are read in a scan and of a stream
_ORIENTATION = 0x0112  # Exif's tag for how the camera was held


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


def load(
    argument: str, data_dir: str | None = None, image_size: int | None = None
) -> Source:
    """Load PATH/train/CLASS/* and PATH/test/CLASS/*, or else PATH/CLASS/*.

    Which files these are, and which images are set aside as a test split where the
    folder has none, see `find`; TinyImageNet and ImageNet are read as
    they are published. Labels follow the sorted names of the class folders, ids the
    classes in that order and within a class the sorted file names. If every image is
    grey, images have one channel, otherwise three; transparency is dropped, and a
    remark states of how many.

    Ids are positions in the order of labels and file names.

    Raises:
      InputError: as `find`, an image is damaged, or sizes differ without image_size.
    """
    listing, num_channels = _found(argument)
    lost = _Lost()

    def read(files: dict[str, list[str]]) -> Split:
        paths = _paths(listing, files)

        def read_image(position: int) -> np.ndarray:
            path = paths[position]
            return decode(path, num_channels, path, functools.partial(lost.note, path))

        images = gather(read_image, len(paths), image_size, paths.__getitem__)
        return images, _labels(files)

    train, test = read(listing.train), read(listing.test)
    return _source(argument, listing, lost, train, test, image_size)


def stream(argument: str, data_dir: str | None, image_size: int) -> Source:
    """Like `load`, but images stay in their files until they are indexed.

    They are `images.Streamed`, a damaged one is met only when it is indexed, and
    image_size is as in `images.decode_square`.
    """
    listing, num_channels = _found(argument)
    train, test = (
        (Streamed(_Files(listing, files), image_size, num_channels), _labels(files))
        for files in (listing.train, listing.test)
    )
    lost = _Lost()
    for path in _sample(_paths(listing, listing.train, listing.test)):
        with opened(path, path) as image:
            lost.note(path, image)
    return _source(argument, listing, lost, train, test)


def scan(path: str) -> Scan:
    """Reads the names of all images, and the headers of up to 4,096 spread evenly.

    Raises:
      InputError: as `find`, or a header is damaged.
    """
    listing = find(regular.expanded(path))
    sizes, grey = [], []
    for place in _sample(_paths(listing, listing.train, listing.test)):
        with opened(place, place) as image:
            sizes.append(image.size)
            grey.append(image.mode in GREY)
    shorter = np.min(sizes, axis=1)
    return Scan(
        source=f"folder:{path}",
        classes=tuple(listing.train),
        counts=tuple(map(len, listing.train.values())),
        test=_count(listing.test),
        aside=listing.aside,
        sides=(int(shorter.min()), int(np.median(shorter)), int(shorter.max())),
        square=len({side for size in sizes for side in size}) == 1,
        channels=1 if all(grey) else 3,
    )


class _Files:
    """The image files of a split: `images.Records`, and their paths."""

    def __init__(self, listing: Listing, files: dict[str, list[str]]):
        digest = hashlib.sha256()
        for name in itertools.chain(*files.values()):
            path = listing.root / name
            try:
                size = path.stat().st_size
            except OSError as error:
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
    listing = find(regular.expanded(argument))
    return listing, 1 if all(
        map(_is_grey, _paths(listing, listing.train, listing.test))
    ) else 3


def _is_grey(path: str) -> bool:
    with opened(path, path) as image:
        return image.mode in GREY


def _source(
    argument: str,
    listing: Listing,
    lost: "_Lost",
    train: Split,
    test: Split,
    image_size: int | None = None,
) -> Source:
    name, total = f"folder:{argument}", len(train[1]) + len(test[1])
    remarks = listing.remarks + lost.remarks(name, total)
    found = from_arrays(name, tuple(listing.train), train, test, image_size, remarks)
    paths = tuple(itertools.chain(*listing.train.values()))
    return dataclasses.replace(found, root=str(listing.root), paths=paths)


class _Lost:
    """What of the images is dropped: transparency, turns, further frames."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, None]] = {}  # what -> paths, in order
        self._seen: dict[str, None] = {}

    def note(self, path: str, image: Any) -> None:
        """Examines an image of Pillow; from several threads, and more than once."""
        self._seen[path] = None
        for lost, what in (
            (
                image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info,
                "have transparency, which is dropped",
            ),
            (
                image.getexif().get(_ORIENTATION, 1) != 1,
                "are marked as turned (Exif), and are read as stored",
            ),
            (
                getattr(image, "n_frames", 1) > 1,
                "have several frames, of which the first is read",
            ),
        ):
            if lost:
                self._found.setdefault(what, {})[path] = None

    def remarks(self, name: str, total: int) -> tuple[str, ...]:
        """Returns a sentence each, on `total` images, of which some were examined."""
        of = f"{len(self._seen):,}"
        if len(self._seen) < total:
            of += f" (examined, of {total:,})"
        return tuple(
            f"{name}: {len(paths):,} of {of} images {what}, such as {min(paths)}"
            for what, paths in sorted(self._found.items())
        )


def _paths(listing: Listing, *splits: dict[str, list[str]]) -> list[str]:
    return [
        str(listing.root / name)
        for files in splits
        for name in itertools.chain(*files.values())
    ]


def _sample(paths: list[str]) -> list[str]:
    """Up to `_SAMPLE` of the paths, spread evenly."""
    count = min(_SAMPLE, len(paths))
    return [paths[index] for index in np.arange(count) * len(paths) // count]


def _labels(files: dict[str, list[str]]) -> np.ndarray:
    return np.repeat(np.arange(len(files)), list(map(len, files.values())))


def find(root: Path) -> Listing:
    """Lists ROOT/train/CLASS/* and ROOT/test/CLASS/*, or else ROOT/CLASS/*.

    ROOT/val takes the place of ROOT/test where that is absent or cannot be used.
    Without splits, a fifth of each class, at least one image, is set aside as the test
    split, by a hash of class and file name: a file that is added or removed moves
    hardly any other. Images are files with a suffix of `SUFFIXES` directly in a class's
    folder, or in its folder "images", as in TinyImageNet. The test images may lie in no
    class folders if a table gives their classes, as in TinyImageNet and ImageNet: see
    `class_tables.find`; it lies in ROOT, beside the images, or, as Kaggle has it, above
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
        self._found: dict[str, tuple[int, Path]] = {}

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


def _of_splits(base: Path, root: Path, left_out: _LeftOut) -> tuple[Any, Any, Any]:
    """(train, test, remarks); test is the first of the folders that can be used."""
    train = _of_split(base / "train", left_out, root)
    errors, test = [], None
    remarks: tuple[str, ...] = ()
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
    found = class_tables.find(places, folder.name, names, train)
    if found is None:
        raise InputError(
            f"{place}: {len(names):,} images in no class folders, and no table of "
            f"their classes in {' or '.join(map(str, dict.fromkeys(places)))}; known "
            f"are {class_tables.described(folder.name)}"
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


KIND = Kind(
    __doc__,
    load,
    stream=stream,
    argument="PATH",
    place="folder",
    facts={
        "imagewoof": Facts(9_025, 3_929, 10, (0, 0, 3)),
        "tiny_imagenet": Facts(100_000, 10_000, 200, (64, 64, 3)),
        "tiny-imagenet-200": Facts(100_000, 10_000, 200, (64, 64, 3)),
    },
    holds=regular.is_folder,
    scan=scan,
)
