"""What settings and the command line can name, with a line on each.

A kind is a package's plain dict and a function that gives a line of one of its entries;
`ddjax list KIND` prints them.
"""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ddjax import data, distill, losses, models, protocols, scores, select
from ddjax.cli import config_files
from ddjax.errors import InputError
from ddjax.labels import codecs


@dataclasses.dataclass(frozen=True)
class Kind:
    """What can be named in one place.

    Attributes:
      table: name -> what it stands for; or a function that returns that.
      line: what it stands for -> one line on it.
      shown: name and what it stands for -> how it is written, with its options.
    """

    table: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    line: Callable[[Any], str]
    shown: Callable[[str, Any], str] = lambda name, found: name


def rows(kind: str) -> dict[str, str]:
    """Returns the names of a kind, as they are written, with a line on each.

    Raises:
      InputError: an unknown kind; lists the known ones.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise InputError(f"list: found {kind!r}, allowed is one of {known}")
    of = KINDS[kind]
    table = of.table() if callable(of.table) else of.table
    return {of.shown(name, found): of.line(found) for name, found in table.items()}


def first_line(thing: Any) -> str:
    """Returns the first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def module_line(function: Any) -> str:
    """Returns the first line of the docstring of a function's file."""
    return first_line(inspect.getmodule(function))


def _selection(declared: select.Selection) -> str:
    line = declared.summary or first_line(declared.function)
    by_score = declared.score and not declared.summary
    return f"{line} By {declared.score}." if by_score else line


def _with_options(name: str, *options: str) -> str:
    return ":".join(filter(None, (name, ",".join(options))))


def _named(names: Collection[str]) -> dict[str, str]:
    return {name: name for name in names}


KINDS = {
    "configs": Kind(lambda: _named(config_files.names()), config_files.summary),
    "selections": Kind(select.METHODS, _selection),
    "methods": Kind(distill.METHODS, lambda method: first_line(method.function)),
    "networks": Kind(models.MODELS, lambda model: first_line(model.options)),
    "datasets": Kind(data.listed, lambda says: says),
    "losses": Kind(
        losses.LOSSES,
        lambda loss: f"{first_line(loss.function)} [{loss.source}]",
    ),
    "codecs": Kind(
        codecs.CODECS,
        first_line,
        lambda name, codec: _with_options(name, *(f"{o}=..." for o in codec.options())),
    ),
    "protocols": Kind(
        protocols.PROTOCOLS,
        lambda protocol: protocol.meaning,
        lambda name, _: f"protocols/{name}",
    ),
    "scores": Kind(scores.SCORES, lambda score: score.summary),
}
