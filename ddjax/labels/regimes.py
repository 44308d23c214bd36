"""What a student is asked, as objectives of the training kernel.

`hard`: the class. `soft`: one stored teacher vector an image, whatever the view.
`soft_kd`: the teachers' answer to every augmented, mixed view, given on the fly or
replayed from a store.

Letters: B batch, C classes.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from ddjax import losses
from ddjax.errors import InputError
from ddjax.labels.committee import committee_logits
from ddjax.labels.temperature import calibrated_temperature, dynamic_temperature
from ddjax.mesh import look_up, share_rows
from ddjax.models import Network
from ddjax.train.batches import Batch, Pool
from ddjax.train.student import HParams

REGIMES = ("hard", "soft", "soft_kd")


@dataclasses.dataclass(frozen=True)
class Objective:
    """A regime's loss, (logits of `Batch.shown`, Batch, Pool, HParams) -> [B] float32.

    Where a view is mixed by CutMix, `hard` and `soft` mix the two images' targets by
    the true area of the box; `soft_kd` asks the teachers about the mixed view.

    Attributes:
      regime: one of REGIMES.
      teachers: the networks that answer on the fly, for `soft_kd` only; empty where
        the answers come from a store (`Batch.targets`).
      committee_mean, committee_weights: see `committee_logits`.
      loss: of the soft regimes, a name of `LOSSES`; "crld" needs a program with
        `two_views`, its strong view being the augmented one.
      scale_by_t2: multiply the KL divergence by the squared temperature, so that
        gradients keep their size; the distillation literature often leaves it out.
      dynamic, calibrated: whether the teachers' temperature falls by `dynamic_
        temperature`, and whether the student's is `calibrated_temperature`.
      gt_weight: of `mse_gt`.
    """

    regime: str
    teachers: tuple[Network, ...] = ()
    committee_mean: str = "plain"
    committee_weights: tuple[float, ...] = ()
    loss: str = "kl"
    scale_by_t2: bool = True
    dynamic: bool = False
    calibrated: bool = False
    gt_weight: float = 0.025

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
            raise ValueError("teachers answer in soft_kd only")

    @property
    def needs_whole_batch(self) -> bool:
        """Whether an example's loss depends on the other examples of its batch."""
        return self.loss == "dist" or self.committee_mean == "frobenius"

    def __call__(
        self, logits_BC: jax.Array, batch: Batch, pool: Pool, hparams: HParams
    ) -> jax.Array:
        if self.regime == "hard":
            return self._hard(logits_BC, batch, pool, hparams)
        loss_B = self._soft(logits_BC, batch, pool, hparams)
        if batch.weights is None:
            return loss_B
        soft_B, hard_B = batch.weights
        hard_loss_B = self._hard(logits_BC, batch, pool, hparams)
        return soft_B * loss_B + hard_B * hard_loss_B

    def _hard(self, logits_BC, batch, pool, hparams) -> jax.Array:
        logits_BC = logits_BC[: len(batch.positions)]  # not those of weak views
        targets_BC = _mixed_classes(batch, pool, logits_BC.shape[-1])
        return losses.cross_entropy(
            logits_BC, targets_BC, label_smoothing=hparams.label_smoothing
        )

    def _soft(self, logits_BC, batch, pool, hparams) -> jax.Array:
        if self.regime == "soft":
            teacher_BC = _mixed_logits(batch, pool, hparams.temperature)
        elif self.teachers:
            answers = [
                network.apply(variables, batch.shown)[0]
                for network, variables in zip(self.teachers, pool.teachers, strict=True)
            ]
            teacher_BC = committee_logits(
                jnp.stack(answers), self.committee_mean, self.committee_weights
            )
        else:
            teacher_BC = batch.targets
        teacher_BC = jax.lax.stop_gradient(teacher_BC)
        return LOSSES[self.loss](self, logits_BC, teacher_BC, batch, pool, hparams)

    def _kl(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        del pool
        if not (self.dynamic or self.calibrated):
            return losses.kl_divergence(
                logits_BC,
                teacher_BC,
                hparams.temperature,
                scale_by_t2=self.scale_by_t2,
            )
        of_teacher = hparams.temperature
        if self.dynamic:
            of_teacher = dynamic_temperature(batch.passes)
            if not self.calibrated:
                # Divided inside, where little is lost of logits that are close.
                each = functools.partial(
                    losses.kl_divergence, scale_by_t2=self.scale_by_t2
                )
                return jax.vmap(each)(logits_BC, teacher_BC, of_teacher)
            of_teacher = of_teacher[:, None]
        of_student = calibrated_temperature(logits_BC, teacher_BC / of_teacher)
        divergence_B = losses.kl_divergence(
            logits_BC / of_student, teacher_BC / of_teacher
        )
        factor = jnp.squeeze(of_teacher * of_student) if self.scale_by_t2 else 1.0
        return divergence_B * factor

    def _mse_gt(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        del hparams
        classes_BC = _mixed_classes(batch, pool, logits_BC.shape[-1])
        return losses.mse_gt(logits_BC, teacher_BC, classes_BC, self.gt_weight)

    def _dkd(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        classes_BC = _mixed_classes(batch, pool, logits_BC.shape[-1])
        return losses.dkd(
            logits_BC, teacher_BC, classes_BC, temperature=hparams.temperature
        )

    def _nkd(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        classes_BC = _mixed_classes(batch, pool, logits_BC.shape[-1])
        return losses.nkd(
            logits_BC, teacher_BC, classes_BC, temperature=hparams.temperature
        )

    def _lskd(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        del batch, pool
        return losses.lskd(logits_BC, teacher_BC, temperature=hparams.temperature)

    def _dist(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        del batch, pool
        return losses.dist(logits_BC, teacher_BC, temperature=hparams.temperature)

    def _crld(self, logits_BC, teacher_BC, batch, pool, hparams) -> jax.Array:
        del pool
        if batch.weak is None:
            raise ValueError("crld needs a program with two_views")
        student_strong, student_weak = jnp.split(logits_BC, 2)
        teacher_strong, teacher_weak = jnp.split(teacher_BC, 2)
        return losses.crld(
            student_weak,
            student_strong,
            teacher_weak,
            teacher_strong,
            temperature=hparams.temperature,
        )


LOSSES = {
    "kl": Objective._kl,
    "mse_gt": Objective._mse_gt,
    "dkd": Objective._dkd,
    "nkd": Objective._nkd,
    "lskd": Objective._lskd,
    "dist": Objective._dist,
    "crld": Objective._crld,
}


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
