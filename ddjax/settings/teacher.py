"""The network whose labels the soft regimes use."""

import dataclasses

from ddjax.settings import checks
from ddjax.settings.network import Network
from ddjax.settings.optimizer import Optimizer

_WEIGHTS = (".safetensors", ".pth", ".pt", ".tar", ".bin")


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher: trained with hard labels, a bundle, or a file of PyTorch weights.

    A file holds weights only. `network` says whose they are, and `classes`, `mean` and
    `std` how they were trained; from a bundle all of this is read.
    """

    path: str = ""  # folder of a bundle, or a .safetensors or .pth file; "": train one
    remap: bool = False  # accept another order of classes, or more classes, by name
    epoch: int = 0  # which snapshot teaches; 0: the end of the training
    classes: str = ""  # file: text file with a class name a line, in the file's order
    mean: tuple[float, ...] = ()  # file: of its channels in [0, 1]; (): the source's
    std: tuple[float, ...] = ()
    network: Network = Network()
    epochs: int = 30
    snapshots: tuple[int, ...] = ()  # epochs after which weights are kept too
    batch_size: int = 64
    learning_rate: float = 3e-3
    label_smoothing: float = 0.0
    seed: int = 0
    optimizer: Optimizer = Optimizer()

    @property
    def is_file(self) -> bool:
        """Whether `path` is a file of PyTorch weights."""
        return self.path.endswith(_WEIGHTS)

    def check(self, section: str) -> None:
        """Raises InputError where a value makes no sense; `section` is its prefix."""
        checks.finite(f"{section}.epochs", self.epochs, 1)
        checks.finite(f"{section}.batch_size", self.batch_size, 1)
        checks.positive(f"{section}.learning_rate", self.learning_rate)
        checks.finite(f"{section}.label_smoothing", self.label_smoothing, 0, 1)
        checks.finite(f"{section}.seed", self.seed, 0, 2**31 - 1)
        for epoch in self.snapshots:
            checks.finite(f"{section}.snapshots", epoch, 1, self.epochs)
        once = len(set(self.snapshots)) == len(self.snapshots)
        allowed = "every epoch once"
        checks.require(once, f"{section}.snapshots", self.snapshots, allowed)
        if self.epoch and not self.path:
            known = (*self.snapshots, self.epochs)
            allowed = f"0 or one of {', '.join(map(str, known))} of {section}.snapshots"
            checks.require(self.epoch in known, f"{section}.epoch", self.epoch, allowed)
        if self.is_file:
            checks.require(
                self.classes != "",
                f"{section}.classes",
                self.classes,
                "a text file with a class name a line, in the order of the weights in "
                f"{section}.path: a wrong order is the most common way to bad teachers",
            )
        for key in ("classes", "mean", "std"):
            found = getattr(self, key)
            allowed = f"nothing unless {section}.path is a file of PyTorch weights"
            checks.require(
                self.is_file or not found, f"{section}.{key}", found, allowed
            )
        for value in self.mean:
            checks.finite(f"{section}.mean", value)
        for value in self.std:
            checks.positive(f"{section}.std", value)
        self.optimizer.check(f"{section}.optimizer")
