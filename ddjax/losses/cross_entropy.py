"""Cross-entropy with labels."""

import jax
import jax.numpy as jnp

from ddjax.losses.loss import check_numbers, classes_or_probabilities, wide
from ddjax.losses.softmax import log_softmax


def cross_entropy(
    logits: jax.Array, labels: jax.Array, label_smoothing: float | jax.Array = 0.0
) -> jax.Array:
    """Cross-entropy between labels and the softmax of logits, in nats.

    Of a class whose probability p is nearly 1 the loss is log1p of the odds of the
    others, so that it and its gradient keep the digits of 1 - p.

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
    check_numbers("[0, 1]", label_smoothing=label_smoothing)
    logits = jnp.asarray(logits)
    labels, classes = classes_or_probabilities(labels, logits)
    log_probs = log_softmax(wide(logits))
    if classes:
        own = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
    else:
        own = jnp.sum(jax.lax.stop_gradient(labels) * log_probs, axis=-1)
    uniform = jnp.mean(log_probs, axis=-1)
    return -((1 - label_smoothing) * own + label_smoothing * uniform)
