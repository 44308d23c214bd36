"""VGG-11, with and without normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from ddjax import models
from ddjax.models.layers import Dropout, Layers
from ddjax.models.vgg import VGG

# torchvision's numbers of the convolutions, those before a pooling marked.
_PLAIN = ((0, 1), (3, 1), (6, 0), (8, 1), (11, 0), (13, 1), (16, 0), (18, 1))
_BATCH = ((0, 1), (4, 1), (8, 0), (11, 1), (15, 0), (18, 1), (22, 0), (25, 1))
_STAGES = ((64,), (8,), (8, 12), (12, 8), (8, 8))


def _small(norm):
    return VGG(5, 0.5, Layers(norm), _STAGES, hidden=16)


def _random_variables(net, images):
    """Numbers of a size that keeps activations near one; variances are positive."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0), images)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        x = rng.standard_normal(leaf.shape, np.float32)
        return x * np.float32(np.sqrt(2 / max(10, np.prod(leaf.shape[:-1]))))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _reference(variables, images_BHWC, plan):
    """Returns (logits, features) from the layers as torchvision numbers them."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    channels = lambda x: x.reshape(1, 1, 1, -1)  # noqa: E731
    x = images_BHWC
    for number, pooled in plan:
        x = lax.conv_general_dilated(
            x,
            params[f"features.{number}"]["kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + channels(params[f"features.{number}"]["bias"])
        if stats:
            norm, old = (tree[f"features.{number + 1}"] for tree in (params, stats))
            x = (x - channels(old["mean"])) / jnp.sqrt(channels(old["var"]) + 1e-5)
            x = x * channels(norm["scale"]) + channels(norm["bias"])
        x = jnp.maximum(x, 0)
        if pooled:
            batch, height, width, _ = x.shape
            x = x.reshape(batch, height // 2, 2, width // 2, 2, -1).max((2, 4))
    # The map of one pixel is repeated to 7x7.
    x = jnp.repeat(x.reshape(len(x), -1), 49, axis=1)
    for number in (0, 3, 6):
        features, layer = x, params[f"classifier.{number}"]
        x = x @ layer["kernel"] + layer["bias"].reshape(1, -1)
        x = jnp.maximum(x, 0) if number < 6 else x
    return x, features


@pytest.mark.parametrize(("norm", "plan"), [("none", _PLAIN), ("batch", _BATCH)])
def test_vgg_equals_its_layers_one_by_one(norm, plan):
    net = _small(norm)
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    variables = _random_variables(net, images)
    logits, features = jax.jit(lambda v: net.apply(v, images, features=True))(variables)
    expected = jax.jit(lambda v: _reference(v, images, plan))(variables)
    # Sums of up to 576 products in another order.
    np.testing.assert_allclose(logits, expected[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features, expected[1], rtol=1e-3, atol=1e-4)


def test_vgg_drops_where_torchvision_does():
    net = models.create("vgg11", 10, 32)
    assert net.stages == ((64,), (128,), (256, 256), (512, 512), (512, 512))
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    seen = {}

    def look(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, Dropout) and layer.train:
            seen[layer.name] = layer.rate, args[0].shape
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        jax.eval_shape(lambda key, x: net.init(key, x, True), jax.random.key(0), images)
    assert seen == {"classifier.2": (0.5, (2, 4096)), "classifier.5": (0.5, (2, 4096))}


def test_vgg_starts_as_torchvisions():
    net = _small("none")
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    # These keys compile several times faster than the default ones.
    key = jax.random.key(0, impl="unsafe_rbg")
    params = jax.jit(lambda key: net.lazy_init(key, images))(key)["params"]
    # Of 4608 and 6272 draws; the first has fan_out 9 * 8.
    kernel = params["features.3"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), (2 / 72) ** 0.5, rtol=0.05)
    kernel = params["classifier.0"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), 0.01, rtol=0.05)
    assert not np.any(params["features.3"]["bias"])
    assert not np.any(params["classifier.0"]["bias"])
