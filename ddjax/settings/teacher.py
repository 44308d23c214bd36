"""The network whose labels the soft regimes use."""

import dataclasses

from ddjax.declare import PATH, Text, setting
from ddjax.declare.walk import require
from ddjax.settings.network import Network
from ddjax.settings.optimizer import Optimizer

_WEIGHTS = (".safetensors", ".pth", ".pt", ".tar", ".bin")


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher: trained with hard labels, a bundle, or a file of PyTorch weights.

    A file holds weights only. `network` names their network, `classes`, `mean` and
    `std` are those that it was trained with; a bundle has all of this in itself.
    """

    path: str = setting(
        "",
        "Folder of a bundle, or a .safetensors or .pth file; '': train one.",
        PATH,
    )
    remap: bool = setting(
        False, "Accept another order of classes, or more classes, by name."
    )
    epoch: int = setting(
        0, "Which snapshot teaches; 0: the end of the training.", "[0, 100000]"
    )
    classes: str = setting(
        "",
        "File: a text file with a class name a line, in the order of its logits.",
        PATH,
    )
    mean: tuple[float, ...] = setting(
        (),
        "File: of its channels in [0, 1]; (): the source's.",
        "[-10, 10]",
        counts="[0, 3]",
    )
    std: tuple[float, ...] = setting(
        (), "File: likewise.", "[1e-3, 10]", counts="[0, 3]"
    )
    weights: str = setting(
        "",
        "File: which of several sets of weights in it, such as 'state_dict_ema'.",
        Text(),
    )
    architecture: str = setting(
        "",
        "File: what it calls its network, accepted for `network` too.",
        Text(),
    )
    accuracy: float = setting(
        0.0,
        "Percent of the validation split that it must have right, or the run stops "
        "before any student.",
        "[0, 100]",
    )
    network: Network = Network()
    epochs: int = setting(30, "Of its training.", "[1, 100000]")
    snapshots: tuple[int, ...] = setting(
        (),
        "Epochs after which weights are kept too.",
        "[1, 100000]",
        each="once",
    )
    batch_size: int = setting(64, "Of its training.", "[1, 1000000]")
    learning_rate: float = setting(3e-3, "Of its training.", "[1e-8, 100]")
    label_smoothing: float = setting(0.0, "Of its training.", "[0, 1]")
    seed: int = setting(0, "Of its training.", "[0, 2147483647]")
    optimizer: Optimizer = Optimizer()

    @property
    def is_file(self) -> bool:
        """Whether `path` is a file of PyTorch weights."""
        return self.path.endswith(_WEIGHTS)

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        for epoch in self.snapshots:
            allowed = f"at most the {self.epochs} epochs of the training"
            require(epoch <= self.epochs, f"{key}.snapshots", epoch, allowed)
        if self.epoch and not self.path:
            known = (*self.snapshots, self.epochs)
            allowed = f"0 or one of {', '.join(map(str, known))} of {key}.snapshots"
            require(self.epoch in known, f"{key}.epoch", self.epoch, allowed)
        require(
            self.classes != "" or not self.is_file,
            f"{key}.classes",
            self.classes,
            "a text file with a class name a line, in the order of the weights in "
            f"{key}.path: a wrong order is the most common way to bad teachers",
        )
        for name in ("classes", "mean", "std", "weights", "architecture"):
            found = getattr(self, name)
            allowed = f"nothing unless {key}.path is a file of PyTorch weights"
            require(self.is_file or not found, f"{key}.{name}", found, allowed)
