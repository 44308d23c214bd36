"""Tables that give the classes of images in a folder without class folders."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from ddjax import regular
from ddjax.errors import InputError

# SPLIT stands for the folder's name, such as val. The first three have a row an image.
TABLES = (
    "SPLIT_annotations.txt",  # TinyImageNet
    "LOC_SPLIT_solution.csv",  # ImageNet as Kaggle has it
    "SPLIT_labels.csv",
    "SPLIT_labels.txt",
    "SPLIT.csv",
    "SPLIT.txt",
    "imagenet_2012_validation_synset_labels.txt",  # TensorFlow's scripts
    "ILSVRC2012_validation_ground_truth.txt",  # ImageNet's development kit
)
_KIT = ("", "data", "ILSVRC2012_devkit_t12/data")  # where the kit's files may lie
_NUMBERS = ("meta.mat", "map_clsloc.txt", "synsets.txt")


class Table(NamedTuple):
    """The classes that a table gives.

    Attributes:
      table: the file.
      class_of: name of an image -> its class.
      remark: what was read and assumed.
    """

    table: Path
    class_of: dict[str, str]
    remark: str


def find(
    places: Sequence[Path], split: str, names: Sequence[str], classes: Collection[str]
) -> Table | None:
    """Finds the classes of images in the first table of `TABLES` that is there.

    A table has a row an image: its name, with or without suffix and folder, then its
    class, after a tab, a comma or a blank; what follows is not read, and a first row of
    headings is passed over. Or it has nothing but a class a row, in the order of the
    sorted names. A class is the name of a class folder, or in each row an index from 0
    in their sorted order. The numbers of ImageNet's development kit, from 1, are
    another order: what they mean stands in its meta.mat, in map_clsloc.txt ("WNID
    NUMBER ..."), or in a synsets.txt whose k-th row has the class of number k.

    Args:
      places: folders where the table may lie, the likeliest first.
      split: name of the images' folder, such as "val".
      names: the images' file names, sorted.
      classes: names of the training split's classes.

    Returns:
      The classes, None if there is no table.

    Raises:
      InputError: a table does not fit the images or the classes.

    Source: readme.txt of ILSVRC2012's development kit (meta.mat, ILSVRC2012_ID and the
    ground truth of the validation images).
    """
    for name in TABLES:
        for place in places:
            for folder in _KIT if name == TABLES[-1] else ("",):
                path = place / folder / name.replace("SPLIT", split)
                if regular.is_file(path):
                    return _read(path, places, names, sorted(classes))
    return None


def described(split: str) -> str:
    """Names of the tables of a split, for messages."""
    return ", ".join(name.replace("SPLIT", split) for name in TABLES)


def _read(
    path: Path, places: Sequence[Path], names: Sequence[str], classes: list[str]
) -> Table:
    rows = _rows(path)
    if path.name == TABLES[-1]:
        numbers, list_path = _numbers(places)
        held = [_of_number(path, row[0], numbers) for row in rows]
        note = f"numbers as in {list_path}, by the order of the file names"
        found = dict(zip(names, held, strict=False))
        _check_count(path, len(rows), len(names))
    elif max(map(len, rows)) == 1:
        held, how = _classes_of(path, [row[0] for row in rows], classes)
        note = f"{how}, by the order of the file names"
        found = dict(zip(names, held, strict=False))
        _check_count(path, len(rows), len(names))
    else:
        found, note = _by_name(path, rows, names, classes)
    known = set(classes)
    for name, kind in found.items():
        if kind not in known:
            raise InputError(
                f"{path}: gives {name} the class {kind!r}, allowed is a class of the "
                f"training split, such as {classes[0]!r}"
            )
    return Table(path, found, f"classes of {len(found):,} images from {path} ({note})")


def _by_name(
    path: Path, rows: list[list[str]], names: Sequence[str], classes: list[str]
) -> tuple[dict[str, str], str]:
    by_stem = {Path(name).stem: name for name in names}
    exact = set(names)

    def name_of(field: str) -> str | None:
        last = field.replace("\\", "/").rpartition("/")[2]
        return last if last in exact else by_stem.get(last.rpartition(".")[0] or last)

    if (
        len(rows) > 1
        and name_of(rows[0][0]) is None
        and name_of(rows[1][0]) is not None
    ):
        rows = rows[1:]  # headings
    files = [name_of(row[0]) for row in rows]
    absent = [row[0] for row, file in zip(rows, files, strict=True) if file is None]
    if absent:
        raise InputError(
            f"{path}: has {len(absent):,} rows on images that are not there, the first "
            f"is {absent[0]!r}"
        )
    short = [row for row in rows if len(row) < 2]
    if short:
        raise InputError(f"{path}: the row on {short[0][0]!r} has no class")
    held, how = _classes_of(path, [row[1] for row in rows], classes)
    found: dict[str, str] = {}
    for file, kind in zip(files, held, strict=True):
        if found.setdefault(str(file), kind) != kind:
            raise InputError(
                f"{path}: gives {file} the classes {found[str(file)]!r} and {kind!r}"
            )
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{path}: has no row on {len(missing):,} of {len(names):,} images, the "
            f"first is {missing[0]}"
        )
    return found, how


def _classes_of(
    path: Path, fields: list[str], classes: list[str]
) -> tuple[list[str], str]:
    """The classes that fields name, and how they do."""
    known = set(classes)
    # The rest of a field are boxes in Kaggle's tables: "n03995372 85 1 499 272".
    held = [field if field in known else field.split(" ")[0] for field in fields]
    if known.isdisjoint(held) and all(re.fullmatch(r"\d{1,9}", kind) for kind in held):
        indices = [int(kind) for kind in held]
        if max(indices) >= len(classes):
            raise InputError(
                f"{path}: has the number {max(indices)}, allowed are class names, or "
                f"indices 0..{len(classes) - 1} of the {len(classes)} sorted classes"
            )
        return [classes[index] for index in indices], (
            "numbers taken as indices from 0 of the sorted classes, 0 as "
            f"{classes[0]!r}"
        )
    return held, "by name"


def _check_count(path: Path, rows: int, images: int) -> None:
    if rows != images:
        raise InputError(f"{path}: has {rows:,} rows for {images:,} images")


def _of_number(path: Path, field: str, numbers: dict[int, str]) -> str:
    if not re.fullmatch(r"\d{1,9}", field) or int(field) not in numbers:
        raise InputError(
            f"{path}: has {field!r}, expected a number of {min(numbers)}.."
            f"{max(numbers)}"
        )
    return numbers[int(field)]


def _numbers(places: Sequence[Path]) -> tuple[dict[int, str], Path]:
    """What the numbers of the development kit mean, and the file that defines them."""
    for place in places:
        for folder in _KIT:
            for name in _NUMBERS:
                path = place / folder / name
                if regular.is_file(path):
                    read = _of_mat if name == _NUMBERS[0] else _of_text
                    return read(path), path
    raise InputError(
        f"{places[0]}: {TABLES[-1]} has numbers, and no file defines them; "
        f"allowed is {', '.join(_NUMBERS)} beside it"
    )


def _of_mat(path: Path) -> dict[int, str]:
    import scipy.io

    with regular.opened(path) as file:
        try:
            synsets = scipy.io.loadmat(file, squeeze_me=True)["synsets"]
            return {
                int(number): str(name)
                for number, name in zip(
                    synsets["ILSVRC2012_ID"].ravel(),
                    synsets["WNID"].ravel(),
                    strict=True,
                )
            }
        except Exception as error:  # whatever a damaged file ends in
            raise InputError(
                f"{path}: has no synsets with ILSVRC2012_ID and WNID "
                f"({type(error).__name__}: {error})"
            ) from error


def _of_text(path: Path) -> dict[int, str]:
    rows = _rows(path)
    if all(len(row) > 1 and re.fullmatch(r"\d{1,9}", row[1]) for row in rows):
        return {int(row[1]): row[0] for row in rows}
    names = [row[0] for row in rows]
    if names == sorted(names):
        raise InputError(
            f"{path}: is sorted by name, which is not the order of ILSVRC2012's "
            "numbers; allowed is the development kit's meta.mat or map_clsloc.txt"
        )
    return dict(enumerate(names, start=1))


def _rows(path: Path) -> list[list[str]]:
    """Fields of the rows that are not empty."""
    try:
        lines = regular.read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text ({error})") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{path}: is empty")
    mark = next((mark for mark in "\t," if mark in lines[0]), None)
    return [[field.strip() for field in line.split(mark)] for line in lines]
