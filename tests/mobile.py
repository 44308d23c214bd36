"""What tests of the mobile networks share: a trace without numbers, and variables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ddjax import models


@functools.cache
def trace(name, size):
    """Variables, logits and the layers called, in a pass of training; no numbers."""
    net = models.create(name, 1000, size, dtype="bfloat16")
    calls = {}

    def look(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if context.method_name == "__call__":
            layer = context.module
            calls["/".join(layer.path)] = layer, result.shape, result.dtype
        return result

    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    with nn.intercept_methods(look):
        logits, variables = jax.eval_shape(
            lambda key, x: net.init_with_output(key, x, True), jax.random.key(0), images
        )
    return variables, logits, calls


def random(shapes, scale=1):
    """Numbers that keep activations near one, some beyond 6; variances positive."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        if leaf.ndim == 1:
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return (scale * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree.map(draw, shapes)
