"""The experiments that ddjax comes with: files of `configs/`, found by name."""

import ast
import difflib
import importlib.machinery
import inspect
import os
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from ddjax.declare.walk import require, suggestion
from ddjax.errors import InputError

_PACKAGE = Path(__file__).parents[1]


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


def split(spec: str) -> tuple[Path, str]:
    """Returns the file and the variant of "NAME:VARIANT"; the variant may be "".

    Args:
      spec: a name as in `find`, and a variant of that file behind a colon.

    Raises:
      InputError: there is no such file.
    """
    name, colon, variant = spec.rpartition(":")
    if not colon or "/" in variant:
        name, variant = spec, ""
    return find(name), variant


def load(spec: str, data: str = "") -> Any:
    """Returns the config of a file's variant, as its `get_config` gives it.

    Args:
      spec: as in `split`.
      data: path of own images. A `get_config` with an argument `data` derives the
        config from them; any other config takes them as its source.

    Raises:
      InputError: there is no such file or variant, or the file fails; names its line.
    """
    path, variant = split(spec)
    found = module(path)
    get_config = getattr(found, "get_config", None)
    if not callable(get_config):
        raise InputError(f"{path}: has no function get_config, which gives the config")
    check_variant(variant, found)
    derives = "data" in inspect.signature(get_config).parameters
    arguments = {"data": data} if derives and data else {}
    config = _called(path, get_config, *filter(None, [variant]), **arguments)
    if data and not derives:
        kind = "npz" if data.endswith(".npz") else "folder"
        config.data.source = f"{kind}:{data}"
    return config


def variants(found: ModuleType) -> tuple[str, ...]:
    """Returns the variants of a config's file, the default first; () if it has none."""
    return tuple(getattr(found, "VARIANTS", ()))


def check_variant(variant: str, found: ModuleType) -> None:
    """Raises InputError for a variant that a config's file does not have; "" is one."""
    known = ("", *variants(found))
    if len(known) > 1:
        allowed = f"one of {', '.join(known[1:])}{suggestion(variant, known)}"
        require(variant in known, "variant", variant, allowed)


def documentation(path: Path) -> str:
    """Returns the docstring of a file, without running it."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def summary(name: str) -> str:
    """Returns the first line of the docstring of one of `names`."""
    return documentation(find(name)).partition("\n")[0]


def module(path: Path) -> ModuleType:
    """Returns the module of a config's file.

    Raises:
      InputError: the file fails; names its line.
    """
    name = f"_ddjax_config_{path.stem}"
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    found = ModuleType(name)
    _called(path, loader.exec_module, found)
    return found


def _called(path: Path, function: Any, *arguments: Any, **named: Any) -> Any:
    """Calls a function of a config's file; an error names the line."""
    try:
        return function(*arguments, **named)
    except InputError:
        raise
    except Exception as error:  # a user's file may raise anything
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        place = f"{path}, line {line}" if line else f"{path}"
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {type(error).__name__}: {reason}") from error
