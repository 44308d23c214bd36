"""Nonsense in every setting: one line that names the key, or accepted for a reason.

The declared fields are walked, so that a new setting is covered when it is declared.
"""

import dataclasses
import math
import resource
import time

import pytest

from ddjax import settings
from ddjax.declare import Names, Text, declaration, kind_of, walk
from ddjax.declare.field import Interval
from ddjax.errors import InputError
from ddjax.stages import checks

NONSENSE = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    10**5000,
    -0.5,
    1e-30,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    "",
    "nonsense",
    "a\x00b",
    "a\nb",
    "x" * 5000,
    "{ipc.__class__}",
    "../../etc",
    b"bytes",
    (),
    (1,) * 5000,
    ("nonsense",),
    (math.nan, 1.0),
    ("random", "random"),
    [[]],
    {},
    {"a": 1},
    object(),
    1j,
]
TEXTS = ["", " ", "nan", "1e999", "9" * 5000, "1,", ",", "(", "()", "(1", "'", "\x00"]
# Sections by name are entered through one entry each.
ENTRIES = ("labels.mine", "ensemble.other", "transfer.thin", "distill.rded")
ENTRIES += ("select.imported.theirs",)
REASONS = {
    Interval: "its range holds it",
    tuple: "it is one of the words",
    Text: "it is a text, checked where it is used",
    Names: "its kind is another's to know, such as a layer's",
    type(None): "it is True or False",
}


def configured():
    config = settings.defaults()
    settings.add_labels(config, "mine")
    settings.add_teacher(config, "other")
    settings.add_transfer(config, "thin", name="mlp")
    settings.add_distillation(config, "rded")
    settings.add_selection(config, "theirs", scores="theirs.npy")
    return config


KEYS = [
    (key, field) for key, field, _ in walk.values(settings.from_config(configured()))
]


def one_a_field():
    """A key of every declared field: sections that repeat are walked once."""
    return list({id(field): (key, field) for key, field in reversed(KEYS)}.values())


def outcome(config):
    """ "" where a config is accepted, else what it is refused with."""
    try:
        checks.check_names(settings.from_config(config))
    except InputError as error:
        return str(error)
    return ""


def outcomes(whole, key, values):
    """Yields (value, outcome) with nonsense at a key of a config in turn."""
    section = whole
    *path, name = key.split(".")
    for part in path:
        section = section[part]
    usual = section._fields[name]
    for value in values:
        section._fields[name] = value
        yield value, outcome(whole)
    section._fields[name] = usual


def reason(field, value):
    """Why a value of the field is right, None if it should not be."""
    declared, (kind, many, optional) = declaration(field), kind_of(field)
    if value is None:
        return "None is the default's name" if optional else None
    if many:
        fits = isinstance(value, tuple | list) and len(value) in declared.counts
        return "every entry is right" if fits else None
    right = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not right or (isinstance(value, bool) and kind is not bool):
        return None
    return REASONS[type(declared.allowed)]


def test_every_entry_and_field_is_walked():
    keys = [key for key, _ in KEYS]
    assert all(any(key.startswith(entry) for key in keys) for entry in ENTRIES)
    sections = {type(section) for _, section in walk.sections(settings.Settings())}
    assert len(one_a_field()) > 140 and len(sections) > 20


# Of the nonsense each field gets a part, other fields of its kind another one.
PARTS = [
    0,
    *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 6)),
]


@pytest.mark.parametrize("part", PARTS)
def test_nonsense_is_refused_in_one_line_that_names_the_key(part):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    whole = configured()
    for number, (key, field) in enumerate(one_a_field()):
        for value, says in outcomes(whole, key, NONSENSE[(part + number) % 6 :: 6]):
            if not says:
                assert reason(field, value), f"{key} accepts {walk.shown(value)}"
                continue
            about = f"{key}, {walk.shown(value)}: {says}"
            assert key.rpartition(".")[2] in says or "select.ipcs" in says, about
            assert "\n" not in says and len(says) < 1500, about
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2**20  # KiB
    assert time.monotonic() - start < 120  # nothing hangs; usually it is seconds


@pytest.mark.parametrize("part", PARTS)
def test_nonsense_on_the_command_line_is_refused_alike(part):
    for number, (key, field) in enumerate(one_a_field()):
        kind, many, _ = kind_of(field)
        for text in TEXTS[(part + number) % 6 :: 6]:
            config = configured()
            try:
                settings.override(config, key, text)
                says = "" if kind is str or many else outcome(config)
                assert kind is str or many or says, (key, text)
            except InputError as error:
                says = str(error)
            if says:
                assert says.startswith(f"{key}: found "), (key, text)
                assert "\n" not in says and len(says) < 500, (key, text)


def test_every_default_is_within_its_own_range():
    for section in {type(found) for _, found in walk.sections(settings.Settings())}:
        for field in dataclasses.fields(section):
            if not walk.section_kind(field) and not walk.entry_kind(field):
                assert walk.convert("key", field, field.default) == field.default


def test_every_setting_has_a_meaning_and_every_number_a_range():
    for key, field in KEYS:
        declared, (kind, _, _) = declaration(field), kind_of(field)
        assert declared.meaning.endswith("."), key
        if kind in (int, float):
            assert isinstance(declared.allowed, Interval), key
            assert math.isfinite(declared.allowed.low + declared.allowed.high), key
