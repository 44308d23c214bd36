"""How weights are updated."""

import dataclasses
from typing import Any

from ddjax.settings import checks

SCHEDULES = ("constant", "step", "cosine")
OPTIMIZERS = ("adamw", "sgd")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One training recipe without its length and learning rate."""

    name: str = "adamw"
    momentum: float = 0.9  # sgd
    nesterov: bool = False  # sgd
    weight_decay: float = 0.01  # on matrices and kernels only
    schedule: str = "cosine"
    zeta: float = 1.0  # cosine: 0.5 (1 + cos(pi t / (zeta T)))
    step_at: tuple[float, ...] = (0.5,)  # step: after these fractions of the training
    step_factor: float = 0.1  # step: what each of them multiplies the rate by
    warmup: float = 0.0  # fraction of the steps, linear from 0
    clip: float = 0.0  # largest global gradient norm; 0: off
    ema: float = 0.0  # decay of the averaged parameters that are evaluated; 0: off

    def check(self, section: str) -> None:
        checks.one_of(f"{section}.name", self.name, OPTIMIZERS)
        checks.one_of(f"{section}.schedule", self.schedule, SCHEDULES)
        checks.positive(f"{section}.zeta", self.zeta)
        increasing = list(self.step_at) == sorted({*self.step_at})
        checks.require(
            increasing and all(0 < at < 1 for at in self.step_at),
            f"{section}.step_at",
            self.step_at,
            "fractions in (0, 1), each larger than the one before",
        )
        checks.finite(f"{section}.step_factor", self.step_factor, 0, 1)
        checks.finite(f"{section}.momentum", self.momentum, 0, 1)
        checks.finite(f"{section}.weight_decay", self.weight_decay, 0)
        checks.finite(f"{section}.warmup", self.warmup, 0, 1)
        checks.finite(f"{section}.clip", self.clip, 0)
        checks.require(
            0 <= self.ema < 1, f"{section}.ema", self.ema, "a number in [0, 1)"
        )

    def used(self) -> dict[str, Any]:
        """Returns the fields that matter with this optimiser and schedule.

        Those of the steps came later: addresses of artifacts are made of it, so they
        are left out where they say what used to be fixed.
        """
        unused = [] if self.name == "sgd" else ["momentum", "nesterov"]
        unused += [] if self.schedule == "cosine" else ["zeta"]
        steps = ("step_at", "step_factor")
        before = tuple(getattr(Optimizer, name) for name in steps)
        if self.schedule != "step" or (self.step_at, self.step_factor) == before:
            unused += steps
        fields = dataclasses.asdict(self)
        return {name: fields[name] for name in fields if name not in unused}
