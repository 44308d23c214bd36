"""What a run is to do: frozen, validated settings and their defaults.

The dataclasses here are the only place where defaults, ranges and meanings stand.
`defaults()` turns them into a locked `ConfigDict` that a file under `configs/` changes,
`override` sets one value of it from the command line, and `from_config` turns the
result into a checked `Settings`. Names that depend on other packages (networks,
methods, ...) are checked by `ddjax.stages.checks`.
"""

from ddjax.declare import REQUIRED
from ddjax.settings.augment import Augment
from ddjax.settings.config import (
    add_distillation,
    add_labels,
    add_selection,
    add_teacher,
    add_transfer,
    add_variant,
    defaults,
    from_config,
    override,
)
from ddjax.settings.data import Data
from ddjax.settings.distill import Distill
from ddjax.settings.experiment import Settings
from ddjax.settings.labels import Labels
from ddjax.settings.network import Network, named
from ddjax.settings.observe import Observe
from ddjax.settings.optimizer import Optimizer
from ddjax.settings.protocol import Mesh, Protocol, Sweep
from ddjax.settings.select import Imported, Select
from ddjax.settings.student import Student, Transfer
from ddjax.settings.teacher import Teacher

__all__ = [
    "REQUIRED",
    "Augment",
    "Data",
    "Distill",
    "Imported",
    "Labels",
    "Mesh",
    "Network",
    "Observe",
    "Optimizer",
    "Protocol",
    "Select",
    "Settings",
    "Student",
    "Sweep",
    "Teacher",
    "Transfer",
    "add_distillation",
    "add_labels",
    "add_selection",
    "add_variant",
    "add_teacher",
    "add_transfer",
    "defaults",
    "from_config",
    "named",
    "override",
]


def __dir__() -> list[str]:
    return __all__
