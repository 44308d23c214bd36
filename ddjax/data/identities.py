"""Whether a file speaks of the examples of a source, in their order."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from ddjax.data.source import Source
from ddjax.errors import InputError

# Columns of a .csv that say what an id is, no score.
TEXTS = ("class", "label", "path", "digest")


def texts(source: Source, ids: np.ndarray | None = None) -> dict[str, list[str]]:
    """What files say of training images of a source.

    Args:
      source: any.
      ids: [n] int, which images; None: all, in the order of ids.

    Returns:
      "class": names; "label": numbers of the classes; "path" where images have files;
      "digest" where they are in memory, see `fingerprints`.
    """
    ids = np.arange(len(source.train)) if ids is None else ids
    labels = source.train.labels[ids].tolist()
    found = {
        "class": [source.classes[label] for label in labels],
        "label": list(map(str, labels)),
    }
    if source.paths is not None:
        root = os.path.abspath(source.root)
        found["path"] = [os.path.join(root, source.paths[index]) for index in ids]
    if source.fingerprints is not None:
        found["digest"] = source.fingerprints[0][ids].tolist()
    return found


def check(
    path: Path,
    ids: np.ndarray,
    said: Mapping[str, Sequence[str]],
    known: Mapping[str, Sequence[str]],
) -> None:
    """Refuses a file that says of an example what is not so.

    Folders may have moved: of a path the file's own name and its folder's are compared.
    A digest is compared where it is of an image of the same size.

    Args:
      path: the file.
      ids: [M] the ids that it has, 0 .. N - 1.
      said: name, one of `TEXTS` -> [M] texts.
      known: name -> [N] texts of the source, as `texts` has them.

    Raises:
      InputError: it is of another source, or in another order.
    """
    for name in TEXTS:
        if name not in said or name not in known:
            continue
        here = [known[name][index] for index in ids]
        wrong = [
            row
            for row, (there, own) in enumerate(zip(said[name], here, strict=True))
            if not _agree(name, there, own)
        ]
        if not wrong:
            continue
        row = wrong[0]
        why = "it is of another source, or in another order"
        if name == "digest" and {said[name][row] for row in wrong} <= set(known[name]):
            why = "the images are there under other ids: it is in another order"
        raise InputError(
            f"{path}: says the {name} {said[name][row]!r} of id {ids[row]}, which is "
            f"{here[row]!r} in the source, and is wrong of {len(wrong):,} of "
            f"{len(ids):,} ids; {why}"
        )


def _agree(name: str, there: str, own: str) -> bool:
    if name == "path":
        return _end(there) == _end(own)
    if name == "digest" and there.partition(":")[0] != own.partition(":")[0]:
        return True
    # An apostrophe keeps spreadsheets from taking a text for a formula.
    own = _text(own).strip()
    return there.strip() in (own, f"'{own}")


def _end(path: str) -> tuple[str, ...]:
    return PurePath(_text(path)).parts[-2:]


def _text(value: str) -> str:
    """As it is written: bytes of a name that are no text are escaped."""
    return value.encode(errors="backslashreplace").decode()
