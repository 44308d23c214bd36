"""Softmaxes whose logarithms and differences keep their digits.

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
    # here hangs on a rounding, which may differ between two uses of one number.
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
