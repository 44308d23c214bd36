"""Recipes of the networks that are trained on subsets."""

import dataclasses

from ddjax.declare import setting
from ddjax.declare.walk import require
from ddjax.settings.augment import Augment
from ddjax.settings.network import Network
from ddjax.settings.optimizer import Optimizer

_RATES = "[1e-8, 100]"


@dataclasses.dataclass(frozen=True)
class Student:
    """The recipe of every student, of the full-data references and of the trace."""

    network: Network = Network()
    epochs: int = setting(
        0, "Passes over the subset; the budget grows with IPC.", "[0, 1000000]"
    )
    passes: int = setting(0, "Or: image passes, the same at every IPC.", "[0, 1e12]")
    batch_size: int = setting(20, "Images a step.", "[1, 1000000]")
    learning_rates: tuple[float, ...] = setting(
        (1e-3, 3e-3, 1e-2, 3e-2), "Tried on validation.", _RATES, counts="[1, 100]"
    )
    optimizer: Optimizer = Optimizer()
    label_smoothing: float = setting(0.0, "Of hard labels.", "[0, 1]")
    temperature: float = setting(
        20.0, "Of soft labels, where `labels` names no other.", "[0.01, 1000]"
    )
    scale_by_t2: bool = setting(
        True, "Soft labels: the loss times the squared temperature."
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        require(
            (self.epochs > 0) != (self.passes > 0),
            f"{key}.epochs, {key}.passes",
            (self.epochs, self.passes),
            "exactly one of the two > 0",
        )


@dataclasses.dataclass(frozen=True)
class Transfer:
    """One more network that evaluates every subset, with its recipe.

    It has the student's recipe but for what is given here, the same number of image
    passes, and no part in any choice.
    """

    network: Network = Network()
    learning_rates: tuple[float, ...] = setting(
        (), "Tried on validation; (): the student's.", _RATES, counts="[0, 100]"
    )
    batch_size: int = setting(0, "Images a step; 0: the student's.", "[0, 1000000]")
    zeta: float = setting(
        0.0, "See student.optimizer.zeta; 0: the student's.", "[0.01, 100]", also=(0.0,)
    )
    own_augment: bool = setting(
        False, "Whether it trains on the views of `augment` below."
    )
    augment: Augment = Augment()

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        require(
            self.own_augment or self.augment == Augment(),
            f"{key}.own_augment",
            self.own_augment,
            f"True beside views of its own, {key}.augment",
        )
