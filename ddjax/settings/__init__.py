"""What a run is asked to do: frozen, validated settings and their defaults.

The dataclasses below are the only place where defaults stand. `defaults()` turns them
into a locked `ConfigDict` that a file under `configs/` changes, and `from_config` turns
the result (with the command line's overrides) back into a checked `Settings`.
Names that depend on other packages (sources, networks, methods) are checked by
`ddjax.experiment.check`.
"""

import dataclasses
import typing
from typing import Any

import ml_collections

from ddjax.errors import InputError
from ddjax.settings import checks
from ddjax.settings.labels import REGIMES, Labels
from ddjax.settings.select import Imported, Select

SCHEDULES = ("constant", "step", "cosine")
OPTIMIZERS = ("adamw", "sgd")
DRIVERS = ("auto", "vmap", "loop", "mesh")
SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, how large, and how they are divided."""

    source: str = "digits"  # see ddjax.data.SOURCES; "folder:PATH", "tfds:NAME", ...
    data_dir: str = ""  # where the source's files are; empty: the source's own place
    image_size: int = 0  # pixels a side after loading; 0: as they come
    pool: int = 0  # stratified thinning of the training set to N examples; 0: all
    validation: float = 0.15  # fraction of the training set kept for every choice

    def __post_init__(self):
        checks.require(self.source != "", "data.source", self.source, "a source's name")
        checks.finite("data.image_size", self.image_size, 0)
        checks.finite("data.pool", self.pool, 0)
        checks.require(
            0 < self.validation < 1,
            "data.validation",
            self.validation,
            "a fraction in (0, 1)",
        )


@dataclasses.dataclass(frozen=True)
class Augment:
    """Views of an image, see ddjax.data.augment.Recipe."""

    pad: int = 0  # pixels; pad and crop back at a random offset
    resized_crop: tuple[float, ...] = ()  # (lowest, highest) area; (): off
    flip: bool = False
    cutmix: float = 0.0  # alpha of the Beta distribution; 0: off
    cutmix_regimes: tuple[str, ...] = ("soft_kd",)  # where CutMix is applied

    def __post_init__(self):
        checks.require(
            len(self.resized_crop) in (0, 2),
            "augment.resized_crop",
            self.resized_crop,
            "() or (lowest, highest) area",
        )


@dataclasses.dataclass(frozen=True)
class Convnet:
    width: int = 32
    depth: int = 3
    norm: str = "instance"  # instance, batch, group, none


@dataclasses.dataclass(frozen=True)
class Resnet18:
    width: int = 64
    stem: str = "auto"  # auto, small (3x3, no pooling), large (7x7, pooling)


@dataclasses.dataclass(frozen=True)
class Mlp:
    hidden: tuple[int, ...] = (128, 128)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network's name and, for each kind, its options; only the named kind's count."""

    name: str = "convnet"
    convnet: Convnet = Convnet()
    resnet18: Resnet18 = Resnet18()
    mlp: Mlp = Mlp()

    def options(self) -> dict[str, Any]:
        """Returns the options of the named network, empty for an unknown name."""
        chosen = getattr(self, self.name, None)
        return dataclasses.asdict(chosen) if dataclasses.is_dataclass(chosen) else {}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One training recipe without its length and learning rate."""

    name: str = "adamw"
    momentum: float = 0.9  # sgd
    nesterov: bool = False  # sgd
    weight_decay: float = 0.01  # on matrices and kernels only
    schedule: str = "cosine"
    zeta: float = 1.0  # cosine: 0.5 (1 + cos(pi t / (zeta T)))
    warmup: float = 0.0  # fraction of the steps, linear from 0
    clip: float = 0.0  # largest global gradient norm; 0: off
    ema: float = 0.0  # decay of the averaged parameters that are evaluated; 0: off

    def check(self, section: str) -> None:
        checks.one_of(f"{section}.name", self.name, OPTIMIZERS)
        checks.one_of(f"{section}.schedule", self.schedule, SCHEDULES)
        checks.positive(f"{section}.zeta", self.zeta)
        checks.finite(f"{section}.momentum", self.momentum, 0, 1)
        checks.finite(f"{section}.weight_decay", self.weight_decay, 0)
        checks.finite(f"{section}.warmup", self.warmup, 0, 1)
        checks.finite(f"{section}.clip", self.clip, 0)
        checks.require(
            0 <= self.ema < 1, f"{section}.ema", self.ema, "a number in [0, 1)"
        )

    def used(self) -> dict[str, Any]:
        """Returns the fields that matter with this optimiser and schedule."""
        unused = [] if self.name == "sgd" else ["momentum", "nesterov"]
        unused += [] if self.schedule == "cosine" else ["zeta"]
        fields = dataclasses.asdict(self)
        return {name: fields[name] for name in fields if name not in unused}


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The network whose labels the soft regimes use; trained with hard labels."""

    path: str = ""  # folder of a teacher artifact to use instead of training one
    network: Network = Network()
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    label_smoothing: float = 0.0
    optimizer: Optimizer = Optimizer()

    def __post_init__(self):
        checks.finite("teacher.epochs", self.epochs, 1)
        checks.finite("teacher.batch_size", self.batch_size, 1)
        checks.positive("teacher.learning_rate", self.learning_rate)
        checks.finite("teacher.label_smoothing", self.label_smoothing, 0, 1)
        self.optimizer.check("teacher.optimizer")


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
class Protocol:
    """How choices are made and repeated."""

    seeds: tuple[int, ...] = (0, 1, 2)
    search_seeds: int = 1  # seeds spent on choosing learning rates and windows
    select_on: str = "validation"  # "test" only to reproduce papers that did so

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


def _three_regimes() -> dict[str, Labels]:
    return {name: Labels(regime=name) for name in REGIMES}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run of the road: source, teacher, trace, subsets, students, report."""

    name: str = "experiment"
    regimes: tuple[str, ...] = ("hard", "soft", "soft_kd")  # names in `labels`
    labels: dict[str, Labels] = dataclasses.field(default_factory=_three_regimes)
    data: Data = Data()
    augment: Augment = Augment()
    teacher: Teacher = Teacher()
    committee: dict[str, Teacher] = dataclasses.field(default_factory=dict)
    student: Student = Student(epochs=100)
    select: Select = Select()
    protocol: Protocol = Protocol()
    sweep: Sweep = Sweep()

    def __post_init__(self):
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
    return ml_collections.ConfigDict(
        dataclasses.asdict(Settings()), convert_dict=True
    ).lock()


def add_labels(config: ml_collections.ConfigDict, name: str, **changes: Any) -> None:
    """Adds an entry to `labels` and to the end of `regimes`.

    Args:
      config: of `defaults`; changed in place.
      name: of the new entry.
      **changes: fields of `Labels` that differ from their defaults.
    """
    with config.unlocked():
        config.labels[name] = dataclasses.asdict(Labels(**changes))
    config.regimes = (*config.regimes, name)


def add_teacher(config: ml_collections.ConfigDict, name: str) -> None:
    """Adds a teacher with default settings to `committee`."""
    with config.unlocked():
        config.committee[name] = dataclasses.asdict(Teacher())


def add_selection(config: ml_collections.ConfigDict, name: str, **changes: Any) -> None:
    """Adds a selection from a file to `select.imported` and to `select.methods`.

    Args:
      config: of `defaults`; changed in place.
      name: of the new selection.
      **changes: fields of `Imported` that differ from their defaults.
    """
    with config.unlocked():
        config.select.imported[name] = dataclasses.asdict(Imported(**changes))
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
    """Returns value as kind: int, float, bool, str or a tuple of one of these."""
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
