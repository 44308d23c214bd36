"""Per-example gradients of the cross-entropy in the last dense layer, as factors.

Shape letters: N examples, C classes, D features, r rows, k columns.
"""

import dataclasses
import functools

import numpy as np

from ddjax.errors import InputError
from ddjax.scores.rows import finite_rows


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
        """[N] float32, the norm of each gradient: GraNd of the last layer.

        Higher is harder. GraNd is the gradient norm in all parameters, averaged over
        runs; its restriction to the last layer is DeepCore's.

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
