"""The label regimes, as objectives of the training kernel.

`hard`: the class. `soft`: one stored teacher vector an image, whatever the view.
`soft_kd`: the teachers' logits of every augmented, mixed view, computed on the fly or
replayed from a store.

Letters: B batch, C classes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ddjax.errors import InputError
from ddjax.labels.ensemble import Ensemble
from ddjax.losses import LOSSES, cross_entropy
from ddjax.mesh import look_up, share_rows
from ddjax.models import Network
from ddjax.train.batches import Batch, Pool
from ddjax.train.student import HParams

REGIMES = ("hard", "soft", "soft_kd")


@dataclasses.dataclass(frozen=True)
class Objective:
    """A regime's loss, (logits of `Batch.shown`, Batch, Pool, HParams) -> [B] float32.

    Where a view is mixed by CutMix, `hard` and `soft` mix the two images' targets by
    the true area of the box; in `soft_kd` the teachers predict the mixed view.

    Attributes:
      regime: one of REGIMES.
      ensemble: the teachers that predict on the fly, for `soft_kd` only; without
        networks where their logits come from a store (`Batch.targets`).
      loss: of the soft regimes, a name of `ddjax.losses.LOSSES`; one of two views is
        for a program with `two_views`, its strong view being the augmented one.
      options: of the loss; None: its defaults.
      scale_by_t2: whether losses that can be are multiplied by the squared
        temperature, so that gradients keep their size; the distillation literature
        often leaves it out.
    """

    regime: str
    ensemble: Ensemble = Ensemble()
    loss: str = "kl"
    options: Any = None
    scale_by_t2: bool = True

    def __post_init__(self):
        for key, found, known in (
            ("regimes", self.regime, REGIMES),
            ("loss", self.loss, tuple(LOSSES)),
        ):
            if found not in known:
                raise InputError(
                    f"{key}: found {found!r}, allowed is one of {', '.join(known)}"
                )
        if self.teachers and self.regime != "soft_kd":
            raise ValueError("teachers predict on the fly in soft_kd only")
        options = LOSSES[self.loss].options
        if options and self.options is None:
            object.__setattr__(self, "options", options())

    @classmethod
    def of(
        cls, labels: Any, networks: tuple[Network, ...] = (), scale_by_t2: bool = True
    ) -> "Objective":
        """Returns the objective of an entry of the settings' `labels`.

        Args:
          labels: the entry.
          networks: of the teachers that predict on the fly.
          scale_by_t2: the student's.
        """
        return cls(
            labels.regime,
            Ensemble(networks, labels.ensemble_mean, labels.ensemble_weights),
            labels.loss,
            getattr(labels, labels.loss, None),
            scale_by_t2,
        )

    @property
    def teachers(self) -> tuple[Network, ...]:
        """The networks that predict on the fly."""
        return self.ensemble.networks

    @property
    def needs_whole_batch(self) -> bool:
        """Whether an example's loss depends on the other examples of its batch."""
        return LOSSES[self.loss].whole_batch or self.ensemble.needs_whole_batch

    def __call__(
        self, logits_BC: jax.Array, batch: Batch, pool: Pool, hparams: HParams
    ) -> jax.Array:
        if self.regime == "hard":
            return _hard(logits_BC, batch, pool, hparams)
        loss_B = self._soft(logits_BC, batch, pool, hparams)
        if batch.weights is None:
            return loss_B
        soft_B, hard_B = batch.weights
        hard_loss_B = _hard(logits_BC, batch, pool, hparams)
        return soft_B * loss_B + hard_B * hard_loss_B

    def _soft(self, logits_BC, batch, pool, hparams) -> jax.Array:
        if self.regime == "soft":
            teacher_BC = _mixed_logits(batch, pool, hparams.temperature)
        elif self.teachers:
            teacher_BC = self.ensemble.logits(pool.teachers, batch.shown)
        else:
            teacher_BC = batch.targets
        loss, logits = LOSSES[self.loss], [logits_BC, jax.lax.stop_gradient(teacher_BC)]
        if loss.views == 2:
            if batch.weak is None:
                raise ValueError(f"{self.loss} is for a program with two_views")
            # `Batch.shown` begins with the strong views, a loss takes the weak first.
            logits = [part for both in logits for part in jnp.split(both, 2)[::-1]]
        values = {
            "labels": lambda: _mixed_classes(batch, pool, logits_BC.shape[-1]),
            "temperature": lambda: hparams.temperature,
            "scale_by_t2": lambda: self.scale_by_t2,
            "passes": lambda: batch.passes,
        }
        given = {name: values[name]() for name in loss.given}
        options = {} if self.options is None else dataclasses.asdict(self.options)
        return loss.function(*logits, **given, **options)


def _hard(logits_BC, batch: Batch, pool: Pool, hparams: HParams) -> jax.Array:
    logits_BC = logits_BC[: len(batch.positions)]  # not those of weak views
    targets_BC = _mixed_classes(batch, pool, logits_BC.shape[-1])
    return cross_entropy(logits_BC, targets_BC, label_smoothing=hparams.label_smoothing)


def _mixed_classes(batch: Batch, pool: Pool, classes: int) -> jax.Array:
    own = jax.nn.one_hot(pool.labels[batch.positions], classes)
    other = jax.nn.one_hot(pool.labels[batch.partners], classes)
    keep = batch.keep[:, None]
    return keep * own + (1.0 - keep) * other


def _mixed_logits(batch: Batch, pool: Pool, temperature) -> jax.Array:
    """Logits whose softmax at `temperature` is the mixture of the two targets.

    They are the image's own where nothing is mixed in, and else of their size: logits
    of another size than a student's would be rounded more than their difference to it.
    """

    def logits(positions):
        return share_rows(look_up(pool.teacher_logits, positions))

    alone = logits(batch.positions)
    own, other = alone / temperature, logits(batch.partners) / temperature
    total, others_total = (
        jax.nn.logsumexp(side, axis=-1, keepdims=True) for side in (own, other)
    )
    other = other - others_total + total
    keep = batch.keep[:, None]
    mixed = jnp.logaddexp(own + jnp.log(keep), other + jnp.log1p(-keep))
    return jnp.where(keep == 1.0, alone, temperature * mixed)
