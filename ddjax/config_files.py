"""The experiments that ddjax comes with: files of `configs/`, found by name."""

import difflib
import os
from pathlib import Path

from ddjax.errors import InputError

_PACKAGE = Path(__file__).parent


def folder() -> Path:
    """The folder of the files: in the installed package, or beside it in a checkout.

    Raises:
      InputError: it is in neither place.
    """
    places = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
    for place in places:
        if (place / "cad_prune.py").is_file():
            return place
    raise InputError(f"configs: found neither {places[0]} nor {places[1]}; reinstall")


def names() -> list[str]:
    """The names of the files, sorted, such as "cad_prune" and "methods/sre2l"."""
    files = folder().rglob("*.py")
    found = (path.relative_to(folder()).with_suffix("").as_posix() for path in files)
    return sorted(name for name in found if not name.endswith("__init__"))


def find(name: str) -> Path:
    """Find the file of an experiment.

    Args:
      name: one of `names()`, with or without `configs/` before and `.py` behind it; or
        the path of a file of one's own, `~` expanded. A file that is there goes before
        one of ddjax's of the same name; it ends in ".py".

    Returns:
      The file.

    Raises:
      InputError: there is no such file; the message has the names that are like it, all
        of them where none is.
    """
    own = os.path.expanduser(name)
    if own.endswith(".py") and os.path.isfile(own):
        return Path(own)
    known = names()
    wanted = name.removeprefix("./").removeprefix("configs/").removesuffix(".py")
    if wanted in known:
        return folder() / f"{wanted}.py"
    lasts = {other.rpartition("/")[2] for other in known}
    close = difflib.get_close_matches(wanted.rpartition("/")[2], lasts)
    alike = [other for other in known if other.rpartition("/")[2] in close]
    hint = f"did you mean {' or '.join(alike)}"
    if not alike:
        hint = f"ddjax's names are {', '.join(known)}"
    raise InputError(f"config: found {name!r}, which is no file of that path; {hint}")
