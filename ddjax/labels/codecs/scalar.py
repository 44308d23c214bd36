"""One number a class: plain floats, or a signed byte with a scale of each label's own.

Letters: C classes.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.labels.codecs.codec import Codec

# fp16 is exact to 2**-11 from its smallest normal number on.
_SMALLEST = float(np.finfo(np.float16).tiny)
_LARGEST = float(np.finfo(np.float16).max)


class _Plain(Codec):
    # A float that any zarr reader understands.

    def width(self, num_classes: int) -> int:
        return num_classes

    def encode(self, logits: jax.Array) -> jax.Array:
        limit = float(jnp.finfo(self.DTYPE).max)
        return jnp.clip(jnp.asarray(logits, jnp.float32), -limit, limit).astype(
            self.DTYPE
        )

    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        return jnp.asarray(payload).astype(jnp.float32)

    def bits_per_label(self, num_classes: int) -> float:
        return 8.0 * self.DTYPE.itemsize * num_classes


@dataclasses.dataclass(frozen=True)
class Float32(_Plain):
    """The logits themselves."""

    NAME = "fp32"
    DTYPE = np.dtype(np.float32)


@dataclasses.dataclass(frozen=True)
class Float16(_Plain):
    """Half precision: relative error 2**-11, clipped to the finite +-65504."""

    NAME = "fp16"
    DTYPE = np.dtype(np.float16)


@dataclasses.dataclass(frozen=True)
class BFloat16(_Plain):
    """Brain float: relative error 2**-8, the range of float32."""

    NAME = "bf16"
    DTYPE = np.dtype(jnp.bfloat16)


@dataclasses.dataclass(frozen=True)
class Int8(Codec):
    """Uniform quantisation of each label's range to 255 levels.

    Logits are shifted so that the largest and the smallest are opposite, which changes
    no softmax, divided by a scale and rounded: C bytes, then the scale in fp16.

    The error of a shifted logit is at most half the scale, and the scale is the
    label's range / 254, up to fp16's rounding and not below 6.2e-5; beyond a range of
    1.6e7 the logits are clipped.
    """

    NAME = "int8"

    def width(self, num_classes: int) -> int:
        return num_classes + 2

    def encode(self, logits: jax.Array) -> jax.Array:
        logits = jnp.asarray(logits, jnp.float32)
        largest = jnp.max(logits, axis=-1, keepdims=True)
        smallest = jnp.min(logits, axis=-1, keepdims=True)
        scale = jnp.clip((largest - smallest) / 254, _SMALLEST, _LARGEST)
        scale = scale.astype(jnp.float16)
        # The rounded scale divides, so that its rounding adds no error.
        levels = (logits - (largest + smallest) / 2) / scale.astype(jnp.float32)
        codes = jnp.clip(jnp.round(levels), -127, 127).astype(jnp.int8)
        return jnp.concatenate(
            [_as(jnp.uint8, codes), _as(jnp.uint8, scale[..., 0])], -1
        )

    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        payload = jnp.asarray(payload)
        codes = _as(jnp.int8, payload[..., :num_classes]).astype(jnp.float32)
        scale = _as(jnp.float16, payload[..., num_classes:]).astype(jnp.float32)
        return codes * scale[..., None]

    def bits_per_label(self, num_classes: int) -> float:
        return 8.0 * num_classes + 16.0


def _as(dtype, values: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(values, dtype)
