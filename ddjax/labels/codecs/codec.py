"""What every codec of teacher logits offers.

Letters: C classes, N labels; `...` any leading dimensions.
"""

import abc
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import jax
import numpy as np

from ddjax.errors import InputError


class Codec(abc.ABC):
    """A way to store a teacher's logits in fewer bits.

    Decoded logits equal the encoded ones up to the codec's own loss and, unless the
    codec is a plain float, up to a constant per label, which no softmax sees.

    Attributes:
      NAME: the name in a spec.
      OPTIONS: what a spec may set, each with the conversion of its text.
      LEARNS: whether `fit` learns from labels, so that a parsed codec cannot encode.
    """

    NAME: ClassVar[str]
    LEARNS: ClassVar[bool] = False
    OPTIONS: ClassVar[Mapping[str, Callable[[str], Any]]] = {}

    @property
    def spec(self) -> str:
        """The codec as text, every option spelled out, as `parse` accepts it."""
        values = {name: getattr(self, name) for name in self.OPTIONS}
        options = ",".join(
            f"{name}={str(value).removesuffix('.0')}"
            for name, value in values.items()
            if value is not None
        )
        return f"{self.NAME}:{options}" if options else self.NAME

    def check(self, num_classes: int) -> None:
        """Raises InputError where labels of C classes cannot be encoded."""
        if num_classes < 2:
            raise InputError(
                f"codec: found {num_classes} classes, {self.NAME} needs at least 2"
            )

    @abc.abstractmethod
    def dtype(self, num_classes: int) -> np.dtype:
        """Returns the payload's dtype."""

    @abc.abstractmethod
    def width(self, num_classes: int) -> int:
        """Returns the payload's length for one label, in elements of `dtype`."""

    @abc.abstractmethod
    def encode(self, logits: jax.Array) -> jax.Array:
        """Returns the payload [..., width] of logits [..., C] float."""

    @abc.abstractmethod
    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        """Returns the logits [..., C] float32 of a payload [..., width]."""

    @abc.abstractmethod
    def bits_per_label(self, num_classes: int) -> float:
        """Returns the bits that one label needs when packed without gaps."""

    def shared_bits(self, num_classes: int) -> int:
        """Returns the bits that all labels of a store share, needed to decode."""
        return 0

    def fit(self, key: jax.Array, logits: jax.Array) -> Self:
        """Returns a codec that is ready to encode, fitted where it learns.

        Args:
          key: typed PRNG key, consumed.
          logits: [N, C] float, labels like those to be stored.
        """
        return self

    def state(self, encoder: bool = False) -> dict[str, np.ndarray]:
        """Returns the arrays that decoding needs.

        Args:
          encoder: add what encoding needs, so that a writer can resume.
        """
        return {}

    def restore(self, num_classes: int, state: Mapping[str, np.ndarray]) -> Self:
        """Returns the codec that `state` was taken from.

        Raises:
          InputError: the arrays are not those of this codec for C classes.
        """
        if state:
            raise InputError(
                f"codec: found arrays {', '.join(state)}, {self.NAME} has none"
            )
        return self
