"""Errors of wrong input: a request that cannot be met, or a damaged file."""

import contextlib
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Iterator

# What NumPy raises where a .npy or .npz file is damaged or something else.
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_SYSTEM = re.compile(r"os_error_code='(\d+)'")


class InputError(ValueError):
    """A setting, file or folder is wrong, and the message names which and why.

    Raised before compute is spent. `ddjax.main` prints it as one line and exits
    with code 2; every other exception is a defect of ddjax and keeps its traceback.
    """


def system_error(error: Exception, path: str | os.PathLike) -> OSError | None:
    """Returns what the operating system refused, None where it was something else.

    Args:
      error: as it was raised; TensorStore's have it in words.
      path: what was to be written, where the error does not name it.
    """
    if isinstance(error, OSError):
        number, where = error.errno, error.filename or path
    elif found := _SYSTEM.search(str(error)):
        number, where = int(found[1]), path
    else:
        return None
    text = os.strerror(number) if number else str(error)
    return OSError(number, text, os.fspath(where))


@contextlib.contextmanager
def named(prefix: str, **settings: str) -> Iterator[None]:
    """Translates what a library function refuses into the words of the command line.

    A function names its own arguments, at the start of a message as "image_size: ..."
    and elsewhere as "image_size=PIXELS" or "image_size=32", the value with a capital or
    a digit; a user has settings and flags in their place.

    Args:
      prefix: what the message begins with, such as a setting; "": nothing.
      **settings: argument -> the setting that it comes from; "": from none, so that
        the parts between semicolons that mention it are left out.

    Raises:
      InputError: in the place of the function's own.
    """
    try:
        yield
    except InputError as error:
        text = str(error)
        for argument, key in settings.items():
            if not key:
                text = re.sub(rf";[^;]*(?<![\w.-]){argument}=[A-Z0-9][^;]*", "", text)
                continue
            text = re.sub(rf"^{argument}:", f"{key}:", text)
            text = re.sub(rf"(?<![\w.-]){argument}=(?=[A-Z0-9])", f"--{key}=", text)
        raise InputError(f"{prefix}: {text}" if prefix else text) from error
