"""The classical distillation loss."""

import jax
import jax.numpy as jnp

from ddjax.losses.checks import check_temperature, same_shape


def kl_divergence(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    temperature: float | jax.Array = 1.0,
    scale_by_t2: bool = True,
) -> jax.Array:
    """KL(teacher || student) of the softmaxes at a temperature, in nats.

    Args:
      student_logits: [..., C] float.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      temperature: T > 0, a scalar, not checked when it is an array; both sides' logits
        are divided by it.
      scale_by_t2: static; multiply by T**2, so that the gradient with respect to the
        student's logits, T * (p_student - p_teacher), keeps its size as T grows.
        Without, it is (p_student - p_teacher) / T.

    Returns:
      [...] float32, >= 0 up to rounding.

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
    student = jax.nn.log_softmax(student / temperature)
    teacher = jax.nn.log_softmax(jax.lax.stop_gradient(teacher) / temperature)
    divergence = jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
    return divergence * temperature**2 if scale_by_t2 else divergence
