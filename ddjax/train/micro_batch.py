"""How many images of a batch are worked on at a time, so that caches hold them."""

import math

import jax
import numpy as np

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
    variables = jax.eval_shape(network.init, jax.random.key(0))
    if jax.default_backend() != "cpu" or set(variables) != {"params"}:
        return batch_size
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    fitting = max(1, _BYTES // _largest_map(network, variables, image))
    return max(d for d in range(1, min(fitting, batch_size) + 1) if batch_size % d == 0)


def _largest_map(network, variables, image) -> int:
    """Bytes of the largest intermediate of one image that depends on the image."""
    jaxpr = jax.make_jaxpr(network.apply)(variables, image)
    shapes = (v.aval.shape for e in jaxpr.eqns for v in e.outvars)
    return 4 * max(math.prod(shape) for shape in shapes if shape[:1] == (1,))
