"""Synthetic sets that a run makes, and compares with its selections."""

import dataclasses

from ddjax.declare import Names, setting
from ddjax.declare.walk import require
from ddjax.settings.patches import Patches
from ddjax.settings.recover import Recover


@dataclasses.dataclass(frozen=True)
class Distill:
    """A synthetic set of IPC images a class, made by a method of ddjax.distill.METHODS.

    A method reads the section that is named after its kind, see there.
    """

    method: str = setting("rded", "The distillation method.", Names("methods"))
    teachers: tuple[str, ...] = setting(
        ("teacher",),
        "`teacher`, or names of `committee`.",
        Names("teachers", "`teacher` or a name in `committee`"),
        counts="[1, 1000]",
        each="once",
    )
    difficulty: str = setting(
        "",
        "The score by which a method orders the pool; '': its own choice.",
        Names("scores"),
        also=("",),
    )
    sets: int = setting(
        0,
        "How many sets are made a budget: students' seeds take turns. 0: one a seed.",
        "[0, 1000]",
    )
    patches: Patches = Patches()
    recover: Recover = Recover()

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        count = len(self.teachers)
        require(
            len(self.recover.prior) in (0, count),
            f"{key}.recover.prior",
            self.recover.prior,
            f"() or one accuracy for each of {count} teachers",
        )
        require(
            self.method != "cv_dd" or self.recover.drawn <= count,
            f"{key}.recover.drawn",
            self.recover.drawn,
            f"at most the {count} teachers, or 0 for all of them",
        )
        require(
            self.method != "cda" or self.recover.area < 1,
            f"{key}.recover.area",
            self.recover.area,
            "a number below 1, at which the curriculum of cda ends",
        )
