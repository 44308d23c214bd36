"""The classical distillation loss."""

import jax

from ddjax.losses.checks import check_temperature, same_shape
from ddjax.losses.softmax import divergence


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
    check_temperature(temperature)
    student, teacher = same_shape(
        student_logits=student_logits, teacher_logits=teacher_logits
    )
    teacher = jax.lax.stop_gradient(teacher)
    found = divergence(student, teacher, student - teacher, temperature)
    return found * temperature**2 if scale_by_t2 else found
