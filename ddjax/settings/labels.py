"""One entry of `labels`: what a student is told about an image, and when."""

import dataclasses
from typing import Any

from ddjax.settings import checks

REGIMES = ("hard", "soft", "soft_kd")
LOSSES = ("kl", "mse_gt", "dkd", "nkd", "lskd", "dist", "crld")
SCHEDULES = ("constant", "mix", "hald", "soft_hard", "hard_soft", "alternate")
POOL_DRAWS = ("epoch", "label")
BATCH_NORMS = ("eval", "batch")
COMMITTEE_MEANS = ("plain", "frobenius", "weighted")


@dataclasses.dataclass(frozen=True)
class Labels:
    """A label recipe. The three regimes are the entries `hard`, `soft`, `soft_kd`."""

    regime: str = "soft_kd"  # what a soft step asks; `hard` has no soft step
    loss: str = "kl"  # of soft steps
    gt_weight: float = 0.025  # mse_gt: of the cross-entropy with the class
    temperature: float = 0.0  # of soft steps; 0: student.temperature
    dynamic_temperature: bool = False  # teacher: 20 * 0.7^(epoch // 30), at least 2
    calibrated_temperature: bool = False  # student: the best of 0.01..1 for each batch
    schedule: str = "constant"  # which epochs are soft and which are hard
    soft_epochs: int = 0  # schedules but `mix`: soft epochs in all; 0: half of them
    hard_weight: float = 0.1  # mix: L_soft + hard_weight * L_hard
    hard_smoothing: float = 0.8  # label smoothing of a schedule's hard steps
    slc: int = 0  # budget of soft labels a class; 0: a new label for every view
    pool_epochs: int = 0  # or: views are drawn again from the first P epochs; 0: not
    pool_draw: str = "epoch"  # what is drawn: whole epochs, or each label by itself
    codec: str = ""  # labels are stored, and replayed; see ddjax.labels.codecs; "": not
    batch_norm: str = "eval"  # of the labelling teacher; batch: statistics of a batch
    committee: tuple[str, ...] = ()  # teachers of `committee` that answer; (): teacher
    committee_mean: str = "plain"  # how their logits are averaged
    committee_weights: tuple[float, ...] = ()  # of a weighted mean, one a teacher

    def check(self, key: str) -> None:
        """Raises InputError where an entry makes no sense; `key` starts the message."""
        for name, known in (
            ("regime", REGIMES),
            ("loss", LOSSES),
            ("schedule", SCHEDULES),
            ("pool_draw", POOL_DRAWS),
            ("batch_norm", BATCH_NORMS),
            ("committee_mean", COMMITTEE_MEANS),
        ):
            checks.one_of(f"{key}.{name}", getattr(self, name), known)
        numbers = "temperature", "soft_epochs", "hard_weight", "slc", "pool_epochs"
        for name in (*numbers, "gt_weight"):
            checks.finite(f"{key}.{name}", getattr(self, name), 0)
        checks.finite(f"{key}.hard_smoothing", self.hard_smoothing, 0, 1)
        if self.regime != "soft_kd":
            for name, value in self.used().items():
                allowed = f"{getattr(Labels(), name)!r} with the regime {self.regime}"
                checks.require(False, f"{key}.{name}", value, allowed)
        checks.require(
            not (self.slc and self.pool_epochs),
            f"{key}.slc",
            self.slc,
            f"0 beside pool_epochs = {self.pool_epochs}: both name the pool's size",
        )
        checks.require(
            self.batch_norm == "eval" or self.codec != "",
            f"{key}.batch_norm",
            self.batch_norm,
            "eval unless labels are stored (codec), which fixes the batches",
        )
        weights = len(self.committee) if self.committee_mean == "weighted" else 0
        checks.require(
            len(self.committee_weights) == weights,
            f"{key}.committee_weights",
            self.committee_weights,
            f"{weights} numbers",
        )
        for weight in self.committee_weights:
            checks.positive(f"{key}.committee_weights", weight)
        checks.require(
            self.loss == "kl"
            or not (self.dynamic_temperature or self.calibrated_temperature),
            f"{key}.loss",
            self.loss,
            "kl where a temperature is dynamic or calibrated",
        )
        checks.require(
            self.loss == "mse_gt" or self.gt_weight == Labels.gt_weight,
            f"{key}.gt_weight",
            self.gt_weight,
            f"{Labels.gt_weight} with the loss {self.loss}, which has no such weight",
        )
        checks.require(
            self.loss != "crld" or not self.codec,
            f"{key}.codec",
            self.codec,
            "'' with the loss crld: a store has labels of one view of an image, and "
            "crld shows two",
        )

    @property
    def plain(self) -> bool:
        """Whether this is one of the three regimes and nothing else."""
        return self == Labels(regime=self.regime, temperature=self.temperature)

    @property
    def views(self) -> int:
        """Returns how many views of an image pass through a student in a step."""
        return 2 if self.loss == "crld" else 1

    def used(self) -> dict[str, Any]:
        """Returns what an entry adds to its plain regime."""
        fields, plain = dataclasses.asdict(self), dataclasses.asdict(Labels())
        used = {name: fields[name] for name in fields if fields[name] != plain[name]}
        for name in ("regime", "temperature"):
            used.pop(name, None)
        if self.schedule == "constant":
            used.pop("hard_smoothing", None)
        return used

    def pool(self, ipc: int) -> int:
        """Returns how many epochs of views have labels, 0 for all of the training.

        Args:
          ipc: images a class; a budget of SLC labels a class is SLC // IPC epochs.
        """
        return self.slc // ipc if self.slc else self.pool_epochs
