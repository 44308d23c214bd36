"""Knowledge distillation of standardised logits."""

import jax

from ddjax.losses.checks import same_shape
from ddjax.losses.kl_divergence import kl_divergence
from ddjax.losses.moments import centred, norm


def lskd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    temperature: float | jax.Array = 2.0,
) -> jax.Array:
    """T**2 * KL(teacher || student) of logits standardised per example.

    Each side's logits become (z - mean) / (std + 1e-7) over the classes, with the
    unbiased standard deviation, before the division by T. The student's mean and
    standard deviation are differentiated too. The loss therefore ignores the shift and
    the scale of either side. Equal logits of one example count as uniform; for the
    student their gradient is finite but of the order of 1e7.

    Args:
      student_logits: [..., C] float, C >= 2.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      temperature: T > 0, a scalar, not checked when it is an array.

    Returns:
      [...] float32, >= 0 up to rounding.

    Raises:
      InputError: the shapes differ, C is 1, or temperature is a number that is not
        positive and finite.

    Source: sunshangquan/logit-standardization-KD on plain KD, without its weight (9 in
      its example) and its added cross-entropy, which takes the raw logits.
    """
    student, teacher = same_shape(
        2, student_logits=student_logits, teacher_logits=teacher_logits
    )
    return kl_divergence(_standardised(student), _standardised(teacher), temperature)


def _standardised(logits: jax.Array) -> jax.Array:
    deviations = centred(logits)
    std = norm(deviations) / (logits.shape[-1] - 1) ** 0.5
    return deviations / (std + 1e-7)
