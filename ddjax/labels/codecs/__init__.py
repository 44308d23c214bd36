"""Codecs that shrink stored teacher logits.

`CODECS` maps the names that configs use to the codecs. A spec is a name and, after a
colon, options: `fp16`, `topk:k=2,keep=probabilities`, `vq:codes=256,groups=2`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ddjax.declare import text
from ddjax.errors import InputError
from ddjax.labels.codecs.codec import Codec
from ddjax.labels.codecs.scalar import BFloat16, Float16, Float32, Int8
from ddjax.labels.codecs.topk import TopK
from ddjax.labels.codecs.vq import VQ

CODECS: dict[str, type[Codec]] = {
    codec.NAME: codec for codec in (Float32, Float16, BFloat16, Int8, TopK, VQ)
}

__all__ = [
    "CODECS",
    "VQ",
    "BFloat16",
    "Codec",
    "Float16",
    "Float32",
    "Int8",
    "TopK",
    "load",
    "parse",
]


def __dir__() -> list[str]:
    return __all__


def parse(spec: str) -> Codec:
    """Returns the codec that a spec describes.

    Args:
      spec: a name in CODECS, then optionally `:` and `option=value` pairs separated
        by commas.

    Returns:
      The codec, not fitted.

    Raises:
      InputError: the codec or an option is unknown, missing or given twice, or a
        value is not allowed.
    """
    name, _, rest = spec.partition(":")
    if name not in CODECS:
        raise InputError(f"codec: found {spec!r}, known: {', '.join(CODECS)}")
    codec, values = CODECS[name], {}
    for part in rest.split(",") if rest else []:
        option, _, value = part.partition("=")
        if option not in codec.options():
            known = ", ".join(codec.options()) or "none"
            raise InputError(
                f"codec: found option {part!r} in {spec!r}, known options of {name}: "
                f"{known}"
            )
        if option in values:
            raise InputError(f"codec: found option {option} twice in {spec!r}")
        field = codec.options()[option]
        values[option] = text.parse(f"codec: {name}.{option}", field, value)
    for option, field in codec.options().items():
        if field.default is dataclasses.MISSING and option not in values:
            raise InputError(f"codec: found {spec!r}, {name} requires {option}=...")
    return codec(**values)


def load(spec: str, num_classes: int, state: Mapping[str, np.ndarray]) -> Codec:
    """Returns the codec that was saved.

    Args:
      spec: its spec.
      num_classes: C.
      state: its `state()`; it then decodes and cannot encode what it had learned to
        encode. With `state(encoder=True)` it does both.

    Returns:
      The codec.

    Raises:
      InputError: the spec is wrong or the arrays are not those of the codec.
    """
    codec = parse(spec)
    codec.check(num_classes)
    return codec.restore(num_classes, state)
