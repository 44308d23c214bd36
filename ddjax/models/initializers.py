"""Initialisers, PyTorch's default first, since published numbers rest on it.

`torch.nn.Conv2d` and `torch.nn.Linear` draw kernel and bias from a uniform
distribution on +-1/sqrt(fan_in); Flax's own default is wider (LeCun normal) with a
bias of zero.

Random numbers are drawn flat and then reshaped. The values are those of a draw in the
final shape, but on CPU XLA compiles a four-dimensional draw about ten times slower.
"""

import math

import jax
from flax import linen as nn


def torch_bias(fan_in: int) -> nn.initializers.Initializer:
    """Returns the initialiser of a bias: uniform on +-1/sqrt(fan_in).

    Args:
      fan_in: inputs of one output unit, at least 1.

    Returns:
      An initialiser `(key, shape, dtype) -> array`.
    """
    return uniform(1 / math.sqrt(fan_in))


def torch_kernel(key: jax.Array, shape: tuple[int, ...], dtype=float) -> jax.Array:
    """Draws a kernel uniformly from +-1/sqrt(fan_in).

    Args:
      key: a typed PRNG key.
      shape: (..., inputs, outputs); fan_in is the product of all but the last.
      dtype: of the result.

    Returns:
      The kernel.
    """
    return torch_bias(math.prod(shape[:-1]))(key, shape, dtype)


def kaiming_normal(key: jax.Array, shape: tuple[int, ...], dtype=float) -> jax.Array:
    """Draws a kernel from a normal distribution of variance 2 / fan_out.

    Args:
      key: a typed PRNG key.
      shape: (..., inputs, outputs); fan_out is the product of all but the inputs.
      dtype: of the result.

    Returns:
      The kernel.
    """
    fan_out = math.prod(shape[:-2]) * shape[-1]
    flat = jax.random.normal(key, (math.prod(shape),), dtype)
    return (flat * math.sqrt(2 / fan_out)).reshape(shape)


def normal(stddev: float) -> nn.initializers.Initializer:
    """Returns the initialiser that draws from a normal distribution around 0."""

    def init(key, shape, dtype=float):
        flat = jax.random.normal(key, (math.prod(shape),), dtype)
        return (stddev * flat).reshape(shape)

    return init


def uniform(limit: float) -> nn.initializers.Initializer:
    """Returns the initialiser that draws uniformly from +-limit."""

    def init(key, shape, dtype=float):
        flat = jax.random.uniform(key, (math.prod(shape),), dtype, -limit, limit)
        return flat.reshape(shape)

    return init
