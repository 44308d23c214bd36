"""Normalised knowledge distillation."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.losses.loss import Loss, check_numbers, same_shape, target_class
from ddjax.losses.softmax import divergence, log_odds, log_softmax, split


@dataclasses.dataclass(frozen=True)
class Nkd:
    """Options of the loss nkd."""

    gamma: float = setting(1.5, "Weight of the other classes' part.", "[0, 1000]")


def nkd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    gamma: float | jax.Array = Nkd.gamma,
    temperature: float | jax.Array = 1.0,
) -> jax.Array:
    """Cross-entropies to the teacher: of the target class, and within the others.

    -p_t[y] log p_s[y] - gamma * T**2 * sum over j != y of q_t[j] log q_s[j], where p is
    the softmax at temperature 1 and q the softmax at T of the logits without class y.
    Being cross-entropies, they are not 0 where the student equals the teacher. The
    second is summed as the teacher's entropy and a KL divergence, so that its gradient
    keeps its digits there.

    Args:
      student_logits: [..., C] float, C >= 2.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      labels: [...] integer classes in 0 .. C-1 (not checked), or [..., C] float
        probabilities, of which y is the largest, the first one of ties.
      gamma: >= 0, not checked when it is an array; weight of the second term.
      temperature: T > 0, a scalar, not checked when it is an array; of the second term
        only.

    Returns:
      [...] float32, >= 0.

    Raises:
      InputError: the shapes or the labels' dtype do not fit, C is 1, or a number is
        out of its range.

    Source: yzd-v/cls_KD without the cross-entropy that it adds; for mixed labels it
      takes the largest, too.
    """
    check_numbers("(0, inf)", temperature=temperature)
    check_numbers("[0, inf)", gamma=gamma)
    student, teacher = same_shape(
        2, student_logits=student_logits, teacher_logits=teacher_logits
    )
    target = target_class(labels, student)
    own, others = split(student, target)
    teacher_own, teacher_others = split(jax.lax.stop_gradient(teacher), target)
    _, gap = split(student - teacher, target)
    confidence = jax.nn.sigmoid(log_odds(teacher_own, teacher_others))
    target_part = -confidence * jax.nn.log_sigmoid(log_odds(own, others))
    log_probs = log_softmax(teacher_others / temperature)
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    others_part = entropy + divergence(others, teacher_others, gap, temperature)
    return target_part + gamma * temperature**2 * others_part


NKD = Loss(nkd, Nkd, given=("labels", "temperature"), source="yzd-v/cls_KD")
