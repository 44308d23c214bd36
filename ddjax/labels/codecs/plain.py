"""Logits as plain floats, which any zarr reader understands.

Letters: C classes.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.labels.codecs.codec import Codec


class _Plain(Codec):
    FLOAT: ClassVar[np.dtype]

    def dtype(self, num_classes: int) -> np.dtype:
        return self.FLOAT

    def width(self, num_classes: int) -> int:
        return num_classes

    def encode(self, logits: jax.Array) -> jax.Array:
        limit = float(jnp.finfo(self.FLOAT).max)
        return jnp.clip(jnp.asarray(logits, jnp.float32), -limit, limit).astype(
            self.FLOAT
        )

    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        return jnp.asarray(payload).astype(jnp.float32)

    def bits_per_label(self, num_classes: int) -> float:
        return 8.0 * self.FLOAT.itemsize * num_classes


@dataclasses.dataclass(frozen=True)
class Float32(_Plain):
    """The logits themselves."""

    NAME = "fp32"
    FLOAT = np.dtype(np.float32)


@dataclasses.dataclass(frozen=True)
class Float16(_Plain):
    """Half precision: relative error 2**-11, clipped to the finite +-65504."""

    NAME = "fp16"
    FLOAT = np.dtype(np.float16)


@dataclasses.dataclass(frozen=True)
class BFloat16(_Plain):
    """Brain float: relative error 2**-8, the range of float32."""

    NAME = "bf16"
    FLOAT = np.dtype(jnp.bfloat16)
