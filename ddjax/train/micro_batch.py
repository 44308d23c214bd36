"""How many images of a batch are worked on at a time, so that caches hold them."""

import functools
import math

import jax
import numpy as np

from ddjax import keys
from ddjax.models import Network

# Measured on CPU: a training step is fastest while the largest activation map of the
# images in work stays within about this much, so that a core's own cache holds it.
_BYTES = 2**20


def micro_batch_size(network: Network, batch_size: int) -> int:
    """Returns the images that a training step sums gradients over at a time.

    The gradient is the same up to rounding. Networks with batch norm, whose examples
    depend on each other, and accelerators take the batch whole.

    Args:
      network: the network to be trained.
      batch_size: images of a step.

    Returns:
      A divisor of `batch_size`.
    """
    if set(_variables(network)) != {"params"}:
        return batch_size
    fitting = images_in_cache(network, batch_size)
    return max(d for d in range(1, fitting + 1) if batch_size % d == 0)


@functools.cache
def images_in_cache(network: Network, limit: int) -> int:
    """Returns how many images, up to a limit, a network computes fastest at a time.

    Args:
      network: the network.
      limit: the most there can be, 1 or more; an accelerator takes them.
    """
    if jax.default_backend() != "cpu":
        return limit
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    jaxpr = jax.make_jaxpr(network.apply)(_variables(network), image)
    shapes = (v.aval.shape for e in jaxpr.eqns for v in e.outvars)
    # The largest intermediate of one image that depends on the image.
    largest = 4 * max(math.prod(shape) for shape in shapes if shape[:1] == (1,))
    return min(max(1, _BYTES // largest), limit)


@functools.cache
def _variables(network):
    return jax.eval_shape(network.init, keys.key(0))
