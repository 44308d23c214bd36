"""What a network costs: its parameters and the multiply-adds of a forward pass.

Counted are convolutions and matrix products, attention's included; additions, norms,
activations and pooling are not. This is the convention of torchvision's tables, whose
figures the counts equal, see `docs/models.md`.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.extend import core

from ddjax import keys
from ddjax.models.functional import Network

# What a number can come from.
_FIXED, _VARIABLES, _IMAGES = frozenset(), frozenset("v"), frozenset("i")


def parameters(network: Network) -> int:
    """Counts the numbers that training changes.

    Args:
      network: from `ddjax.models.network`.

    Returns:
      Their number; running statistics of batch norm are none of them.
    """
    return _measure(network)[0]


def multiply_adds(network: Network) -> int:
    """Counts the multiply-adds of one image's forward pass in evaluation mode.

    Nothing is computed: the network is traced with XLA's convolutions, whatever its
    `lowering`, and the products in the trace are added up. Multiplications with the
    zeros of a padding count. What a network computes from its variables alone, such as
    the position bias of Swin, counts once.

    Args:
      network: from `ddjax.models.network`.

    Returns:
      Their number; twice as many are called FLOPs.
    """
    return _measure(network)[1]


@functools.lru_cache(maxsize=128)
def _measure(network):
    """Returns (parameters, multiply-adds)."""
    layers = dataclasses.replace(network.module.layers, lowering="direct")
    module = network.module.clone(layers=layers)
    key = jax.eval_shape(lambda: keys.key(0))
    image = jax.ShapeDtypeStruct((1, *network.image_shape), jnp.float32)
    trace = jax.make_jaxpr(module.init_with_output, return_shape=True)
    closed, (_, variables) = trace(key, image)
    # Variables arise inside this trace, and are its results after the logits.
    drawn = [value for value in closed.jaxpr.outvars[1:] if isinstance(value, core.Var)]
    origins = dict.fromkeys(drawn, _VARIABLES)
    origins[closed.jaxpr.invars[-1]] = _IMAGES
    total = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    return total, _count(closed.jaxpr, origins)


def _count(jaxpr: core.Jaxpr, origins: dict[core.Var, frozenset[str]]) -> int:
    """Adds up the multiply-adds of a jaxpr, some of whose values have known origins."""
    total = 0
    for equation in jaxpr.eqns:
        inputs = [
            _FIXED if isinstance(value, core.Literal) else origins.get(value, _FIXED)
            for value in equation.invars
        ]
        for value in equation.outvars:
            origins.setdefault(value, _FIXED.union(*inputs))
        if equation.primitive.name in _PRODUCTS:
            # Fixed weights on an image are pooling, written as a product.
            pooling = _FIXED in inputs and _IMAGES <= _FIXED.union(*inputs)
            total += 0 if pooling else _PRODUCTS[equation.primitive.name](equation)
        times = equation.params.get("length", 1)  # of a scan
        for inner in _inner(equation):
            total += times * _count(inner, dict(zip(inner.invars, inputs, strict=True)))
    return total


def _inner(equation) -> Iterator[core.Jaxpr]:
    """The jaxprs inside an equation; their inputs are its own."""
    for value in equation.params.values():
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value


def _dot(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    depth = math.prod(shape[axis] for axis in contracted)
    return depth * equation.outvars[0].aval.size


def _convolution(equation):
    kernel = equation.invars[1].aval
    outputs = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return kernel.size // outputs * equation.outvars[0].aval.size


_PRODUCTS = {"dot_general": _dot, "conv_general_dilated": _convolution}
