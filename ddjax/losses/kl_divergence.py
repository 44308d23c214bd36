"""The classical distillation loss, and temperatures that change while it is trained on.

Letters: B batch, C classes, G grid.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.losses.loss import Loss, check_numbers, same_shape
from ddjax.losses.softmax import divergence

_START, _FACTOR, _EVERY, _LEAST = 20.0, 0.7, 30, 2.0
_GRID = 100


@dataclasses.dataclass(frozen=True)
class Kl:
    """Options of the loss kl."""

    dynamic_temperature: bool = setting(
        False, "The teacher's temperature is 20 * 0.7^(epoch // 30), at least 2."
    )
    calibrated_temperature: bool = setting(
        False, "The student's temperature is the best of 0.01..1 for each batch."
    )


def kl_divergence(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    temperature: float | jax.Array = 1.0,
    scale_by_t2: bool = True,
) -> jax.Array:
    """KL(teacher || student) of the softmaxes at a temperature, in nats.

    Summed are terms that are never negative and keep their digits, and so does the
    gradient, however close the two are; of equal logits the loss is exactly 0.

    Args:
      student_logits: [..., C] float.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      temperature: T > 0, a scalar, not checked when it is an array; both sides' logits
        are divided by it.
      scale_by_t2: static; multiply by T**2, so that the gradient with respect to the
        student's logits, T * (p_student - p_teacher), keeps its size as T grows.
        Without, it is (p_student - p_teacher) / T.

    Returns:
      [...] float32, >= 0.

    Raises:
      InputError: the shapes differ, or temperature is a number that is not positive
        and finite.

    Source: the KD loss of megvii-research/mdistiller without its weight and its added
      cross-entropy. `scale_by_t2=False` is what the repositories of dataset
      distillation use, where SRe2L has the factor commented out.
    """
    check_numbers("(0, inf)", temperature=temperature)
    student, teacher = same_shape(
        student_logits=student_logits, teacher_logits=teacher_logits
    )
    teacher = jax.lax.stop_gradient(teacher)
    found = divergence(student, teacher, student - teacher, temperature)
    return found * temperature**2 if scale_by_t2 else found


def kl(
    student_logits_BC: jax.Array,
    teacher_logits_BC: jax.Array,
    temperature: jax.Array,
    scale_by_t2: bool,
    passes: jax.Array,
    dynamic_temperature: bool = False,
    calibrated_temperature: bool = False,
) -> jax.Array:
    """KL(teacher || student) at a temperature that is fixed or changes in training.

    Args:
      student_logits_BC: [B,C] float.
      teacher_logits_BC: [B,C] float; constant, they receive no gradient.
      temperature: [] float32 > 0, of both sides unless it changes.
      scale_by_t2: static; multiply by the product of both sides' temperatures.
      passes: [B] int32, the student's pass over its subset.
      dynamic_temperature: static; of both sides, `falling(passes)`.
      calibrated_temperature: static; the student's is `calibrated`.

    Returns:
      [B] float32, >= 0.
    """
    if not calibrated_temperature and not dynamic_temperature:
        return kl_divergence(
            student_logits_BC, teacher_logits_BC, temperature, scale_by_t2=scale_by_t2
        )
    of_teacher = temperature
    if dynamic_temperature:
        of_teacher = falling(passes)
        if not calibrated_temperature:
            # Divided inside, where little is lost of logits that are close.
            each = functools.partial(kl_divergence, scale_by_t2=scale_by_t2)
            return jax.vmap(each)(student_logits_BC, teacher_logits_BC, of_teacher)
        of_teacher = of_teacher[:, None]
    of_student = calibrated(student_logits_BC, teacher_logits_BC / of_teacher)
    divergence_B = kl_divergence(
        student_logits_BC / of_student, teacher_logits_BC / of_teacher
    )
    factor = jnp.squeeze(of_teacher * of_student) if scale_by_t2 else 1.0
    return divergence_B * factor


def falling(passes: jax.Array) -> jax.Array:
    """The teacher's temperature: 20 * 0.7^(epoch // 30), at least 2.

    The same stored logits so give sharper targets as training goes on.

    Args:
      passes: [...] int32, the student's pass over its subset.

    Returns:
      [...] float32.

    Source: LPQLD (arXiv 2604.18135), dynamic knowledge reuse.
    """
    return jnp.maximum(_LEAST, _START * _FACTOR ** (passes // _EVERY))


def calibrated(student_logits_BC: jax.Array, teacher_logits_BC: jax.Array) -> jax.Array:
    """The student's temperature that brings a batch closest to its targets.

    Args:
      student_logits_BC: [B,C] float.
      teacher_logits_BC: [B,C] float, already divided by the teacher's temperature.

    Returns:
      [] float32 in 0.01, 0.02 .. 1 with the smallest mean KL divergence; constant, it
      receives no gradient.

    Source: LPQLD (arXiv 2604.18135), calibrated alignment. Deviation: chosen for every
      batch on itself, where the source chooses once an epoch on the last batch, so
      that a step depends on nothing but its batch.
    """
    logits_BC = jax.lax.stop_gradient(student_logits_BC)
    grid_G = jnp.arange(1, _GRID + 1) / _GRID

    def mean(temperature):
        return kl_divergence(logits_BC / temperature, teacher_logits_BC).mean()

    return grid_G[jnp.argmin(jax.vmap(mean)(grid_G))]


KL = Loss(
    kl,
    Kl,
    given=("temperature", "scale_by_t2", "passes"),
    source="Hinton et al.; changing temperatures: LPQLD, arXiv 2604.18135",
)
