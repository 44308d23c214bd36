"""Decoupled knowledge distillation."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.losses.loss import Loss, check_numbers, same_shape, target_class
from ddjax.losses.softmax import divergence, log_odds, split


@dataclasses.dataclass(frozen=True)
class Dkd:
    """Options of the loss dkd."""

    alpha: float = setting(1.0, "Weight of target against rest, TCKD.", "[0, 1000]")
    beta: float = setting(8.0, "Weight of the rest by itself, NCKD.", "[0, 1000]")


def dkd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    alpha: float | jax.Array = Dkd.alpha,
    beta: float | jax.Array = Dkd.beta,
    temperature: float | jax.Array = 4.0,
) -> jax.Array:
    """T**2 * (alpha * TCKD + beta * NCKD): target against rest, and within the rest.

    With the target class y and softmaxes at T, TCKD is KL(teacher || student) of the
    two probabilities (p_y, 1 - p_y), and NCKD the same of the other C-1 classes, with
    y left out before normalising. With two classes NCKD is exactly 0. Both are sums of
    terms that are never negative and keep their digits where the two sides are close.

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
      [...] float32, >= 0.

    Raises:
      InputError: the shapes or the labels' dtype do not fit, C is 1, or a number is
        out of its range.

    Source: megvii-research/mdistiller without its added cross-entropy and its warm-up
      of both weights. Deviations: y is left out, not lowered by 1000, and 1 - p_y is
      not summed, so that its logarithm cannot overflow.
    """
    check_numbers("(0, inf)", temperature=temperature)
    check_numbers("[0, inf)", alpha=alpha, beta=beta)
    student, teacher = same_shape(
        2, student_logits=student_logits, teacher_logits=teacher_logits
    )
    target = target_class(labels, student)
    sides = student, jax.lax.stop_gradient(teacher), student - teacher
    own, others = zip(*(split(side, target) for side in sides), strict=True)
    nckd = divergence(others[0], others[1], others[2], temperature)
    tckd = _binary_kl(own, others, nckd, temperature)
    return temperature**2 * (alpha * tckd + beta * nckd)


def _binary_kl(own, others, nckd: jax.Array, temperature) -> jax.Array:
    """KL(teacher || student) [...] of the target class and all others together.

    `own` [..., 1] and `others` [..., C-1]: of student, teacher and their difference.
    """
    student, teacher = (
        log_odds(side / temperature, rest / temperature)
        for side, rest in zip(own[:2], others[:2], strict=True)
    )
    # log of the teacher's mean of exp(gap) = the mean of the gap + the divergence.
    probs = jax.nn.softmax(others[1] / temperature)
    mean = jnp.sum(probs * others[2], axis=-1)
    gap = (own[2][..., 0] - mean) / temperature - nckd
    size = jnp.abs(own[2][..., 0]) + jnp.sum(probs * jnp.abs(others[2]), axis=-1)
    rounding = temperature * (1 + jnp.abs(student) + jnp.abs(teacher))
    gap = jnp.where(size <= rounding, gap, student - teacher)
    sides = (jnp.stack([a, jnp.zeros_like(a)], -1) for a in (student, teacher, gap))
    return divergence(*sides)


DKD = Loss(
    dkd, Dkd, given=("labels", "temperature"), source="megvii-research/mdistiller"
)
