"""The k largest classes of a label, and one rule for all others.

Letters: C classes; `...` any leading dimensions.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.declare import setting
from ddjax.errors import InputError
from ddjax.labels.codecs.codec import Codec

_LIMIT = float(np.finfo(np.float16).max)
# Below every kept logit, and low enough that a softmax gives exactly 0 up to a
# temperature of 960; finite, so that a divergence stays finite.
_DROPPED = -1e5


@dataclasses.dataclass(frozen=True)
class TopK(Codec):
    """Top-k labels, cut before ("logits", MR-k) or after the softmax (MS-k).

    "logits": the k largest logits are kept and every other class has probability 0,
    at any temperature. "probabilities": the k largest probabilities at `temperature`
    are kept and the others share the rest evenly; decoded logits are temperature times
    log-probabilities, to be read at that temperature. Of equal logits the lower class
    is kept first.

    A payload is k class indices of ceil(log2 C) bits, largest logit first, then in
    fp16 the logits' distances from the largest one, k - 1 of them, and with
    "probabilities" the distance that the others share.

    Source: MR-k and MS-k of LPQLD (arXiv 2604.18135). There indices take 16 bits and
      k values are kept; distances from the largest logit are the same labels.
    """

    NAME = "topk"

    k: int = setting(dataclasses.MISSING, "Classes kept.", "[1, inf)")
    keep: str = setting(
        "logits", "What is cut to k classes.", ("logits", "probabilities")
    )
    temperature: float | None = setting(None, "Of probabilities; None: 20.", "(0, inf)")

    def __post_init__(self):
        super().__post_init__()
        if self.keep == "probabilities" and self.temperature is None:
            object.__setattr__(self, "temperature", 20.0)
        if self.keep == "logits" and self.temperature is not None:
            raise InputError(
                f"codec: topk.temperature: found {self.temperature}, allowed is None "
                "unless keep=probabilities"
            )

    def check(self, num_classes: int) -> None:
        super().check(num_classes)
        if self.k > num_classes:
            raise InputError(
                f"codec: topk.k: found {self.k}, allowed is at most {num_classes}, the "
                "number of classes"
            )

    def width(self, num_classes: int) -> int:
        return self._index_bytes(num_classes) + 2 * self._values(num_classes)

    def encode(self, logits: jax.Array) -> jax.Array:
        logits = jnp.asarray(logits, jnp.float32)
        num_classes = logits.shape[-1]
        self.check(num_classes)
        kept, classes = jax.lax.top_k(logits, self.k)
        distances = kept[..., 1:] - kept[..., :1]
        if self._shares_rest(num_classes):
            assert self.temperature is not None
            rest = jnp.put_along_axis(
                logits / self.temperature, classes, -jnp.inf, axis=-1, inplace=False
            )
            share = jax.nn.logsumexp(rest, axis=-1, keepdims=True)
            share = self.temperature * (share - math.log(num_classes - self.k))
            distances = jnp.concatenate([distances, share - kept[..., :1]], axis=-1)
        values = jnp.clip(distances, -_LIMIT, 0).astype(jnp.float16)
        octets = jax.lax.bitcast_convert_type(values, jnp.uint8)
        octets = octets.reshape(*octets.shape[:-2], 2 * values.shape[-1])
        indices = _pack(classes, _index_bits(num_classes))
        return jnp.concatenate([indices, octets], axis=-1)

    def decode(self, payload: jax.Array, num_classes: int) -> jax.Array:
        payload = jnp.asarray(payload)
        split = self._index_bytes(num_classes)
        classes = _unpack(payload[..., :split], self.k, _index_bits(num_classes))
        octets = payload[..., split:].reshape(*payload.shape[:-1], -1, 2)
        values = jax.lax.bitcast_convert_type(octets, jnp.float16).astype(jnp.float32)
        top = jnp.zeros((*payload.shape[:-1], 1), jnp.float32)
        kept = jnp.concatenate([top, values[..., : self.k - 1]], axis=-1)
        others = values[..., -1:] if self._shares_rest(num_classes) else top + _DROPPED
        logits = jnp.broadcast_to(others, (*others.shape[:-1], num_classes))
        logits = jnp.put_along_axis(logits, classes, kept, axis=-1, inplace=False)
        if self.temperature is None:  # of logits
            return logits
        return self.temperature * jax.nn.log_softmax(logits / self.temperature)

    def bits_per_label(self, num_classes: int) -> float:
        return float(self.k * _index_bits(num_classes) + 16 * self._values(num_classes))

    def _shares_rest(self, num_classes: int) -> bool:
        return self.keep == "probabilities" and self.k < num_classes

    def _values(self, num_classes: int) -> int:
        return self.k - 1 + self._shares_rest(num_classes)

    def _index_bytes(self, num_classes: int) -> int:
        return math.ceil(self.k * _index_bits(num_classes) / 8)


def _index_bits(num_classes: int) -> int:
    return (num_classes - 1).bit_length()


def _pack(indices: jax.Array, bits: int) -> jax.Array:
    """Packs indices [..., k], the highest of their bits first, into bytes."""
    shifts = jnp.arange(bits - 1, -1, -1).reshape((1,) * indices.ndim + (bits,))
    digits = (indices[..., None] >> shifts) & 1
    return jnp.packbits(digits.reshape(*indices.shape[:-1], -1), axis=-1)


def _unpack(octets: jax.Array, count: int, bits: int) -> jax.Array:
    """Returns the indices [..., count] int32 that `_pack` packed."""
    digits = jnp.unpackbits(octets, axis=-1, count=count * bits).astype(jnp.int32)
    digits = digits.reshape(*octets.shape[:-1], count, bits)
    places = 1 << jnp.arange(bits - 1, -1, -1, dtype=jnp.int32)
    return jnp.sum(digits * places.reshape((1,) * (digits.ndim - 1) + (bits,)), axis=-1)
