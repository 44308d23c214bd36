"""Files and folders that a user names: only what is there, and regular, is opened.

A named pipe, a socket or a device would be waited for, perhaps for ever; a dangling
link, a loop of links or a folder without permission is an error of the system. All of
them become an `InputError` that names what was found.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ddjax.errors import InputError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def expanded(path: str | os.PathLike) -> Path:
    """Returns a path with the home folder in the place of "~".

    Raises:
      InputError: there is no such user, or the path cannot be one.
    """
    try:
        place = Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such home folder") from error
    if "\0" in str(place):
        raise InputError(f"{str(path)!r}: has a zero byte, which no path can have")
    return place


def cache() -> Path:
    """Returns the user's cache folder: $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))


def is_file(path: str | os.PathLike | os.DirEntry) -> bool:
    """Whether there is a regular file, or a link to one."""
    return _mode(path) == stat.S_IFREG


def is_folder(path: str | os.PathLike | os.DirEntry) -> bool:
    """Whether there is a folder, or a link to one."""
    return _mode(path) == stat.S_IFDIR


def found(path: str | os.PathLike) -> str:
    """Returns what is there, such as "a folder", "a named pipe", or "nothing"."""
    mode = _mode(path)
    if mode is None:
        return "nothing"
    return _KINDS.get(mode, "a file" if mode == stat.S_IFREG else "something else")


def opened(path: str | os.PathLike) -> BinaryIO:
    """Opens a regular file for reading, or a link to one; never waits for it.

    Args:
      path: the file; "~" is the home folder.

    Raises:
      InputError: there is none, it is something else, or may not be read.
    """
    place = expanded(path)
    try:
        found = os.stat(place)
        # A device may act on being opened, and what takes the file's place meanwhile is
        # not waited for either.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        number = os.open(place, flags) if stat.S_ISREG(found.st_mode) else None
    except (OSError, ValueError) as error:
        raise InputError(f"{_shown(path)}: cannot be read: {_why(error)}") from error
    if number is None:
        raise _refusal(place, found)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(place, found)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read(path: str | os.PathLike) -> bytes:
    """Returns the bytes of a regular file.

    Raises:
      InputError: as `opened`, or the file cannot be read to its end.
    """
    with opened(path) as file:
        try:
            return file.read()
        except (OSError, MemoryError) as error:
            raise InputError(f"{path}: cannot be read: {_why(error)}") from error


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Returns what a folder has, sorted by name, without names that begin with a dot.

    Raises:
      InputError: there is no such folder, or it may not be read.
    """
    try:
        with os.scandir(folder) as found:
            shown = [entry for entry in found if not entry.name.startswith(".")]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{_shown(folder)}: cannot be listed: {_why(error)}"
        ) from error
    return sorted(shown, key=lambda entry: entry.name)


def _mode(path: str | os.PathLike | os.DirEntry) -> int | None:
    try:
        if isinstance(path, os.DirEntry):  # spares a call of the system for most
            if path.is_file():
                return stat.S_IFREG
            return stat.S_IFDIR if path.is_dir() else None
        return stat.S_IFMT(os.stat(expanded(path)).st_mode)
    except (OSError, ValueError):
        return None


def _refusal(place: Path, found: os.stat_result) -> InputError:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
    return InputError(f"{_shown(place)}: is {kind}, allowed is a regular file")


def _shown(path: str | os.PathLike) -> str:
    """A path for messages, cut where it is longer than any path may be."""
    text = os.fspath(path)
    return text if len(text) < 1000 else f"{text[:200]}..."


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
