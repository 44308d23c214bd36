"""One entry of `labels`: what a student is told about an image, and when."""

import dataclasses
from typing import Any

from ddjax.declare import Names, Text, setting
from ddjax.declare.walk import require

REGIMES = ("hard", "soft", "soft_kd")
LOSSES = ("kl", "mse_gt", "dkd", "nkd", "lskd", "dist", "crld")
SCHEDULES = ("constant", "mix", "hald", "soft_hard", "hard_soft", "alternate")
POOL_DRAWS = ("epoch", "label")
BATCH_NORMS = ("eval", "batch")
COMMITTEE_MEANS = ("plain", "frobenius", "weighted")


@dataclasses.dataclass(frozen=True)
class Labels:
    """A label recipe. The three regimes are the entries `hard`, `soft`, `soft_kd`."""

    regime: str = setting(
        "soft_kd", "What a soft step matches; `hard` has no soft step.", REGIMES
    )
    loss: str = setting("kl", "Of soft steps.", LOSSES)
    gt_weight: float = setting(
        0.025, "mse_gt: of the cross-entropy with the class.", "[0, 1000]"
    )
    temperature: float = setting(
        0.0, "Of soft steps; 0: student.temperature.", "[0.01, 1000]", also=(0.0,)
    )
    dynamic_temperature: bool = setting(
        False, "The teacher's temperature is 20 * 0.7^(epoch // 30), at least 2."
    )
    calibrated_temperature: bool = setting(
        False, "The student's temperature is the best of 0.01..1 for each batch."
    )
    schedule: str = setting(
        "constant", "Which epochs are soft and which are hard.", SCHEDULES
    )
    soft_epochs: int = setting(
        0,
        "Schedules but `mix`: soft epochs in all; 0: half of them.",
        "[0, 1000000]",
    )
    hard_weight: float = setting(
        0.1, "mix: L_soft + hard_weight * L_hard.", "[0, 1000]"
    )
    hard_smoothing: float = setting(
        0.8, "Label smoothing of a schedule's hard steps.", "[0, 1]"
    )
    slc: int = setting(
        0, "Budget of soft labels a class; 0: a new label for every view.", "[0, 1e9]"
    )
    pool_epochs: int = setting(
        0,
        "Views are drawn again from the first P epochs; 0: each epoch has its own.",
        "[0, 1000000]",
    )
    pool_draw: str = setting(
        "epoch", "What is drawn: whole epochs, or each label by itself.", POOL_DRAWS
    )
    codec: str = setting(
        "",
        "How labels are stored and replayed, such as fp16 or topk:k=4, see "
        "ddjax.labels.codecs; '': not stored.",
        Text("a codec"),
    )
    batch_norm: str = setting(
        "eval",
        "Of the labelling teacher; batch: statistics of a batch.",
        BATCH_NORMS,
    )
    committee: tuple[str, ...] = setting(
        (),
        "Teachers of `committee` whose logits are averaged; (): `teacher` alone.",
        Names("teachers", "`teacher` or a name in `committee`"),
    )
    committee_mean: str = setting(
        "plain", "How their logits are averaged.", COMMITTEE_MEANS
    )
    committee_weights: tuple[float, ...] = setting(
        (), "Of a weighted mean, one a teacher.", "(0, 1e6]"
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        if self.regime != "soft_kd":
            for name, value in self.used().items():
                allowed = f"{getattr(Labels, name)!r} with the regime {self.regime}"
                require(False, f"{key}.{name}", value, allowed)
        require(
            not (self.slc and self.pool_epochs),
            f"{key}.slc",
            self.slc,
            f"0 beside pool_epochs = {self.pool_epochs}: both name the pool's size",
        )
        require(
            self.batch_norm == "eval" or self.codec != "",
            f"{key}.batch_norm",
            self.batch_norm,
            "eval unless labels are stored (codec), which fixes the batches",
        )
        weights = len(self.committee) if self.committee_mean == "weighted" else 0
        require(
            len(self.committee_weights) == weights,
            f"{key}.committee_weights",
            self.committee_weights,
            f"{weights} numbers",
        )
        require(
            self.loss == "kl"
            or not (self.dynamic_temperature or self.calibrated_temperature),
            f"{key}.loss",
            self.loss,
            "kl where a temperature is dynamic or calibrated",
        )
        require(
            self.loss == "mse_gt" or self.gt_weight == Labels.gt_weight,
            f"{key}.gt_weight",
            self.gt_weight,
            f"{Labels.gt_weight} with the loss {self.loss}, which has no such weight",
        )
        require(
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
