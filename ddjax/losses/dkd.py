"""Decoupled knowledge distillation."""

import jax

from ddjax.losses.checks import check_temperature, check_weights, same_shape
from ddjax.losses.kl_divergence import kl_divergence
from ddjax.losses.target import log_odds, split, target_class


def dkd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    alpha: float | jax.Array = 1.0,
    beta: float | jax.Array = 8.0,
    temperature: float | jax.Array = 4.0,
) -> jax.Array:
    """T**2 * (alpha * TCKD + beta * NCKD): target against rest, and within the rest.

    With the target class y and softmaxes at T, TCKD is KL(teacher || student) of the
    two probabilities (p_y, 1 - p_y), and NCKD the same of the other C-1 classes, with
    y left out before normalising. With two classes NCKD is exactly 0.

    Args:
      student_logits: [..., C] float, C >= 2.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      labels: [...] integer classes in 0 .. C-1 (not checked), or [..., C] float
        probabilities, of which y is the largest, the first one of ties. That is this
        project's rule for mixed labels, where the method defines none.
      alpha: >= 0, not checked when it is an array; weight of TCKD.
      beta: >= 0, likewise; weight of NCKD.
      temperature: T > 0, a scalar, not checked when it is an array.

    Returns:
      [...] float32, >= 0 up to rounding.

    Raises:
      InputError: the shapes or the labels' dtype do not fit, C is 1, or a number is
        out of its range.

    Source: megvii-research/mdistiller without its added cross-entropy and its warm-up
      of both weights. Deviations: y is left out, not lowered by 1000, and 1 - p_y is
      not summed, so that its logarithm cannot overflow.
    """
    check_temperature(temperature)
    check_weights(alpha=alpha, beta=beta)
    student, teacher = same_shape(
        2, student_logits=student_logits, teacher_logits=teacher_logits
    )
    target = target_class(labels, student)
    own, others = split(student, target)
    teacher_own, teacher_others = split(jax.lax.stop_gradient(teacher), target)
    tckd = temperature**2 * _binary_kl(
        log_odds(own / temperature, others / temperature),
        log_odds(teacher_own / temperature, teacher_others / temperature),
    )
    nckd = kl_divergence(others, teacher_others, temperature)
    return alpha * tckd + beta * nckd


def _binary_kl(student: jax.Array, teacher: jax.Array) -> jax.Array:
    """KL(teacher || student) of two outcomes, from their log-odds."""

    def term(s, t):
        return jax.nn.sigmoid(t) * (jax.nn.log_sigmoid(t) - jax.nn.log_sigmoid(s))

    return term(student, teacher) + term(-student, -teacher)
