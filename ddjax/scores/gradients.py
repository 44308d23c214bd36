"""The gradient of each example: its norm (GraNd), and its factors in the last layer.

Shape letters: N examples, B examples of a block, C classes, D features, r rows, k
columns.
"""

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.errors import InputError
from ddjax.scores.features import finite_rows
from ddjax.scores.score import Score


def grand(
    apply_loss: Callable[[Any, Any, Any], jax.Array],
    variables: Any,
    images: Any,
    labels: Any,
    batch_size: int = 16,
) -> np.ndarray:
    """GraNd, the L2 norm of the gradient of each example's own loss; higher is harder.

    The norm is over all variables. Each is differentiated alone, so a score depends
    neither on N nor on `batch_size`, and nothing is divided by a batch. Beside images
    and scores, memory holds the gradients and activations of `batch_size` examples.
    One call scores one network; the published score is a mean over several trainings.

    Args:
      apply_loss: (variables, image, label) -> [] float, the loss of one example; pure,
        and hashable, because it is compiled once for each distinct function.
      variables: pytree of float arrays, all of which count. Pass what is trained and
        let `apply_loss` close over the rest, such as batch statistics.
      images: [N, ...] of any dtype, on the host or on a device, or a stream of images
        that are read block by block; `apply_loss` gets [...] of that dtype.
      labels: [N] int, 0 or more.
      batch_size: B, examples that are differentiated at once, at least 1.

    Returns:
      [N] float32, at least 0, in units of loss per unit of the variables. It is as
      exact as the loss's gradient in float32. Where the probability p of the class is
      nearly 1, `losses.cross_entropy` keeps the digits of 1 - p; others may lose them,
      and such examples then tie.

    Raises:
      InputError: if a variable is not float, there are no examples, labels or batch
        size are out of range, the loss is not one number, or, as soon as it is found,
        a gradient is not finite or its norm is beyond float32.

    Source: Paul et al., "Deep Learning on a Data Diet", and mansheej/data_diet, whose
    Jacobian of a whole batch and whose need of a batch size that divides N are not
    kept. DeepCore's GraNd is another score: it is of the last layer only.
    """
    # Device arrays stay where they are, and a stream in its files.
    images = images if hasattr(images, "shape") else np.asarray(images)
    labels_N = np.asarray(labels)
    _check(variables, images, labels_N, batch_size)

    count = len(labels_N)
    size = min(batch_size, count)
    norms_N = np.empty(count, np.float32)
    for start in range(0, count, size):
        # All blocks have one shape: the last overlaps the one before it.
        start = min(start, count - size)
        block = slice(start, start + size)
        with jax.default_matmul_precision("highest"):
            norms_B = _norms(apply_loss, variables, images[block], labels_N[block])
        norms_N[block] = norms_B
        bad_B = ~np.isfinite(norms_N[block])
        if bad_B.any():
            raise InputError(
                f"variables: the gradient's norm is {norms_N[block][bad_B][0]} at "
                f"example {start + bad_B.argmax()}, expected a finite number; the "
                "network has diverged, or this image is not finite"
            )
    return norms_N


@functools.partial(jax.jit, static_argnums=0)
def _norms(apply_loss, variables, images_B, labels_B):
    """[B] float32. Only sums leave the program, never B gradients."""

    def loss_of(variables, image, label):
        loss = apply_loss(variables, image, label)
        found = jax.tree.map(jax.typeof, loss)
        if getattr(found, "shape", None) != () or not _is_float(found):
            raise InputError(
                f"apply_loss: returned {found}, expected one float number for one "
                "example"
            )
        return loss

    def norm(image, label):
        grads = jax.tree.leaves(jax.grad(loss_of)(variables, image, label))
        return jnp.sqrt(sum(jnp.sum(jnp.square(g.astype(jnp.float32))) for g in grads))

    return jax.vmap(norm)(images_B, labels_B)


def _is_float(array):
    return jnp.issubdtype(array.dtype, jnp.floating)


def _check(variables, images, labels_N, batch_size):
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    if not leaves:
        raise InputError("variables: found no array, expected at least one")
    for path, leaf in leaves:
        if not _is_float(jax.typeof(leaf)):
            raise InputError(
                f"variables: {jax.tree_util.keystr(path)} is {jax.typeof(leaf)}, "
                "expected float; pass only what is trained"
            )
    if labels_N.ndim != 1 or not np.issubdtype(labels_N.dtype, np.integer):
        raise InputError(
            f"labels: shape {labels_N.shape} of {labels_N.dtype}, expected [N] integers"
        )
    if labels_N.size == 0:
        raise InputError("labels: there are no examples to score")
    if labels_N.min() < 0:
        raise InputError(f"labels: class {labels_N.min()}, expected 0 or more")
    if images.shape[:1] != labels_N.shape:
        raise InputError(
            f"images: shape {images.shape}, expected [N, ...] with N = "
            f"{labels_N.size} to fit the labels"
        )
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise InputError(f"batch_size: {batch_size}, expected an integer of at least 1")


GRAND = Score(
    function=grand,
    title="GraNd",
    of_inputs=lambda inputs: inputs.require("grand"),
    requires=("grand",),
)


@dataclasses.dataclass(frozen=True, eq=False)
class LastLayer:
    """The gradients of N examples in the weights and bias of the last dense layer.

    With e the error of the softmax and h the layer's input, the gradient of an example
    is the outer product [h; 1] e^T of D + 1 by C numbers. Norms and inner products need
    only the factors, so that the N outer products never exist at once.

    Attributes:
      errors: [N, C] float, softmax minus one-hot (or soft) label.
      features: [N, D] float, the input of the layer.

    Raises:
      InputError: if the two are not finite arrays of N rows.
    """

    errors: np.ndarray
    features: np.ndarray

    def __post_init__(self):
        for name in ("errors", "features"):
            values = finite_rows(f"LastLayer.{name}", getattr(self, name))
            object.__setattr__(self, name, values)
        if len(self.errors) != len(self.features):
            raise InputError(
                f"LastLayer.features: {len(self.features)} examples, but "
                f"LastLayer.errors has {len(self.errors)}"
            )

    @classmethod
    def from_logits(cls, logits, labels, features) -> "LastLayer":
        """The gradients at logits [N, C], labels [N] int and features [N, D].

        Raises:
          InputError: if a shape does not fit, a value is not finite, or a label is not
            an integer in 0..C-1.
        """
        logits_NC = finite_rows("LastLayer.logits", logits)
        check_labels("labels", labels, *logits_NC.shape)
        return cls(softmax_errors(logits_NC, labels), features)

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.errors)

    @property
    def num_classes(self) -> int:
        """C."""
        return self.errors.shape[1]

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        """[N, D + 1] float64, the features and the 1 that the bias multiplies."""
        ones_N1 = np.ones((self.num_examples, 1))
        return np.concatenate([self.features, ones_N1], axis=1, dtype=np.float64)

    def take(self, ids) -> "LastLayer":
        """The gradients of some of the examples."""
        return LastLayer(self.errors[ids], self.features[ids])

    def norms(self) -> np.ndarray:
        """GraNd of the last layer, the norm of each gradient; higher is harder.

        [N] float32. GraNd is the gradient norm in all parameters, averaged over runs;
        its restriction to the last layer is DeepCore's.

        Source: PatrickZH/DeepCore, `grand.py`, which averages over ten runs; here one
        model. It divides each gradient by the size of its batch, since it
        differentiates the mean loss: in the last batch, which is smaller, norms are
        larger there. Until January 2023 it took the softmax twice.
        """
        return np.sqrt(self.squares()).astype(np.float32)

    def squares(self) -> np.ndarray:
        """[N] float64, the squared norm of each gradient."""
        return _squares(self.errors) * (_squares(self.features) + 1)

    def products(self, rows, columns) -> np.ndarray:
        """[r, k] float64, inner products of the gradients at two index arrays."""
        errors_NC = self.errors.astype(np.float64)
        errors_rk = errors_NC[rows] @ errors_NC[columns].T
        return errors_rk * (self.inputs[rows] @ self.inputs[columns].T)

    def along(self, direction_DC) -> np.ndarray:
        """[N] float64, inner products with one gradient, [D + 1, C] float."""
        return np.einsum("nc,nc->n", self.inputs @ direction_DC, self.errors)

    def mean(self) -> np.ndarray:
        """[D + 1, C] float64, the mean gradient."""
        return self.inputs.T @ self.errors / self.num_examples


def _squares(values):
    return np.einsum("nd,nd->n", values, values, dtype=np.float64)


def softmax_errors(logits_NC, labels_N) -> np.ndarray:
    """Softmax minus one-hot label, [N, C] float64, without cancellation near 0.

    Args:
      logits_NC: [N, C] float, -inf allowed where another logit is finite.
      labels_N: [N] int, in 0..C-1 (not checked).
    """
    logits_NC = np.asarray(logits_NC, np.float64)
    powers_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    errors_NC = powers_NC / powers_NC.sum(axis=1, keepdims=True)
    label_N1 = np.asarray(labels_N)[:, None]
    np.put_along_axis(errors_NC, label_N1, 0.0, axis=1)
    rest_N1 = errors_NC.sum(axis=1, keepdims=True)
    np.put_along_axis(errors_NC, label_N1, -rest_N1, axis=1)
    return errors_NC


def check_labels(name: str, labels, num_examples: int, num_classes: int) -> None:
    """Raises an InputError naming `name` unless labels are [N] int in 0..C-1."""
    labels_N = np.asarray(labels)
    integers = np.issubdtype(labels_N.dtype, np.integer)
    if labels_N.shape != (num_examples,) or not integers:
        raise InputError(
            f"{name}: shape {labels_N.shape} of {labels_N.dtype}, expected "
            f"{num_examples} integers, one for each gradient"
        )
    if labels_N.min() < 0 or labels_N.max() >= num_classes:
        raise InputError(
            f"{name}: classes {labels_N.min()} to {labels_N.max()}, but the layer has "
            f"the outputs 0..{num_classes - 1}"
        )


GRAND_LAST_LAYER = Score(
    function=LastLayer.norms,
    title="GraNd (last layer)",
    of_inputs=lambda inputs: inputs.require("gradients").norms(),
    requires=("gradients",),
)
