"""What a path of an image set states of its file: `PATH#0`, `PATH#zca,factor=2`."""

import dataclasses
import os
from pathlib import Path

from ddjax.errors import InputError

_USAGE = (
    "a number from 0 (which experiment of several), zca, factor=NUMBER of 1 to 8, "
    "temperature=NUMBER of 0 to 1000"
)


@dataclasses.dataclass(frozen=True)
class Suffix:
    """What cannot be read from a file itself.

    Attributes:
      experiment: which one of several sets, from 0; None: the last.
      zca: images were learned after ZCA whitening.
      factor: of multi-formation, IDC's: an image has factor x factor smaller ones.
      temperature: by which learned regression targets are divided before a softmax; 0:
        only the likeliest class is kept.
    """

    experiment: int | None = None
    zca: bool = False
    factor: int = 1
    temperature: float | None = None

    def refuse(self, where: str, *names: str) -> None:
        """Refuses what does not apply to a file.

        Args:
          where: the file, for messages.
          *names: of fields that do not apply.

        Raises:
          InputError: one of them is set.
        """
        for name in names:
            if getattr(self, name) != getattr(Suffix(), name):
                raise InputError(
                    f"{where}: #{name} was given as {getattr(self, name)}, which "
                    "does not apply to what is there"
                )


def split(path: str | os.PathLike) -> tuple[Path, Suffix]:
    """Divides a path into that of the file and what follows "#".

    Args:
      path: the path; one that exists as it is has no suffix.

    Returns:
      The file's path, "~" replaced by the home folder, and the suffix.

    Raises:
      InputError: the suffix has a part that is none of those allowed, or one twice.
    """
    whole = Path(path).expanduser()
    name, mark, text = str(whole).rpartition("#")
    if not mark or whole.exists():
        return whole, Suffix()
    found: dict[str, int | float | bool] = {}
    for part in text.split(","):
        key, equals, number = part.partition("=")
        if not equals and part.isdecimal():
            key, number = "experiment", part
        try:
            value = _value(key, equals, number)
        except ValueError as error:
            raise InputError(
                f"{path}: found {part!r} after '#', allowed is {_USAGE}, or several "
                "with commas between"
            ) from error
        if key in found:
            raise InputError(f"{path}: found {key} twice after '#', allowed is once")
        found[key] = value
    return Path(name), Suffix(**found)  # type: ignore[arg-type]


def _value(key: str, equals: str, text: str) -> int | float | bool:
    if key == "experiment" and not equals:
        return int(text)
    if key == "zca" and not equals:
        return True
    if key == "factor" and 1 <= int(text) <= 8:
        return int(text)
    if key == "temperature" and 0 <= float(text) <= 1000:
        return float(text)
    raise ValueError(key)
