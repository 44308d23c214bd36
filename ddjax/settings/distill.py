"""Image sets that a run makes, and judges beside its selections."""

import dataclasses

from ddjax.settings import checks
from ddjax.settings.patches import Patches
from ddjax.settings.recover import Recover


@dataclasses.dataclass(frozen=True)
class Distill:
    """An image set of IPC images a class, made by a method of ddjax.distill.METHODS.

    A method reads the section that is named after its kind, see there.
    """

    method: str = "rded"
    teachers: tuple[str, ...] = ("teacher",)  # or names of `committee`
    # Of select.SCORES, by which a method orders the pool; "": its own choice.
    difficulty: str = ""
    # How many sets are made a budget: students' seeds take turns. 0: one a seed.
    sets: int = 0
    patches: Patches = Patches()  # rded, ca2d, pca
    recover: Recover = Recover()  # sre2l and its family, g_vbsm, edc

    def check(self, section: str) -> None:
        """Raises InputError where a value makes no sense; `section` is its prefix."""
        checks.finite(f"{section}.sets", self.sets, 0)
        allowed = "at least one teacher, each once"
        once = len(set(self.teachers)) == len(self.teachers) > 0
        checks.require(once, f"{section}.teachers", self.teachers, allowed)
        self.patches.check(f"{section}.patches")
        self.recover.check(f"{section}.recover")
        checks.require(
            len(self.recover.prior) in (0, len(self.teachers)),
            f"{section}.recover.prior",
            self.recover.prior,
            f"() or one accuracy for each of {len(self.teachers)} teachers",
        )
        checks.require(
            self.method != "cv_dd" or self.recover.drawn <= len(self.teachers),
            f"{section}.recover.drawn",
            self.recover.drawn,
            f"at most the {len(self.teachers)} teachers, or 0 for all of them",
        )
        checks.require(
            self.method != "cda" or self.recover.area < 1,
            f"{section}.recover.area",
            self.recover.area,
            "a number below 1, at which the curriculum of cda ends",
        )
