"""What a run is asked to do: frozen, validated settings and their defaults.

The dataclasses below are the only place where defaults stand. `defaults()` turns them
into a locked `ConfigDict` that a file under `configs/` changes, and `from_config` turns
the result (with the command line's overrides) back into a checked `Settings`.
Names that depend on other packages (sources, networks, methods) are checked by
`ddjax.experiment.check`.
"""

import dataclasses
import types
import typing
from typing import Any

import ml_collections

from ddjax.errors import InputError
from ddjax.settings import checks
from ddjax.settings.augment import Augment
from ddjax.settings.distill import Distill
from ddjax.settings.labels import REGIMES, Labels
from ddjax.settings.network import Network, named
from ddjax.settings.observe import Observe
from ddjax.settings.optimizer import Optimizer
from ddjax.settings.select import Imported, Select
from ddjax.settings.teacher import Teacher

DRIVERS = ("auto", "vmap", "loop", "mesh")
SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, how large, and how they are divided."""

    source: str = "digits"  # see ddjax.data.SOURCES; "folder:PATH", "tfds:NAME", ...
    data_dir: str = ""  # where the source's files are; empty: the source's own place
    image_size: int = 0  # pixels a side after loading; 0: as they come
    # Images stay on disk and are decoded when they are needed, see ddjax.data.load.
    stream: bool = False
    workers: int = 0  # that decode a stream for this process; 0: one a core
    pool: int = 0  # stratified thinning of the training set to N examples; 0: all
    validation: float = 0.15  # fraction of the training set kept for every choice

    def __post_init__(self):
        checks.require(self.source != "", "data.source", self.source, "a source's name")
        checks.finite("data.image_size", self.image_size, 0)
        checks.finite("data.pool", self.pool, 0)
        checks.finite("data.workers", self.workers, 0)
        checks.require(
            0 < self.validation < 1,
            "data.validation",
            self.validation,
            "a fraction in (0, 1)",
        )


@dataclasses.dataclass(frozen=True)
class Student:
    """The recipe of every student, of the full-data references and of the trace."""

    network: Network = Network()
    epochs: int = 0  # passes over the subset; the budget grows with IPC
    passes: int = 0  # or: image passes, the same at every IPC
    batch_size: int = 20
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)  # tried on validation
    optimizer: Optimizer = Optimizer()
    label_smoothing: float = 0.0  # hard labels
    temperature: float = 20.0  # soft labels, where `labels` names no other
    scale_by_t2: bool = True  # soft labels: loss times temperature squared

    def __post_init__(self):
        if (self.epochs > 0) == (self.passes > 0):
            raise InputError(
                f"student.epochs, student.passes: found {self.epochs} and "
                f"{self.passes}, exactly one of the two must be > 0"
            )
        checks.finite("student.batch_size", self.batch_size, 1)
        checks.require(
            len(self.learning_rates) > 0,
            "student.learning_rates",
            self.learning_rates,
            "at least one learning rate",
        )
        for rate in self.learning_rates:
            checks.positive("student.learning_rates", rate)
        checks.finite("student.label_smoothing", self.label_smoothing, 0, 1)
        checks.positive("student.temperature", self.temperature)
        self.optimizer.check("student.optimizer")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """One more judge of every subset: a network and its recipe.

    It has the student's recipe but for what is given here, the same number of image
    passes, and no part in any choice.
    """

    network: Network = Network()
    learning_rates: tuple[float, ...] = ()  # (): the student's
    batch_size: int = 0  # 0: the student's
    zeta: float = 0.0  # 0: the student's
    own_augment: bool = False  # whether it sees the views of `augment` below
    augment: Augment = Augment()

    def check(self, section: str) -> None:
        for rate in self.learning_rates:
            checks.positive(f"{section}.learning_rates", rate)
        checks.finite(f"{section}.batch_size", self.batch_size, 0)
        checks.finite(f"{section}.zeta", self.zeta, 0)
        checks.require(
            self.own_augment or self.augment == Augment(),
            f"{section}.own_augment",
            self.own_augment,
            f"True beside views of its own, {section}.augment",
        )


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How choices are made and repeated."""

    seeds: tuple[int, ...] = (0, 1, 2)
    search_seeds: int = 1  # seeds spent on choosing learning rates and windows
    select_on: str = "validation"  # "test" only to reproduce papers that did so
    # Points of a training at which train and test accuracy are measured, for the
    # report's curves; nothing is chosen by them. 0: none.
    curves: int = 0

    def __post_init__(self):
        checks.require(
            len(self.seeds) > 0 and len(set(self.seeds)) == len(self.seeds),
            "protocol.seeds",
            self.seeds,
            "at least one seed, every seed once",
        )
        for seed in self.seeds:
            checks.finite("protocol.seeds", seed, 0, 2**31 - 1)
        checks.finite("protocol.search_seeds", self.search_seeds, 1, len(self.seeds))
        checks.one_of("protocol.select_on", self.select_on, SPLITS)
        checks.finite("protocol.curves", self.curves, 0)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How the member axis is run; changes speed, never results beyond float noise."""

    driver: str = "auto"
    members: int = 8  # at most this many students in one compiled program
    checkpoint_seconds: float = 60.0  # between saves inside a long group

    def __post_init__(self):
        checks.one_of("sweep.driver", self.driver, DRIVERS)
        checks.finite("sweep.members", self.members, 1)
        checks.positive("sweep.checkpoint_seconds", self.checkpoint_seconds)


@dataclasses.dataclass(frozen=True)
class Mesh:
    """How devices are used; changes speed, never results beyond float noise."""

    data: int = 0  # devices that share a batch, see ddjax.mesh.grid; 0: chosen

    def __post_init__(self):
        checks.finite("mesh.data", self.data, 0)


def _three_regimes() -> dict[str, Labels]:
    return {name: Labels(regime=name) for name in REGIMES}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run of the road: source, teacher, trace, subsets, students, report."""

    name: str = "experiment"
    remarks: tuple[str, ...] = ()  # what a config says about itself
    # Names in `labels`; (): nothing but teachers are trained.
    regimes: tuple[str, ...] = ("hard", "soft", "soft_kd")
    labels: dict[str, Labels] = dataclasses.field(default_factory=_three_regimes)
    data: Data = Data()
    augment: Augment = Augment()
    teacher: Teacher = Teacher()
    committee: dict[str, Teacher] = dataclasses.field(default_factory=dict)
    student: Student = Student(epochs=100)
    transfer: dict[str, Transfer] = dataclasses.field(default_factory=dict)
    select: Select = Select()
    # Image sets that are made and judged beside the selections, by name.
    distill: dict[str, Distill] = dataclasses.field(default_factory=dict)
    # Path of an image set that is judged too, see ddjax.data.read_image_set. It says
    # what select.ipcs is.
    images: str = ""
    images_mean: tuple[float, ...] = ()  # by which its floats were normalised; (): not
    images_std: tuple[float, ...] = ()
    images_resize: bool = False  # accept images of another size
    images_labels: bool = False  # in `soft`: the set's own labels, not the teacher's
    protocol: Protocol = Protocol()
    sweep: Sweep = Sweep()
    mesh: Mesh = Mesh()
    observe: Observe = Observe()

    def __post_init__(self):
        self.teacher.check("teacher")
        checks.require(
            not self.images_labels or (self.images and "soft" in self.regimes),
            "images_labels",
            self.images_labels,
            "False without `images`, or without `soft` among the regimes",
        )
        for name, teacher in self.committee.items():
            teacher.check(f"committee.{name}")
        for name, transfer in self.transfer.items():
            transfer.check(f"transfer.{name}")
        for name, entry in self.distill.items():
            entry.check(f"distill.{name}")
            for teacher in entry.teachers:
                key = f"distill.{name}.teachers"
                checks.one_of(key, teacher, ("teacher", *self.committee))
        for name, labels in self.labels.items():
            labels.check(f"labels.{name}")
            for teacher in labels.committee:
                key = f"labels.{name}.committee"
                checks.one_of(key, teacher, ("teacher", *self.committee))
        for ipc in self.select.ipcs:
            for name in self.regimes:
                labels = self.labels.get(name, Labels())
                checks.require(
                    not labels.slc or labels.slc >= ipc,
                    f"labels.{name}.slc",
                    labels.slc,
                    f"at least the {ipc} images a class of select.ipcs",
                )


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
            kind = typing.get_args(field.type)[0]
            kind = typing.get_origin(kind) or kind
            value = ml_collections.config_dict.placeholder(kind)
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
    """Adds a teacher with default settings to `committee`."""
    with config.unlocked():
        config.committee[name] = _plain(Teacher())


def add_transfer(
    config: ml_collections.ConfigDict, entry: str, name: str = "", **options: Any
) -> None:
    """Adds a judge to `transfer`.

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
    """Adds an image set to `distill`, with default settings.

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


def _build(kind: type, config: Any, prefix: str) -> Any:
    if not isinstance(config, ml_collections.ConfigDict | dict):
        key = prefix.rstrip(".") or "config"
        raise InputError(f"{key}: found {config!r}, allowed is a section")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(config) - set(fields))
    if unknown:
        raise InputError(
            f"{prefix}{unknown[0]}: unknown key, allowed here are {', '.join(fields)}"
        )
    values = {}
    for name, field in fields.items():
        if name not in config:
            continue
        if dataclasses.is_dataclass(field.type):
            values[name] = _build(field.type, config[name], f"{prefix}{name}.")
        elif typing.get_origin(field.type) is dict:
            _, kind_of_entry = typing.get_args(field.type)
            values[name] = {
                key: _build(kind_of_entry, config[name][key], f"{prefix}{name}.{key}.")
                for key in config[name]
            }
        else:
            values[name] = _convert(f"{prefix}{name}", config[name], field.type)
    return kind(**values)


def _convert(key: str, value: Any, kind: Any) -> Any:
    """Returns value as kind: int, float, bool, str, a tuple of one of these or None."""
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]
        return None if value is None else _convert(key, value, kind)
    if getattr(kind, "__origin__", None) is tuple:
        if not isinstance(value, tuple | list):
            raise InputError(f"{key}: found {value!r}, allowed is a tuple")
        return tuple(_convert(key, entry, kind.__args__[0]) for entry in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(
            f"{key}: found {value!r} of type {type(value).__name__}, "
            f"allowed is {kind.__name__}"
        )
    return value
