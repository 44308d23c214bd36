"""What every codec of teacher logits offers.

Letters: C classes, N labels; `...` any leading dimensions.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Self

import jax
import numpy as np

from ddjax.declare import walk
from ddjax.errors import InputError


class Codec(abc.ABC):
    """A way to store a teacher's logits in fewer bits; a frozen dataclass.

    Its options are the fields that it declares by `ddjax.declare.setting`. Decoded
    logits equal the encoded ones up to the codec's own loss and, unless the codec is a
    plain float, up to a constant per label, which changes no softmax.

    Attributes:
      NAME: the name in a spec.
      DTYPE: of a payload.
      LEARNS: whether `fit` learns from labels, so that a parsed codec cannot encode.

    Raises:
      InputError: an option is out of its range.
    """

    NAME: ClassVar[str]
    DTYPE: ClassVar[np.dtype] = np.dtype(np.uint8)
    LEARNS: ClassVar[bool] = False

    def __post_init__(self):
        for name, field in self.options().items():
            walk.convert(f"codec: {self.NAME}.{name}", field, getattr(self, name))

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field]:
        """Returns what a spec may set, name -> field."""
        return {
            field.name: field
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]
            if field.metadata
        }

    @property
    def spec(self) -> str:
        """The codec as text, every option spelled out, as `parse` accepts it."""
        values = {name: getattr(self, name) for name in self.options()}
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
    def width(self, num_classes: int) -> int:
        """Returns the payload's length for one label, in elements of DTYPE."""

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
