"""How weights are updated."""

import dataclasses
from typing import Any

from ddjax.declare import setting

SCHEDULES = ("constant", "step", "cosine")
OPTIMIZERS = ("adamw", "sgd")


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One training recipe without its length and learning rate."""

    name: str = setting("adamw", "The update rule.", OPTIMIZERS)
    momentum: float = setting(0.9, "sgd: of the gradients.", "[0, 1]")
    nesterov: bool = setting(False, "sgd: Nesterov's momentum.")
    weight_decay: float = setting(0.01, "On matrices and kernels only.", "[0, 10]")
    schedule: str = setting("cosine", "How the learning rate falls.", SCHEDULES)
    zeta: float = setting(
        1.0,
        "cosine: the rate at step t of T is 0.5 (1 + cos(pi t / (zeta T))) times the "
        "first.",
        "[0.01, 100]",
    )
    step_at: tuple[float, ...] = setting(
        (0.5,),
        "step: after these fractions of the training.",
        "(0, 1)",
        counts="[0, 100]",
        each="rising",
    )
    step_factor: float = setting(
        0.1, "step: what each of them multiplies the rate by.", "[0, 1]"
    )
    warmup: float = setting(0.0, "Fraction of the steps, linear from 0.", "[0, 1]")
    clip: float = setting(0.0, "Largest global gradient norm; 0: no limit.", "[0, 1e6]")
    ema: float = setting(
        0.0, "Decay of the averaged parameters that are evaluated; 0: none.", "[0, 1)"
    )

    def used(self) -> dict[str, Any]:
        """Returns the fields that matter with this optimiser and schedule.

        Artifacts' addresses are digests of it. The fields of the steps are newer than
        the others, and left out where they have the values that were fixed before.
        """
        unused = [] if self.name == "sgd" else ["momentum", "nesterov"]
        unused += [] if self.schedule == "cosine" else ["zeta"]
        steps = ("step_at", "step_factor")
        before = tuple(getattr(Optimizer, name) for name in steps)
        if self.schedule != "step" or (self.step_at, self.step_factor) == before:
            unused += steps
        fields = dataclasses.asdict(self)
        return {name: fields[name] for name in fields if name not in unused}
