"""Values of settings as they are written on the command line."""

import dataclasses
from typing import Any

from ddjax.declare import allowed_text, kind_of
from ddjax.declare.walk import shown
from ddjax.errors import InputError

_BOOLS = {"true": True, "1": True, "yes": True}
_BOOLS |= {"false": False, "0": False, "no": False}
_BRACKETS = {"(": ")", "[": "]"}


def parse(key: str, field: dataclasses.Field, text: str) -> Any:
    """Returns the value that a text stands for.

    Entries of a tuple are separated by commas; brackets around them and quotes around
    each may be left out.

    Args:
      key: where the setting stands, for messages.
      field: of the setting.
      text: such as "3", "0.1", "true", "none", "random,cad_prune" or "(2, 5)".

    Raises:
      InputError: the text is no value of the setting's type.
    """
    kind, many, optional = kind_of(field)
    if optional and text.strip().lower() == "none":
        return None
    try:
        if many:
            return tuple(_one(kind, part) for part in _parts(text))
        return text if kind is str else _one(kind, text)
    except (ValueError, OverflowError):
        raise InputError(
            f"{key}: found {shown(text)}, allowed is {allowed_text(field)}"
        ) from None


def _parts(text: str) -> list[str]:
    text = text.strip()
    if text[:1] in _BRACKETS and text.endswith(_BRACKETS[text[0]]):
        text = text[1:-1]
    parts = [part.strip() for part in text.split(",")]
    return parts[:-1] if parts[-1] == "" else parts  # "(1,)" and "" have one less


def _one(kind: type, text: str) -> Any:
    text = text.strip()
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise ValueError
        return _BOOLS[text.lower()]
    if kind is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    return kind(text)
