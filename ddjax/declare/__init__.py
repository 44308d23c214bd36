"""How a setting is declared: type, default, range and meaning, on its field.

A method declares its options in its own file, as a frozen dataclass; `ddjax.settings`
puts them together. Checks, messages, `ddjax show` and docs/settings.md read the
declarations, see `field`, and `walk` for the one walk through them.
"""

from ddjax.declare.field import (
    PATH,
    REQUIRED,
    Interval,
    Names,
    Text,
    allowed_text,
    declaration,
    entries,
    kind_of,
    setting,
    with_sections,
)

__all__ = [
    "PATH",
    "Interval",
    "REQUIRED",
    "Names",
    "Text",
    "allowed_text",
    "declaration",
    "entries",
    "kind_of",
    "setting",
    "with_sections",
]


def __dir__() -> list[str]:
    return __all__
