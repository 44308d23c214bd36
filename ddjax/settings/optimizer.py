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
