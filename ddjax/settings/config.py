"""Settings as a ConfigDict, which files under `configs/` and flags change, and back."""

import dataclasses
from typing import Any

import ml_collections

from ddjax.declare import REQUIRED, kind_of, walk
from ddjax.declare.text import parse
from ddjax.errors import InputError
from ddjax.settings.distill import Distill
from ddjax.settings.experiment import Settings
from ddjax.settings.labels import Labels
from ddjax.settings.network import named
from ddjax.settings.select import Imported, Variant
from ddjax.settings.student import Transfer
from ddjax.settings.teacher import Teacher


def defaults() -> ml_collections.ConfigDict:
    """Returns the defaults of `Settings` as a locked ConfigDict."""
    return ml_collections.ConfigDict(_plain(Settings()), convert_dict=True).lock()


def _plain(section: Any) -> dict[str, Any]:
    """Returns a section as a dict; what may be None is a placeholder of its type."""
    plain = {}
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            value = _plain(value)
        elif isinstance(value, dict):
            value = {name: _plain(entry) for name, entry in value.items()}
        elif value is None:
            kind, many, _ = kind_of(field)
            value = ml_collections.config_dict.placeholder(tuple if many else kind)
        plain[field.name] = value
    return plain


def add_labels(config: ml_collections.ConfigDict, name: str, **changes: Any) -> None:
    """Adds an entry to `labels` and to the end of `regimes`.

    Args:
      config: of `defaults`; changed in place.
      name: of the new entry.
      **changes: fields of `Labels` that differ from their defaults.
    """
    with config.unlocked():
        config.labels[name] = _plain(Labels(**changes))
    config.regimes = (*config.regimes, name)


def add_teacher(config: ml_collections.ConfigDict, name: str) -> None:
    """Adds a teacher with default settings to `ensemble`."""
    with config.unlocked():
        config.ensemble[name] = _plain(Teacher())


def add_transfer(
    config: ml_collections.ConfigDict, entry: str, name: str = "", **options: Any
) -> None:
    """Adds a network that evaluates to `transfer`.

    Args:
      config: of `defaults`; changed in place.
      entry: name of the entry.
      name: of the network; "": the entry's.
      **options: of the network.
    """
    with config.unlocked():
        config.transfer[entry] = _plain(Transfer(named(name or entry, **options)))


def add_distillation(
    config: ml_collections.ConfigDict, name: str, method: str = ""
) -> None:
    """Adds a synthetic set to `distill`, with default settings.

    Args:
      config: of `defaults`; changed in place.
      name: of the entry.
      method: of ddjax.distill.METHODS; "": the entry's name.
    """
    with config.unlocked():
        config.distill[name] = _plain(Distill(method=method or name))


def add_selection(config: ml_collections.ConfigDict, name: str, **changes: Any) -> None:
    """Adds a selection from a file to `select.imported` and to `select.methods`.

    Args:
      config: of `defaults`; changed in place.
      name: of the new selection.
      **changes: fields of `Imported` that differ from their defaults.
    """
    with config.unlocked():
        config.select.imported[name] = _plain(Imported(**changes))
    config.select.methods = (*config.select.methods, name)


def add_variant(
    config: ml_collections.ConfigDict, name: str, method: str, **changes: Any
) -> None:
    """Adds a selection with options of its own to `select.variants` and `methods`.

    Args:
      config: of `defaults`; changed in place.
      name: of the new selection.
      method: of ddjax.select.METHODS.
      **changes: SECTION__OPTION of the entry that differ from their defaults, such as
        cad__span=4.
    """
    with config.unlocked():
        config.select.variants[name] = _plain(Variant(method=method))
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    config.select.variants[name].update_from_flattened_dict(changed)
    config.select.methods = (*config.select.methods, name)


def override(config: ml_collections.ConfigDict, key: str, text: str) -> None:
    """Sets one value, as it is written on the command line.

    Args:
      config: of `defaults`; changed in place.
      key: names joined by dots, such as "student.epochs".
      text: of the value, see `text.parse`.

    Raises:
      InputError: there is no such key, or the text is no value of its type.
    """
    place, kind, field = walk.find(Settings, key)
    if field is None:
        names = ", ".join(each.name for each in dataclasses.fields(kind))
        raise InputError(f"{key}: is a section, allowed are its settings {names}")
    section = config
    for name in place.split(".") if place else ():
        if name not in section:
            there = ", ".join(section) or "none"
            raise InputError(f"{key}: there is no entry {name}, there are {there}")
        section = section[name]
    if section[field.name] == REQUIRED and not text:
        return  # still required
    with section.unlocked(), section.ignore_type():
        section[field.name] = parse(key, field, text)


def from_config(config: ml_collections.ConfigDict) -> Settings:
    """Checks a config and freezes it.

    Args:
      config: a ConfigDict with the keys of `Settings`, nested.

    Returns:
      The settings.

    Raises:
      InputError: an unknown or missing key, a wrong type or a value out of range; the
        message names the key, the value found and what is allowed.
    """
    return _build(Settings, config, "")


def _build(kind: type, config: Any, key: str) -> Any:
    if not isinstance(config, ml_collections.ConfigDict | dict):
        name = key or "config"
        raise InputError(f"{name}: found {walk.shown(config)}, allowed is a section")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in sorted(set(config) - set(fields), key=str):
        raise walk.unknown(key, str(name), fields)
    values = {}
    for name, field in fields.items():
        if name not in config:
            continue
        place, entry = walk.join(key, name), walk.entry_kind(field)
        inner = walk.section_kind(field)
        if inner:
            values[name] = _build(inner, config[name], place)
        elif entry:
            values[name] = _entries(entry, config[name], place)
        else:
            values[name] = walk.convert(place, field, config[name])
    return kind(**values)


def _entries(kind: type, config: Any, key: str) -> dict[str, Any]:
    if not isinstance(config, ml_collections.ConfigDict | dict):
        raise InputError(
            f"{key}: found {walk.shown(config)}, allowed are sections by name"
        )
    return {name: _build(kind, config[name], f"{key}.{name}") for name in config}
