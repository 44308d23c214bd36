"""Cross-view consistency distillation."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.losses.kl_divergence import kl_divergence
from ddjax.losses.loss import Loss, check_numbers, same_shape


@dataclasses.dataclass(frozen=True)
class Crld:
    """Options of the loss crld."""

    weak_threshold: float = setting(
        0.9, "Least confidence of the teacher on the weak view, within views.", "[0, 1]"
    )
    strong_threshold: float = setting(
        0.2, "Its least confidence on the strong view, across views.", "[0, 1]"
    )
    within_weight: float = setting(1.0, "Of the terms within a view.", "[0, 1000]")
    cross_weight: float = setting(1.0, "Of the terms across views.", "[0, 1000]")


def crld(
    student_weak: jax.Array,
    student_strong: jax.Array,
    teacher_weak: jax.Array,
    teacher_strong: jax.Array,
    temperature: float | jax.Array = 4.0,
    weak_threshold: float | jax.Array = Crld.weak_threshold,
    strong_threshold: float | jax.Array = Crld.strong_threshold,
    within_weight: float | jax.Array = Crld.within_weight,
    cross_weight: float | jax.Array = Crld.cross_weight,
) -> jax.Array:
    """KL divergences within and across a weakly and a strongly augmented view.

    With kd(s, t) = T**2 * KL(t || s) at temperature T, an example contributes

      within_weight * (kd(s_weak, t_weak) + kd(s_strong, t_strong)), if the teacher's
        largest probability on the weak view is at least weak_threshold, and
      cross_weight * (kd(s_strong, t_weak) + kd(s_weak, t_strong)), if the teacher's
        largest probability on the strong view is at least strong_threshold.

    These probabilities are at temperature 1. An example that fails a threshold adds 0
    and still counts in the caller's mean. The divergences are those of `kl_divergence`,
    which keep their digits where student and teacher are close.

    Args:
      student_weak: [..., C] float, the student's logits of the weak view.
      student_strong: [..., C] float, of the strong view of the same image.
      teacher_weak: [..., C] float; constant, they receive no gradient.
      teacher_strong: [..., C] float; likewise.
      temperature: T > 0, a scalar, not checked when it is an array.
      weak_threshold: in [0, 1], likewise; of the within-view term.
      strong_threshold: in [0, 1], likewise; of the cross-view term.
      within_weight: >= 0, likewise.
      cross_weight: >= 0, likewise.

    Returns:
      [...] float32, >= 0.

    Raises:
      InputError: the shapes differ, or a number is out of its range.

    Source: "Cross-View Consistency Regularisation for Knowledge Distillation" (ACM MM
      2024), its loss file (distillers/CRLD.py) as scx-822/CRLD-main, a work built on
      it, has it, without the added cross-entropies. The defaults of temperature and
      thresholds are those of that repository's configuration (engine/cfg.py), whose
      weights are 2 within and 0.5 across; the equal weights here are this project's
      choice.
    """
    check_numbers(
        "[0, 1]", weak_threshold=weak_threshold, strong_threshold=strong_threshold
    )
    check_numbers("[0, inf)", within_weight=within_weight, cross_weight=cross_weight)
    student_weak, student_strong, teacher_weak, teacher_strong = same_shape(
        student_weak=student_weak,
        student_strong=student_strong,
        teacher_weak=teacher_weak,
        teacher_strong=teacher_strong,
    )
    within = kl_divergence(student_weak, teacher_weak, temperature)
    within += kl_divergence(student_strong, teacher_strong, temperature)
    cross = kl_divergence(student_strong, teacher_weak, temperature)
    cross += kl_divergence(student_weak, teacher_strong, temperature)
    within = jnp.where(_confidence(teacher_weak) >= weak_threshold, within, 0)
    cross = jnp.where(_confidence(teacher_strong) >= strong_threshold, cross, 0)
    return within_weight * within + cross_weight * cross


def _confidence(logits: jax.Array) -> jax.Array:
    return jnp.max(jax.nn.softmax(logits), axis=-1)


CRLD = Loss(crld, Crld, given=("temperature",), views=2, source="CRLD, ACM MM 2024")
