"""Distillation of relations: correlations of rows and columns."""

import dataclasses

import jax
import jax.numpy as jnp

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.losses.loss import Loss, check_numbers, same_shape
from ddjax.losses.softmax import centred, difference, norm


@dataclasses.dataclass(frozen=True)
class Dist:
    """Options of the loss dist."""

    beta: float = setting(2.0, "Weight of the correlation of rows.", "[0, 1000]")
    gamma: float = setting(2.0, "Weight of the correlation of columns.", "[0, 1000]")


def dist(
    student_logits_BC: jax.Array,
    teacher_logits_BC: jax.Array,
    beta: float | jax.Array = Dist.beta,
    gamma: float | jax.Array = Dist.gamma,
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
    one whose probabilities vary by much less than 1e-4 on both sides. One minus a
    correlation is taken from the squared sine of the angle between the two sides, and
    that from the difference of their probabilities, so that it keeps its digits near 0.

    Args:
      student_logits_BC: [..., B, C] float, C >= 2. With B = 1 the second term is the
        constant gamma * T**2.
      teacher_logits_BC: [..., B, C] float; constant, they receive no gradient.
      beta: >= 0, not checked when it is an array; weight of the rows.
      gamma: >= 0, likewise; weight of the columns.
      temperature: T > 0, a scalar, likewise. The default is that of G-VBSM's class,
        whose script passes its own, 20 in the recipes.

    Returns:
      [..., B] float32, >= 0.

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
    check_numbers("(0, inf)", temperature=temperature)
    check_numbers("[0, inf)", beta=beta, gamma=gamma)
    student, teacher = same_shape(
        2, student_logits_BC=student_logits_BC, teacher_logits_BC=teacher_logits_BC
    )
    if student.ndim == 1:
        raise InputError(
            f"student_logits_BC: found shape {student.shape}, allowed is [..., B, C]"
        )
    teacher = jax.lax.stop_gradient(teacher)
    gap = difference(student, teacher, student - teacher, temperature)
    own = _probabilities(student, temperature)
    other = _probabilities(teacher, temperature)
    inter = _distance(own, other, gap, -1)[..., 0]
    intra = jnp.mean(_distance(own, other, gap, -2), axis=-1)
    return temperature**2 * (beta * inter + gamma * intra)


def _probabilities(logits: jax.Array, temperature) -> tuple[jax.Array, jax.Array]:
    """The probabilities [..., C], and less 1 / C without rounding by that."""
    lower = (logits - jnp.max(logits, axis=-1, keepdims=True)) / temperature
    powers = jnp.exp(lower)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    return powers / total, centred(jnp.expm1(lower)) / total


def _distance(own, other, gap: jax.Array, axis: int) -> jax.Array:
    """1 - Pearson's correlation of two `_probabilities` over an axis, which stays as 1.

    `gap` is own - other to more digits.
    """
    a, b, gap = _deviations(own, axis), _deviations(other, axis), centred(gap, axis)
    length_a, length_b = norm(a, axis), norm(b, axis)
    unit_a, unit_b = (
        side / jnp.where(length > 0, length, 1)
        for side, length in ((a, length_a), (b, length_b))
    )
    swap = length_a < length_b
    shorter = jnp.where(swap, length_a, length_b)
    longer = jnp.where(swap, length_b, length_a)
    # What of the gap is across the shorter side: the longer times the angle's sine.
    along = jnp.where(swap, unit_a, unit_b)
    across = gap - along * jnp.sum(gap * along, axis=axis, keepdims=True)
    squares = jnp.square(across / jnp.where(longer > 0, longer, 1))
    cosine = jnp.sum(unit_a * unit_b, axis=axis, keepdims=True)
    close = jnp.sum(squares, axis=axis, keepdims=True) / (1 + jnp.maximum(cosine, 0))
    product = shorter * longer
    uncorrelated = product * jnp.where(cosine > 0.5, close, 1 - cosine)
    return (uncorrelated + 1e-8) / (product + 1e-8)


def _deviations(found: tuple[jax.Array, jax.Array], axis: int) -> jax.Array:
    """Whichever of `_probabilities` is rounded less, minus its mean over an axis."""
    probs, from_uniform = found
    largest = jnp.max(probs, axis=axis, keepdims=True)
    farthest = jnp.max(jnp.abs(from_uniform), axis=axis, keepdims=True)
    deviations = centred(jnp.where(farthest < largest, from_uniform, probs), axis)
    # Equal logits may differ in the last bits of their softmax. Beside a side of norm
    # near 1 such noise would outweigh the 1e-8 and correlate at random.
    noise = 8 * jnp.finfo(probs.dtype).eps * largest
    varies = jnp.any(jnp.abs(deviations) > noise, axis=axis, keepdims=True)
    return jnp.where(varies, deviations, 0)


DIST = Loss(
    dist, Dist, given=("temperature",), whole_batch=True, source="arXiv 2205.10536"
)
