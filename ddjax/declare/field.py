"""How a field of the settings is declared: default, meaning and range, once.

Checks, messages, the command line's `show` and docs/settings.md all read the
declaration. The type is the field's annotation: int, float, bool, str, a tuple of one
of these, or one of these or None.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Container, Mapping
from typing import Any

_KEY = "declaration"
_LONGEST = 4096  # characters of a text


@dataclasses.dataclass(frozen=True)
class Interval:
    """An interval of numbers, written as in mathematics: "[0, 1)"."""

    text: str
    low: float = dataclasses.field(init=False)
    high: float = dataclasses.field(init=False)

    def __post_init__(self):
        low, high = self.text[1:-1].split(",")
        object.__setattr__(self, "low", float(low))
        object.__setattr__(self, "high", float(high))

    def __contains__(self, value: float) -> bool:
        below = self.low < value if self.text[0] == "(" else self.low <= value
        above = value < self.high if self.text[-1] == ")" else value <= self.high
        return math.isfinite(value) and below and above

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of things of one kind, which other packages define.

    Attributes:
      kind: of `ddjax list`, such as "networks", or of the settings' own entries.
      text: what is allowed, in words; "": a name of `ddjax list KIND`.
    """

    kind: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"a name of `ddjax list {self.kind}`"


@dataclasses.dataclass(frozen=True)
class Text:
    """Any text of printable characters.

    Attributes:
      text: what is allowed, such as "a path".
      path: whether a leading ~ is the home folder.
    """

    text: str = "text"
    path: bool = False

    def __contains__(self, value: str) -> bool:
        return len(value) <= _LONGEST and (value.isprintable() or value == "")


PATH = Text("a path", path=True)
REQUIRED = "<required>"  # the text of a setting that a config leaves to its user


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is declared of a field besides its type and default.

    Attributes:
      meaning: one or more sentences.
      allowed: what a value, or each entry of a tuple, may be; None: True or False.
      also: values, beside those of `allowed`, with a meaning of their own.
      counts: how many entries a tuple may have, as an interval.
      each: "" or how entries relate: "once" or "rising".
    """

    meaning: str
    allowed: Interval | Names | Text | tuple[str, ...] | None
    also: tuple[Any, ...] = ()
    counts: Interval = Interval("[0, 1000]")
    each: str = ""

    def holds(self, value: Any) -> bool:
        """Returns whether a value of the field's type, not a tuple, is allowed."""
        if value in self.also or not isinstance(self.allowed, Container):
            return True
        return value in self.allowed


def setting(
    default: Any,
    meaning: str,
    allowed: str | Names | Text | tuple[str, ...] | None = None,
    *,
    also: tuple[Any, ...] = (),
    counts: str = "[0, 1000]",
    each: str = "",
) -> Any:
    """Declares a field of a frozen dataclass.

    Args:
      default: of the field.
      meaning: see `Declaration`.
      allowed: an interval such as "(0, 1]" for numbers, a tuple of words, `Names`,
        `Text`; None for a bool.
      also, counts, each: see `Declaration`.
    """
    within = Interval(allowed) if isinstance(allowed, str) else allowed
    declared = Declaration(meaning, within, also, Interval(counts), each)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def entries(meaning: str, first: Any = dict) -> Any:
    """Declares a field of sections by name.

    Args:
      meaning: of the field.
      first: makes the default.
    """
    return dataclasses.field(
        default_factory=first, metadata={_KEY: Declaration(meaning, None)}
    )


def declaration(field: dataclasses.Field) -> Declaration:
    """Returns what was declared of a field that is no section."""
    return field.metadata[_KEY]


@functools.cache
def kind_of(field: dataclasses.Field) -> tuple[type, bool, bool]:
    """Returns (type of a value or entry, whether it is a tuple, whether None may be).

    Args:
      field: of a setting.
    """
    kind: Any = field.type
    optional = isinstance(kind, types.UnionType)
    if optional:
        kind = typing.get_args(kind)[0]
    many = typing.get_origin(kind) is tuple
    return (typing.get_args(kind)[0] if many else kind), many, optional


def allowed_text(field: dataclasses.Field) -> str:
    """Returns in words what a setting may be."""
    declared, (kind, many, optional) = declaration(field), kind_of(field)
    if isinstance(declared.allowed, Interval):
        one = "an integer in" if kind is int else "a number in"
        words = f"{one} {declared.allowed}"
    elif isinstance(declared.allowed, Names):
        words = str(declared.allowed)
    elif isinstance(declared.allowed, tuple):
        words = f"one of {', '.join(declared.allowed)}"
    elif isinstance(declared.allowed, Text):
        words = declared.allowed.text
    else:
        words = "True or False"
    if declared.also:
        also = (repr(value) if value == "" else str(value) for value in declared.also)
        words = f"{' or '.join(also)} or {words}"
    if many:
        words = f"{_count(declared.counts)}, each {words}"
        rule = {"": "", "once": ", none twice", "rising": ", each above the last"}
        words += rule[declared.each]
    return f"None or {words}" if optional else words


def _count(counts: Interval) -> str:
    low, high = int(counts.low), int(counts.high)
    if low == high:
        return f"a tuple of {low}"
    return f"a tuple of {low} to {high}"


def with_sections(base: type, options: Mapping[str, type]) -> Any:
    """Returns a section with a section more for each class of options.

    Args:
      base: the dataclass of the section without them.
      options: name of a section -> the frozen dataclass of a method's options.

    Returns:
      A frozen dataclass of the same name, without a leading _, and documentation.
    """
    inner = [
        (name, kind, dataclasses.field(default=kind()))
        for name, kind in options.items()
    ]
    namespace = {"__doc__": base.__doc__, "__module__": base.__module__}
    return dataclasses.make_dataclass(
        base.__name__.lstrip("_"),
        inner,
        bases=(base,),
        namespace=namespace,
        frozen=True,
    )
