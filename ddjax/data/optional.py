"""Packages that only some sources need, imported where they are needed.

A machine that lacks one of them runs everything else.
"""

import importlib

from ddjax.errors import InputError

# Top-level module -> what pip calls it.
PACKAGES = {
    "array_record": "array-record",
    "grain": "grain",
    "simplejpeg": "simplejpeg",
    "tensorflow_datasets": "tensorflow-datasets",
}


def require(modules: tuple[str, ...], what: str) -> None:
    """Import packages before any work is done that would be lost without them.

    Args:
      modules: keys of `PACKAGES`.
      what: what needs them, as the user wrote it, such as "data.stream=True".

    Raises:
      InputError: a package is not installed, or cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == module
            problem = "is not installed" if absent else f"cannot be imported ({error})"
            name = PACKAGES[module]
            raise InputError(
                f"{name} {problem}, {what} needs it; pip install {name}"
            ) from error
