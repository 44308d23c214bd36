"""Knowledge distillation of standardised logits."""

import jax

from ddjax.losses.loss import Loss, check_numbers, same_shape
from ddjax.losses.softmax import centred, divergence, scaled


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
    student their gradient is finite but of the order of 1e7. The two sides' difference
    is taken from that of the raw logits, so that the loss keeps its digits where they
    are close.

    Args:
      student_logits: [..., C] float, C >= 2.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      temperature: T > 0, a scalar, not checked when it is an array.

    Returns:
      [...] float32, >= 0.

    Raises:
      InputError: the shapes differ, C is 1, or temperature is a number that is not
        positive and finite.

    Source: sunshangquan/logit-standardization-KD on plain KD, without its weight (9 in
      its example) and its added cross-entropy, which takes the raw logits.
    """
    check_numbers("(0, inf)", temperature=temperature)
    student, teacher = same_shape(
        2, student_logits=student_logits, teacher_logits=teacher_logits
    )
    teacher = jax.lax.stop_gradient(teacher)
    root = (student.shape[-1] - 1) ** 0.5
    gap = centred(student - teacher)
    # Divided by their norm plus 1e-7 root, so that the root is still to be multiplied.
    student, teacher, gap = scaled(centred(student), centred(teacher), gap, 1e-7 * root)
    return temperature**2 * divergence(student, teacher, gap, temperature / root)


LSKD = Loss(
    lskd, given=("temperature",), source="sunshangquan/logit-standardization-KD"
)
