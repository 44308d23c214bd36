"""Random numbers of selections."""

import functools

import jax
import numpy as np


def bits(key: jax.Array, shape: tuple[int, ...]) -> np.ndarray:
    """Returns uniform uint32 numbers of a shape on the host; consumes the key."""
    return np.asarray(_bits(key, shape))


@functools.partial(jax.jit, static_argnums=1)  # one program, not one an operation
def _bits(key, shape):
    return jax.random.bits(key, shape)
