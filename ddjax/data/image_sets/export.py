"""Selected images as a class folder that any other tool can train on."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddjax.data.image_sets import files
from ddjax.data.source import Source
from ddjax.errors import InputError

MARKER = ".ddjax_export.json"  # says what is there, and that it may be replaced


def check_export(source: Source, folder: str | os.PathLike) -> None:
    """Checks, before anything is computed, that an export may be written.

    Args:
      source: whose images are written.
      folder: to create, or to replace if it is an earlier export.

    Raises:
      InputError: something else is there, it overlaps with the source's folder, or it
        cannot be written.
    """
    folder = _resolved(folder)
    if source.paths is not None:
        root = _resolved(source.root)
        if folder.is_relative_to(root) or root.is_relative_to(folder):
            raise InputError(
                f"export: found {folder}, allowed is a folder apart from the source's, "
                f"{root}"
            )
    if folder.exists():
        _check_replaceable(folder)
    parent = next(parent for parent in folder.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"export: {parent} cannot be written")


def write_export(
    source: Source,
    ids: np.ndarray,
    folder: str | os.PathLike,
    described: Mapping[str, Any],
) -> int:
    """Writes training images to FOLDER/CLASS/; all are there or none.

    Images with files of their own are copied as they are, under the names that they
    have; others are written as PNG, at the size that the source has in memory.

    Args:
      source: where they come from.
      ids: [n] int, which training images.
      folder: as `check_export` allows it.
      described: what else is kept beside the images, JSON values by name.

    Returns:
      The number of images.

    Raises:
      InputError: as `check_export`, or a file cannot be read or written.
    """
    check_export(source, folder)
    folder = _resolved(folder)
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    earlier = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        if source.paths is None:
            chosen = source.train.take(ids)
            images = np.asarray(chosen.images)
            files.write_folders(temporary, images, chosen.labels, source.classes, "png")
        else:
            _copy(source, ids, temporary)
        written = sorted(p.relative_to(temporary).as_posix() for p in _files(temporary))
        told = {"source": source.name, "digest": source.digest, **described}
        text = json.dumps(told | {"files": written}, indent=1)
        (temporary / MARKER).write_text(text)
        if folder.exists():
            os.rename(folder, earlier)
        os.rename(temporary, folder)
        shutil.rmtree(earlier, ignore_errors=True)
    except OSError as error:
        raise InputError(f"export: {folder} cannot be written ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(written)


def _copy(source: Source, ids: np.ndarray, folder: Path) -> None:
    taken = set()
    for index in ids:
        path = source.paths[index]
        name = Path(source.classes[source.train.labels[index]], Path(path).name)
        # File systems may see no difference between upper and lower case.
        count, unique = 1, name
        while str(unique).lower() in taken:
            count += 1
            unique = name.with_name(f"{name.stem}-{count}{name.suffix}")
        taken.add(str(unique).lower())
        (folder / unique).parent.mkdir(exist_ok=True)
        shutil.copyfile(os.path.join(source.root, path), folder / unique)


def _check_replaceable(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"export: found {folder}, which is no folder")
    found = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if not found and not any(folder.iterdir()):
        return
    try:
        own = {MARKER, *json.loads((folder / MARKER).read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    others = sorted(found - own)
    if others or not own:
        raise InputError(
            f"export: {folder} holds {(others or ['folders'])[0]}, which no export "
            "wrote; allowed is a new or an empty folder, or that of an earlier export"
        )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _resolved(folder: str | os.PathLike) -> Path:
    return Path(folder).expanduser().resolve()
