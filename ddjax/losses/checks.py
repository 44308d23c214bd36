"""What every loss asks of its arguments. Numbers are checked only when not traced."""

import math
from numbers import Real

import jax
import jax.numpy as jnp

from ddjax.errors import InputError


def check_temperature(temperature):
    """Raises InputError for a number that is not positive and finite."""
    if isinstance(temperature, Real) and not 0 < temperature < math.inf:
        raise InputError(
            f"temperature: found {temperature}, allowed is a finite number > 0"
        )


def check_weights(**weights):
    """Raises InputError for a number that is negative or not finite."""
    for name, weight in weights.items():
        if isinstance(weight, Real) and not 0 <= weight < math.inf:
            raise InputError(f"{name}: found {weight}, allowed is a finite number >= 0")


def check_fractions(**fractions):
    """Raises InputError for a number outside [0, 1]."""
    for name, fraction in fractions.items():
        if isinstance(fraction, Real) and not 0 <= fraction <= 1:
            raise InputError(f"{name}: found {fraction}, allowed is a number in [0, 1]")


def same_shape(minimum_classes: int = 1, **logits) -> tuple[jax.Array, ...]:
    """The named logits as arrays [..., C] of float32 or wider.

    Raises:
      InputError: a shape differs from the first one's, or there are fewer than
        minimum_classes classes.
    """
    arrays = {name: jnp.asarray(array) for name, array in logits.items()}
    (first, model), *others = arrays.items()
    for name, array in others:
        if model.ndim == 0 or array.shape != model.shape:
            raise InputError(
                f"{name}: found shape {array.shape} with {first} of shape "
                f"{model.shape}, allowed is one shape [..., C]"
            )
    if model.shape[-1] < minimum_classes:
        raise InputError(
            f"{first}: found shape {model.shape}, allowed is [..., C] with at least "
            f"{minimum_classes} classes"
        )
    return tuple(wide(array) for array in arrays.values())


def classes_or_probabilities(labels, logits: jax.Array) -> tuple[jax.Array, bool]:
    """Labels as an array, and whether they are classes [...] (else [..., C]).

    Raises:
      InputError: their dtype is neither integer nor float, or their shape does not fit
        logits [..., C].
    """
    labels = jnp.asarray(labels)
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
    return labels, classes


def wide(logits: jax.Array) -> jax.Array:
    """Float32 or wider, before any arithmetic, so that bf16 loses nothing to it."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
