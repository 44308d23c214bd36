"""Softmaxes, odds, centring and norms that keep their digits and have gradients.

Letters: C classes; p_s, p_t the student's and the teacher's probabilities.
"""

import jax
import jax.numpy as jnp


def log_softmax(logits: jax.Array) -> jax.Array:
    """Logarithms [..., C] of the probabilities, precise also where one is nearly 1.

    The largest is -log1p(the others' share), and its gradient the others' sum, so that
    1 - p is nowhere formed by subtraction.
    """
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    powers = jnp.exp(shifted)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    # Then one is over 2/3, and the others are each less than half of it. No comparison
    # here depends on a rounding, which may differ between two uses of one number.
    sure = total < 1.5
    is_top = sure & (shifted > -0.5)
    top = jnp.sum(jnp.where(is_top, shifted, 0), axis=-1, keepdims=True)
    shifted = jnp.where(is_top, 0, shifted - top)
    rest = jnp.sum(jnp.where(is_top, 0, jnp.exp(shifted)), axis=-1, keepdims=True)
    return shifted - jnp.where(sure, jnp.log1p(rest), jnp.log(total))


def divergence(student, teacher, gap, temperature=1.0) -> jax.Array:
    """KL(teacher || student) [...] of two softmaxes, never negative.

    It is the sum of p_t * (expm1(d) - d) with d = log p_s - log p_t: equal to that of
    -p_t * d, as the probabilities sum to 1, but without terms that cancel.

    Args:
      student: [..., C] float, logits.
      teacher: [..., C] float, likewise.
      gap: [..., C] float, student - teacher to more digits; receives no gradient.
      temperature: of both softmaxes, a scalar.
    """
    log_student, log_teacher, ratio = _compare(student, teacher, gap, temperature)
    probs = jnp.exp(log_teacher)
    near = jnp.abs(ratio) <= 1
    close = probs * _excess(jnp.clip(ratio, -2, 2))
    apart = jnp.exp(log_student) - probs * (1 + ratio)
    return jnp.sum(jnp.where(near, close, apart), axis=-1)


def difference(student, teacher, gap, temperature=1.0) -> jax.Array:
    """p_s - p_t [..., C], of the arguments of `divergence`."""
    return _difference(*_compare(student, teacher, gap, temperature))


def _difference(log_student, log_teacher, ratio):
    probs = jnp.exp(log_teacher)
    near = jnp.abs(ratio) <= 1
    close = jnp.clip(ratio, -2, 2)
    # The bracket is expm1(close).
    return jnp.where(
        near, probs * (close + _excess(close)), jnp.exp(log_student) - probs
    )


def _compare(student, teacher, gap, temperature):
    """log p_s, log p_t and their difference, [..., C] each; as `divergence`."""
    return _logarithms(student / temperature, teacher / temperature, gap, temperature)


@jax.custom_jvp
def _logarithms(student, teacher, gap, temperature):
    """As `_compare`, where only the gap is still to be divided.

    Each class takes the difference from the gap or from the two logarithms, whichever
    is rounded less; then all are shifted so that the p_s sum to 1.
    """
    log_student, log_teacher = log_softmax(student), log_softmax(teacher)
    plain = log_student - log_teacher
    shift = gap - temperature * plain
    shift = jnp.sum(jnp.exp(log_teacher) * shift, axis=-1, keepdims=True)
    rounding = temperature * (jnp.abs(log_student) + jnp.abs(log_teacher))
    # Divided last, so that what all classes share is rounded with none of them.
    ratio = jnp.where(jnp.abs(gap) <= rounding, (gap - shift) / temperature, plain)
    total = jnp.sum(
        _difference(log_student, log_teacher, ratio), axis=-1, keepdims=True
    )
    return log_student, log_teacher, ratio - jnp.log1p(total)


@_logarithms.defjvp
def _logarithms_jvp(primals, tangents):
    found = _logarithms(*primals)
    changes = [
        tangent - jnp.sum(jnp.exp(log) * tangent, axis=-1, keepdims=True)
        for log, tangent in zip(found[:2], tangents[:2], strict=True)
    ]
    return found, (*changes, changes[0] - changes[1])


@jax.custom_jvp
def _excess(d: jax.Array) -> jax.Array:
    """expm1(d) - d by its series, precise for d in [-1, 1]."""
    terms = 10 if jnp.finfo(d.dtype).eps > 1e-10 else 18
    series = jnp.ones_like(d)
    for n in range(terms + 2, 2, -1):
        series = 1 + d * (1 / n) * series
    return jnp.square(d) / 2 * series


_excess.defjvps(lambda tangent, value, d: (d + value) * tangent)


def split(logits: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The target's logit [..., 1] and the others' logits [..., C-1], in order."""
    own = jnp.take_along_axis(logits, target[..., None], axis=-1)
    left, right = logits[..., :-1], logits[..., 1:]
    position = jax.lax.broadcasted_iota(jnp.int32, left.shape, left.ndim - 1)
    return own, jnp.where(position < target[..., None], left, right)


def log_odds(own: jax.Array, others: jax.Array) -> jax.Array:
    """log(p / (1 - p)) [...] of the target, where p is its softmax probability.

    The differences come first: a shift that all logits share cancels exactly, and
    neither p nor 1 - p is formed, so both logarithms stay finite and precise.
    """
    return -jax.nn.logsumexp(others - own, axis=-1)


def centred(values: jax.Array, axis: int = -1) -> jax.Array:
    """Values minus their mean over an axis; exactly 0 where they are all equal."""
    # The mean of equal floats can miss them by a rounding, the mean of zeros cannot.
    first = jax.lax.slice_in_dim(values, 0, 1, axis=axis)
    values = values - jax.lax.stop_gradient(first)
    return values - jnp.mean(values, axis=axis, keepdims=True)


def scaled(
    a: jax.Array, b: jax.Array, gap: jax.Array, margin: float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """a / (|a| + margin), b / (|b| + margin) and their difference, [..., D] each.

    Where a and b are close, the difference is taken from gap, which is a - b to more
    digits. Zeros stay zeros.
    """
    length_a, length_b = norm(a), norm(b)
    square = jnp.sum(jnp.square(gap), axis=-1, keepdims=True)
    near = square < length_a * length_b / 4
    both = length_a + length_b
    longer = jnp.sum(gap * (a + b), axis=-1, keepdims=True)
    longer = longer / jnp.where(both > 0, both, 1)
    side_a, side_b = (
        jnp.where(length + margin > 0, length + margin, 1)
        for length in (length_a, length_b)
    )
    scaled_a, scaled_b = a / side_a, b / side_b
    close = (gap - scaled_b * longer) / side_a
    return scaled_a, scaled_b, jnp.where(near, close, scaled_a - scaled_b)


def norm(values: jax.Array, axis: int = -1) -> jax.Array:
    """Euclidean norm over an axis, which stays as 1; 0 has the gradient 0."""
    square = jnp.sum(jnp.square(values), axis=axis, keepdims=True)
    # Twice, because the derivative of the branch not taken would be 0 * inf.
    positive = square > jnp.finfo(square.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
