"""The three label regimes as objectives of the training kernel.

`hard`: the class. `soft`: one stored teacher vector an image, whatever the view.
`soft_kd`: the teacher's answer to every augmented, mixed view.

Letters: B batch, C classes.
"""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax import losses
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.train.student import Batch, HParams, Pool

REGIMES = ("hard", "soft", "soft_kd")


@dataclasses.dataclass(frozen=True)
class Objective:
    """A regime's loss, (logits [B,C], Batch, Pool, HParams) -> [B] float32.

    Where a view is mixed by CutMix, `hard` and `soft` mix the two images' targets by
    the true area of the box; `soft_kd` asks the teacher about the mixed view.

    Attributes:
      regime: one of REGIMES.
      teacher: the teacher's network, needed by `soft_kd` only.
      scale_by_t2: multiply the soft regimes' loss by the squared temperature, so that
        gradients keep their size; the distillation literature often leaves it out.
    """

    regime: str
    teacher: Network | None = None
    scale_by_t2: bool = True

    def __post_init__(self):
        if self.regime not in REGIMES:
            raise InputError(
                f"regimes: found {self.regime!r}, allowed is one of "
                f"{', '.join(REGIMES)}"
            )
        if (self.regime == "soft_kd") != (self.teacher is not None):
            raise ValueError("a teacher network is given for soft_kd and only there")

    def __call__(
        self, logits_BC: jax.Array, batch: Batch, pool: Pool, hparams: HParams
    ) -> jax.Array:
        if self.regime == "hard":
            targets_BC = self._mixed_classes(batch, pool, logits_BC.shape[-1])
            return losses.cross_entropy(
                logits_BC, targets_BC, label_smoothing=hparams.label_smoothing
            )
        if self.regime == "soft":
            teacher_BC = self._mixed_logits(batch, pool, hparams.temperature)
        else:
            teacher_BC, _ = self.teacher.apply(pool.teacher, batch.inputs)
        return losses.kl_divergence(
            logits_BC, teacher_BC, hparams.temperature, scale_by_t2=self.scale_by_t2
        )

    def _mixed_classes(self, batch: Batch, pool: Pool, classes: int) -> jax.Array:
        own = jax.nn.one_hot(pool.labels[batch.positions], classes)
        other = jax.nn.one_hot(pool.labels[batch.partners], classes)
        keep = batch.keep[:, None]
        return keep * own + (1.0 - keep) * other

    def _mixed_logits(self, batch: Batch, pool: Pool, temperature) -> jax.Array:
        """Logits whose softmax at `temperature` is the mixture of the two targets."""
        own = jax.nn.log_softmax(pool.teacher_logits[batch.positions] / temperature)
        other = jax.nn.log_softmax(pool.teacher_logits[batch.partners] / temperature)
        keep = batch.keep[:, None]
        mixed = jnp.logaddexp(own + jnp.log(keep), other + jnp.log1p(-keep))
        return temperature * jnp.where(keep == 1.0, own, mixed)
