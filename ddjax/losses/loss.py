"""How a distillation loss declares itself, and how all losses check their arguments.

Numbers are checked only when they are not traced.
"""

import dataclasses
from collections.abc import Callable
from numbers import Real

import jax
import jax.numpy as jnp

from ddjax.declare import Interval
from ddjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Loss:
    """A distillation loss as training applies it.

    Attributes:
      function: (student's logits [B,C], teacher's logits [B,C], **given, **options) ->
        [B]. With two views it takes four logits instead: the student's of the weak and
        of the strong view, then the teacher's.
      options: frozen dataclass of `ddjax.declare.setting` fields, which are keyword
        arguments of the function and the settings `labels.NAME.LOSS.FIELD`; None: it
        has no options.
      given: keyword arguments that training computes for it: `labels` [B,C] float32,
        the class as probabilities, mixed as the view is; `temperature` [] float32;
        `scale_by_t2` bool; `passes` [B] int32, the student's pass over its subset.
      views: 2 where it compares a weakly and a strongly augmented view of each image;
        each step then takes twice the image passes.
      whole_batch: whether an example's loss depends on the others of its batch, so that
        a batch must not be cut.
      source: where it comes from.
    """

    function: Callable[..., jax.Array]
    options: type | None = None
    given: tuple[str, ...] = ()
    views: int = 1
    whole_batch: bool = False
    source: str = ""


def check_numbers(allowed: str, **numbers):
    """Raises InputError for a number outside an interval, such as "[0, inf)"."""
    interval = Interval(allowed)
    for name, number in numbers.items():
        if isinstance(number, Real) and float(number) not in interval:
            raise InputError(
                f"{name}: found {number}, allowed is a number in {interval}"
            )


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


def target_class(labels, logits: jax.Array) -> jax.Array:
    """[...] integer: the classes themselves, or the most probable (the first of ties).

    Raises:
      InputError: as `classes_or_probabilities`.
    """
    labels, classes = classes_or_probabilities(labels, logits)
    return labels if classes else jnp.argmax(labels, axis=-1)


def wide(logits: jax.Array) -> jax.Array:
    """Float32 or wider, before any arithmetic, so that bf16 loses nothing to it."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
