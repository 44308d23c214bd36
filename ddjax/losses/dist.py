"""Distillation of relations: correlations of rows and columns."""

import jax
import jax.numpy as jnp

from ddjax.errors import InputError
from ddjax.losses.checks import check_temperature, check_weights, same_shape
from ddjax.losses.moments import centred, norm


def dist(
    student_logits_BC: jax.Array,
    teacher_logits_BC: jax.Array,
    beta: float | jax.Array = 2.0,
    gamma: float | jax.Array = 2.0,
    temperature: float | jax.Array = 4.0,
) -> jax.Array:
    """1 - Pearson's correlation with the teacher, over rows and over columns.

    Correlated are the softmax probabilities at T: of one example over the classes
    (inter-class), and of one class over the batch (intra-class). An example's loss is

      T**2 * (beta * (1 - its row's) + gamma * (1 - the columns' mean)),

    so that the mean over the batch is the batch's loss. Unlike the other losses here it
    depends on which examples share the batch; the second term is the same for all.
    The correlation's denominator, the product of the two norms, is raised by 1e-8: a
    row or column that is constant (up to rounding) has correlation 0, and so nearly has
    one whose probabilities vary by much less than 1e-4 on both sides.

    Args:
      student_logits_BC: [..., B, C] float, C >= 2. With B = 1 the second term is the
        constant gamma * T**2.
      teacher_logits_BC: [..., B, C] float; constant, they receive no gradient.
      beta: >= 0, not checked when it is an array; weight of the rows.
      gamma: >= 0, likewise; weight of the columns.
      temperature: T > 0, a scalar, likewise. The default is that of G-VBSM's class,
        whose script passes its own, 20 in the recipes.

    Returns:
      [..., B] float32, >= 0 up to rounding.

    Raises:
      InputError: the shapes differ or lack a batch axis, C is 1, or a number is out of
        its range.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", arXiv
      2205.10536; the formula with its 1e-8 and the factor T**2 is the authors'
      (hunto/DIST_KD and its submodule hunto/image_classification_sota, dist_kd.py,
      beta = gamma = 1), beta = gamma = 2 is the choice of G-VBSM
      (shaoshitong/G_VBSM_Dataset_Condensation, train_FKD*.py). The source's scalar is
      the mean of the result. G-VBSM and EDC raise the denominator by 1e-5, which is not
      small beside the columns of many classes: of 64 examples of 1,000 classes, the
      teacher's logits normal with deviation 1.5 and the student's off by as much, it
      makes the loss 30.9 instead of 20.7.
    """
    check_temperature(temperature)
    check_weights(beta=beta, gamma=gamma)
    student, teacher = same_shape(
        2, student_logits_BC=student_logits_BC, teacher_logits_BC=teacher_logits_BC
    )
    if student.ndim == 1:
        raise InputError(
            f"student_logits_BC: found shape {student.shape}, allowed is [..., B, C]"
        )
    student = jax.nn.softmax(student / temperature)
    teacher = jax.nn.softmax(jax.lax.stop_gradient(teacher) / temperature)
    rows = _correlation(student, teacher)
    columns = _correlation(student.mT, teacher.mT)
    inter = 1 - rows
    intra = jnp.mean(1 - columns, axis=-1, keepdims=True)
    return temperature**2 * (beta * inter + gamma * intra)


def _correlation(a: jax.Array, b: jax.Array) -> jax.Array:
    """Pearson's correlation [...] over the last axis of [..., D]."""
    a, b = _deviations(a), _deviations(b)
    product = (norm(a) * norm(b))[..., 0]
    return jnp.sum(a * b, axis=-1) / (product + 1e-8)


def _deviations(values: jax.Array) -> jax.Array:
    # Equal logits may differ in the last bits of their softmax. Beside a side of norm
    # near 1 such noise would outweigh the 1e-8 and correlate at random.
    deviations = centred(values)
    noise = 8 * jnp.finfo(values.dtype).eps * jnp.max(values, axis=-1, keepdims=True)
    varies = jnp.any(jnp.abs(deviations) > noise, axis=-1, keepdims=True)
    return jnp.where(varies, deviations, 0)
