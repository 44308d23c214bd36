"""One walk through the settings: every value against its declaration.

A key is where a value stands, such as "student.optimizer.name"; entries of a section by
name stand behind their name, "labels.mine.codec".
"""

import dataclasses
import difflib
import functools
import numbers
import os
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ddjax.declare import (
    REQUIRED,
    Names,
    Text,
    allowed_text,
    declaration,
    kind_of,
)
from ddjax.errors import InputError

_SHOWN = 80  # characters of a value in a message
_LARGEST = 10**300  # of integers, those beyond have no float


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Raises InputError unless a condition holds, with what is allowed."""
    if not condition:
        raise InputError(f"{key}: found {shown(value)}, allowed is {allowed}")


def shown(value: Any) -> str:
    """Returns a value for a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits has no repr
        text = f"a {type(value).__name__} that is too long to print"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def suggestion(name: str, known: Collection[str]) -> str:
    """Returns "; did you mean ...?" where a known name is near, else ""."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def join(key: str, name: str) -> str:
    """Returns the key of a name within the section `key`; "" is the whole."""
    return f"{key}.{name}" if key else name


@functools.cache
def entry_kind(field: dataclasses.Field) -> type | None:
    """Returns the section that a field by name has as entries, None of others."""
    if typing.get_origin(field.type) is dict:
        return typing.get_args(field.type)[1]
    return None


def section_kind(field: dataclasses.Field) -> type | None:
    """Returns the class of the section that a field is, None of others."""
    kind = field.type
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def sections(settings: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (key, section) of a section and of all sections within it."""
    yield key, settings
    for field in dataclasses.fields(settings):
        value, place = getattr(settings, field.name), join(key, field.name)
        if section_kind(field):
            yield from sections(value, place)
        elif entry_kind(field):
            for name, entry in value.items():
                yield from sections(entry, f"{place}.{name}")


def values(
    settings: Any, key: str = ""
) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yields (key, field, value) of every setting that is no section."""
    for place, section in sections(settings, key):
        for field in dataclasses.fields(section):
            if not section_kind(field) and not entry_kind(field):
                yield join(place, field.name), field, getattr(section, field.name)


def check(settings: Any, key: str = "") -> None:
    """Checks every value's type and range, then each section's own `check`.

    Args:
      settings: a section.
      key: where it stands.

    Raises:
      InputError: names the first key that is wrong, the value and what is allowed.
    """
    for place, field, value in values(settings, key):
        convert(place, field, value)
    for place, section in sections(settings, key):
        for field in dataclasses.fields(section):
            for name in getattr(section, field.name) if entry_kind(field) else ():
                entry = f"{join(place, field.name)}.{name}"
                # Files, columns and a figure's legend are called by it.
                allowed = "at most 60 ASCII letters, digits and _, a letter first"
                fits = name.isidentifier() and name.isascii() and len(name) <= 60
                require(fits and name[0] != "_", entry, name, allowed)
        if hasattr(section, "check"):
            section.check(place)


def check_names(settings: Any, known: Mapping[str, Collection[str]]) -> None:
    """Checks every setting that names something of a known kind.

    Args:
      settings: a section.
      known: kind -> names, see `declare.Names`. Other kinds are not checked.

    Raises:
      InputError: an unknown name; lists the known ones.
    """
    for key, field, value in values(settings):
        allowed = declaration(field).allowed
        if not isinstance(allowed, Names) or allowed.kind not in known:
            continue
        names = (*known[allowed.kind], *declaration(field).also)
        for name in value if isinstance(value, tuple) else (value,):
            if name not in names:
                words = f"one of {', '.join(filter(None, names))}"
                require(False, key, name, words + suggestion(name, names))


def convert(key: str, field: dataclasses.Field, value: Any) -> Any:
    """Returns a value as its field has it: a float for an integer, ~ replaced.

    Raises:
      InputError: a wrong type, or out of range.
    """
    kind, many, optional = kind_of(field)
    if optional and value is None:
        return None
    if not many:
        return _one(key, field, kind, value)
    require(isinstance(value, tuple | list), key, value, allowed_text(field))
    found = tuple(_one(key, field, kind, entry) for entry in value)
    declared = declaration(field)
    fits = len(found) in declared.counts
    if declared.each:
        fits &= len(set(found)) == len(found)
    if declared.each == "rising":
        fits &= list(found) == sorted(found)
    require(fits, key, found, allowed_text(field))
    return found


def _one(key: str, field: dataclasses.Field, kind: Any, value: Any) -> Any:
    declared, words = declaration(field), allowed_text(field)
    if kind in (int, float) and type(value) is not bool:
        if isinstance(value, numbers.Integral):  # NumPy's too
            value = int(value)
            require(abs(value) < _LARGEST, key, value, words)
            value = kind(value)
        elif kind is float and isinstance(value, numbers.Real):
            value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(
            f"{key}: found {shown(value)} of type {type(value).__name__}, allowed is "
            f"{words}"
        )
    if value == REQUIRED:
        raise InputError(f"{key}: is missing, --{key}=... gives it")
    if not declared.holds(value):
        near = declared.allowed if isinstance(declared.allowed, tuple) else ()
        require(False, key, value, words + suggestion(str(value), near))
    if isinstance(declared.allowed, Text) and declared.allowed.path:
        return os.path.expanduser(value)
    return value


def unknown(key: str, name: str, known: Collection[str]) -> InputError:
    """Returns the error that a section `key` has nothing of a name."""
    return InputError(
        f"{join(key, name)}: unknown key, allowed here are {', '.join(known)}"
        f"{suggestion(name, known)}"
    )


def find(kind: type, key: str) -> tuple[str, type, dataclasses.Field | None]:
    """Returns what stands at a key.

    Args:
      kind: the class of the settings that the key begins in.
      key: names joined by dots; an entry of sections by name may have any name.

    Returns:
      (the section's key, the section's class, the setting's field or None where the
      key is that of a section).

    Raises:
      InputError: there is no such key; names what is there.
    """
    place, names = "", key.split(".")
    while names:
        name, *names = names
        fields = {each.name: each for each in dataclasses.fields(kind)}
        if name not in fields:
            raise unknown(place, name, fields)
        field, place = fields[name], join(place, name)
        entry, inner = entry_kind(field), section_kind(field)
        if entry and names:
            kind, place = entry, f"{place}.{names.pop(0)}"
        elif entry:
            return place, entry, None
        elif inner:
            kind = inner
        elif names:
            raise InputError(f"{key}: unknown key, {place} is a setting, no section")
        else:
            return place.rpartition(".")[0], kind, field
    return place, kind, None
