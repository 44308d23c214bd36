"""Synthetic sets that a run compares with its selections."""

import dataclasses
from typing import Any

from ddjax.declare import Names, setting, with_sections
from ddjax.declare.walk import require
from ddjax.distill import METHODS


@dataclasses.dataclass(frozen=True)
class _Entry:
    method: str = setting("rded", "The distillation method.", Names("methods"))
    teachers: tuple[str, ...] = setting(
        ("teacher",),
        "`teacher`, or names of `ensemble`.",
        Names("teachers", "`teacher` or a name in `ensemble`"),
        counts="[1, 1000]",
        each="once",
    )
    difficulty: str = setting(
        "",
        "The score by which a method orders the pool; '': its own choice.",
        Names("scores"),
        also=("",),
    )
    own_labels: bool = setting(
        True,
        "Whether `soft` students have the labels that its method learned, where it "
        "learns any; else the teacher's.",
    )
    own_rate: bool = setting(
        False,
        "Whether students have the learning rate that its method learned; else the one "
        "that was tuned.",
    )
    losses: int = setting(
        0,
        "Draws of networks and real images in which the loss that the method descends "
        "is measured of every subset and every set of the run, for `dcs.csv`; 0: none.",
        "[0, 10000]",
    )
    sets: int = setting(
        0,
        "How many sets a budget has: students' seeds take turns. 0: one a seed.",
        "[0, 1000]",
    )


_SECTIONS = {
    name: options
    for method in METHODS.values()
    for name, options in method.sections.items()
}
_WithSections: Any = with_sections(_Entry, _SECTIONS)


@dataclasses.dataclass(frozen=True)
class Distill(_WithSections):
    """A synthetic set of IPC images a class, by a method of ddjax.distill.METHODS.

    Its sections are the options of methods; only those of its own method may be set.
    """

    def check(self, key: str) -> None:
        """Raises InputError where something is set that the method does not have."""
        if self.method not in METHODS:  # which `catalogue.check_names` refuses
            return
        measures = [each for each in METHODS if METHODS[each].measures]
        allowed = f"0: {self.method} has no loss of any set; {', '.join(measures)} do"
        fits = not self.losses or self.method in measures
        require(fits, f"{key}.losses", self.losses, allowed)
        read = METHODS[self.method].sections
        for name in (name for name in _SECTIONS if name not in read):
            readers = (each for each in METHODS if name in METHODS[each].sections)
            why = f"{self.method} does not read {name}, only {', '.join(readers)} do"
            options = getattr(self, name)
            for field in dataclasses.fields(options):
                value, usual = getattr(options, field.name), field.default
                place = f"{key}.{name}.{field.name}"
                require(value == usual, place, value, f"{usual!r}, the default: {why}")
