"""AlexNet.

Letters: B batch, H W image, C channels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from ddjax import models
from ddjax.models.alexnet import AlexNet
from ddjax.models.layers import Conv, Dropout, Layers


def _random_variables(net, images):
    """Numbers of a size that keeps activations near one."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0), images)

    def draw(leaf):
        x = rng.standard_normal(leaf.shape, np.float32)
        return x * np.float32(np.sqrt(2 / max(1, np.prod(leaf.shape[:-1]))))

    return jax.tree.map(draw, shapes)


def _reference(params, images_BHWC):
    """Returns (logits, features) from the layers as the paper lists them."""

    def conv(number, stride, padding):
        layer = params[f"features.{number}"]
        y = lax.conv_general_dilated(
            x,
            layer["kernel"],
            (stride, stride),
            [(padding, padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.maximum(y + layer["bias"].reshape(1, 1, 1, -1), 0)

    def pool():
        window, step = (1, 3, 3, 1), (1, 2, 2, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, step, "VALID")

    def dense(number):
        layer = params[f"classifier.{number}"]
        return x @ layer["kernel"] + layer["bias"].reshape(1, -1)

    x = images_BHWC
    x = conv(0, 4, 2)
    x = pool()
    x = conv(3, 1, 2)
    x = pool()
    x = conv(6, 1, 1)
    x = conv(8, 1, 1)
    x = conv(10, 1, 1)
    x = pool()
    # A map of 3x3 is repeated to 6x6.
    x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    x = jnp.maximum(dense(1), 0)
    x = jnp.maximum(dense(4), 0)
    return dense(6), x


def test_alexnet_equals_its_layers_one_by_one():
    net = AlexNet(5, 0.5, Layers("none"), hidden=16)
    images = np.random.default_rng(1).normal(size=(2, 127, 127, 3)).astype(np.float32)
    variables = _random_variables(net, images)
    logits, features = jax.jit(lambda v: net.apply(v, images, features=True))(variables)
    expected = jax.jit(_reference)(variables["params"], images)
    # Sums of up to 9216 products in another order.
    np.testing.assert_allclose(logits, expected[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features, expected[1], rtol=1e-3, atol=1e-4)


def test_alexnet_has_torchvisions_maps_and_dropout_down_to_63_px():
    net = models.create("alexnet", 10, 63)
    images = jax.ShapeDtypeStruct((2, 63, 63, 3), jnp.float32)
    maps, drops = {}, {}

    def look(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, Conv):
            maps[layer.name] = args[0].shape[1:]
        if isinstance(layer, Dropout) and layer.train:
            drops[layer.name] = layer.rate, args[0].shape
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        jax.eval_shape(lambda key, x: net.init(key, x, True), jax.random.key(0), images)
    assert maps == {
        "features.0": (63, 63, 3),
        "features.3": (7, 7, 64),
        "features.6": (3, 3, 192),
        "features.8": (3, 3, 384),
        "features.10": (3, 3, 256),
    }
    assert drops == {
        "classifier.0": (0.5, (2, 9216)),
        "classifier.3": (0.5, (2, 4096)),
    }
