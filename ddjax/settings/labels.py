"""One entry of `labels`: the targets that a student is trained on, and when."""

import dataclasses
from typing import Any

from ddjax.declare import Names, Text, setting, walk, with_sections
from ddjax.declare.walk import require
from ddjax.labels.ensemble import MEANS
from ddjax.labels.regimes import REGIMES
from ddjax.losses import LOSSES

SCHEDULES = ("constant", "mix", "hald", "soft_hard", "hard_soft", "alternate")
POOL_DRAWS = ("epoch", "label")
BATCH_NORMS = ("eval", "batch")


@dataclasses.dataclass(frozen=True)
class _Labels:
    regime: str = setting(
        "soft_kd", "What a soft step matches; `hard` has no soft step.", REGIMES
    )
    loss: str = setting("kl", "Of soft steps.", Names("losses"))
    temperature: float = setting(
        0.0, "Of soft steps; 0: student.temperature.", "[0.01, 1000]", also=(0.0,)
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
    ensemble: tuple[str, ...] = setting(
        (),
        "Teachers of `ensemble` whose logits are averaged; (): `teacher` alone.",
        Names("teachers", "`teacher` or a name in `ensemble`"),
    )
    ensemble_mean: str = setting("plain", "How their logits are averaged.", MEANS)
    ensemble_weights: tuple[float, ...] = setting(
        (), "Of a weighted mean, one a teacher.", "(0, 1e6]"
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        used = self.used()
        # Fixed labels are matched by any loss of one view, and in no other way.
        fits = (
            {"loss", self.loss} if self.regime == "soft" and self.views == 1 else set()
        )
        for name, field, value in walk.values(self):
            section = name.partition(".")[0]
            idle = section in LOSSES.keys() - {self.loss}
            elsewhere = self.regime != "soft_kd" and section not in fits
            if name in used and (idle or elsewhere):
                why = f"loss {self.loss}" if idle else f"regime {self.regime}"
                allowed = f"{field.default!r} with the {why}"
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
        weights = len(self.ensemble) if self.ensemble_mean == "weighted" else 0
        require(
            len(self.ensemble_weights) == weights,
            f"{key}.ensemble_weights",
            self.ensemble_weights,
            f"{weights} numbers",
        )
        require(
            not self.temperature or "temperature" in LOSSES[self.loss].given,
            f"{key}.temperature",
            self.temperature,
            f"0 with the loss {self.loss}, which has none",
        )
        require(
            self.views == 1 or not self.codec,
            f"{key}.codec",
            self.codec,
            f"'' with the loss {self.loss}, which compares {self.views} views of an "
            "image: a store has labels of one",
        )

    @property
    def plain(self) -> bool:
        """Whether this is one of the three regimes and nothing else."""
        return self == Labels(regime=self.regime, temperature=self.temperature)

    @property
    def views(self) -> int:
        """Returns how many views of an image pass through a student in a step."""
        return LOSSES[self.loss].views

    def used(self) -> dict[str, Any]:
        """Returns what an entry adds to its plain regime, such as `dkd.beta`."""
        idle = {"regime", "temperature"}
        if self.schedule == "constant":
            idle.add("hard_smoothing")
        return {
            name: value
            for name, field, value in walk.values(self)
            if value != field.default and name not in idle
        }

    def pool(self, ipc: int) -> int:
        """Returns how many epochs of views have labels, 0 for all of the training.

        Args:
          ipc: images a class; a budget of SLC labels a class is SLC // IPC epochs.
        """
        return self.slc // ipc if self.slc else self.pool_epochs


_with_options: Any = with_sections(
    _Labels, {name: loss.options for name, loss in LOSSES.items() if loss.options}
)


class Labels(_with_options):
    """A label recipe. The three regimes are the entries `hard`, `soft`, `soft_kd`."""
