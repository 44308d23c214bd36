"""Squared error to the teacher's logits with a little cross-entropy."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.losses.cross_entropy import cross_entropy
from ddjax.losses.loss import Loss, check_numbers, same_shape


@dataclasses.dataclass(frozen=True)
class MseGt:
    """Options of the loss mse_gt."""

    gt_weight: float = setting(
        0.025, "Of the cross-entropy with the class.", "[0, 1000]"
    )


def mse_gt(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    gt_weight: float | jax.Array = MseGt.gt_weight,
) -> jax.Array:
    """Squared error of the raw logits, averaged over classes, plus a cross-entropy.

    The logits are subtracted before anything else, so that nothing else cancels.

    Args:
      student_logits: [..., C] float.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      labels: [...] integer classes in 0 .. C-1 (not checked), or [..., C] float
        probabilities, to which the cross-entropy is linear.
      gt_weight: >= 0, not checked when it is an array; factor of the cross-entropy
        (ground truth) of the student's logits.

    Returns:
      [...] float32, >= 0.

    Raises:
      InputError: the shapes or the labels' dtype do not fit, or gt_weight is a number
        that is negative or not finite.

    Source: G-VBSM (shaoshitong/G_VBSM_Dataset_Condensation; gt_weight 0.1 for ImageNet,
      0.15 for CIFAR) and EDC (shaoshitong/EDC; 0.025). G-VBSM's cross-entropy takes the
      label of the unmixed image even for a mixed one; here the caller chooses.
    """
    check_numbers("[0, inf)", gt_weight=gt_weight)
    student, teacher = same_shape(
        student_logits=student_logits, teacher_logits=teacher_logits
    )
    error = jnp.square(student - jax.lax.stop_gradient(teacher))
    return jnp.mean(error, axis=-1) + gt_weight * cross_entropy(student, labels)


MSE_GT = Loss(mse_gt, MseGt, given=("labels",), source="G-VBSM, EDC")
