"""Losses of one example each, `[..., C] -> [...]`, to be averaged by the caller.

Sums run in float32 (float64 for float64 inputs) whatever the inputs' dtype, and the
teacher's side never receives a gradient.

Letters: C classes; `...` any leading dimensions.
"""

import math
from numbers import Real

import jax
import jax.numpy as jnp

from ddjax.errors import InputError


def cross_entropy(
    logits: jax.Array, labels: jax.Array, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """Cross-entropy between labels and the softmax of logits, in nats.

    Args:
      logits: [..., C] float, unnormalised log-probabilities.
      labels: [...] integer classes in 0 .. C-1 (not checked), or [..., C] float
        probabilities; constant, they receive no gradient.
      label_smoothing: a in [0, 1], not checked when it is an array; the target is
        (1 - a) * label + a / C.

    Returns:
      [...] float32.

    Raises:
      InputError: the shapes or the labels' dtype do not fit, or label_smoothing is a
        number outside [0, 1].
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if isinstance(label_smoothing, Real) and not 0 <= label_smoothing <= 1:
        raise InputError(
            f"label_smoothing: found {label_smoothing}, allowed is a number in [0, 1]"
        )
    classes = jnp.issubdtype(labels.dtype, jnp.integer)
    if not classes and not jnp.issubdtype(labels.dtype, jnp.floating):
        raise InputError(
            f"labels: found dtype {labels.dtype}, allowed is integer classes or float "
            "probabilities"
        )
    if logits.ndim == 0 or labels.shape != (
        logits.shape[:-1] if classes else logits.shape
    ):
        raise InputError(
            f"labels: found {labels.dtype} of shape {labels.shape} with logits of "
            f"shape {logits.shape}, allowed is integer [...] or float [..., C] with "
            "logits [..., C]"
        )
    log_probs = _log_softmax(logits)
    if classes:
        own = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    else:
        own = jnp.sum(jax.lax.stop_gradient(labels) * log_probs, axis=-1)
    uniform = jnp.mean(log_probs, axis=-1)
    return -((1 - label_smoothing) * own + label_smoothing * uniform)


def kl_divergence(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    temperature: float | jax.Array = 1.0,
    scale_by_t2: bool = True,
) -> jax.Array:
    """KL(teacher || student) of the softmaxes at a temperature, in nats.

    Args:
      student_logits: [..., C] float.
      teacher_logits: [..., C] float; constant, they receive no gradient.
      temperature: T > 0, a scalar, not checked when it is an array; both sides' logits
        are divided by it.
      scale_by_t2: static; multiply by T**2, so that the gradient with respect to the
        student's logits, T * (p_student - p_teacher), keeps its size as T grows.
        Without, it is (p_student - p_teacher) / T.

    Returns:
      [...] float32, >= 0 up to rounding.

    Raises:
      InputError: the shapes differ, or temperature is a number that is not positive
        and finite.

    Source: the KD loss of megvii-research/mdistiller without its weight and its added
      cross-entropy. `scale_by_t2=False` is what the repositories of dataset
      distillation use, where SRe2L has the factor commented out.
    """
    student_logits, teacher_logits = map(jnp.asarray, (student_logits, teacher_logits))
    if isinstance(temperature, Real) and not 0 < temperature < math.inf:
        raise InputError(
            f"temperature: found {temperature}, allowed is a finite number > 0"
        )
    if student_logits.ndim == 0 or student_logits.shape != teacher_logits.shape:
        raise InputError(
            f"teacher_logits: found shape {teacher_logits.shape} with student_logits "
            f"of shape {student_logits.shape}, allowed is one shape [..., C]"
        )
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    student = _log_softmax(student_logits, temperature)
    teacher = _log_softmax(teacher_logits, temperature)
    divergence = jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
    return divergence * temperature**2 if scale_by_t2 else divergence


def _log_softmax(logits: jax.Array, temperature: float | jax.Array = 1.0) -> jax.Array:
    # Before the division, so that bf16 logits lose nothing to the temperature.
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.log_softmax(logits / temperature, axis=-1)
