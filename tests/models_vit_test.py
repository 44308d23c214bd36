"""The vision transformer."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ddjax import models
from ddjax.models.layers import Dropout, Layers
from ddjax.models.vit import VisionTransformer

_erf = np.vectorize(math.erf, otypes=[float])


def _small(dropout=0.0):
    return VisionTransformer(3, dropout, Layers("none"), width=8, depth=2, heads=2)


def _random_variables(net, images):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0), images)
    return jax.tree.map(
        lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32), shapes
    )


def _reference(params, image):
    """Returns (logits, features) of one image in float64, token by token."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    dense = lambda x, layer: x @ layer["kernel"] + layer["bias"]  # noqa: E731

    def norm(x, layer):
        x = x - x.mean(1, keepdims=True)
        x = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6)
        return x * layer["scale"] + layer["bias"]

    def attend(x, layer):
        q, k, v = np.split(
            x @ layer["in_proj_kernel"] + layer["in_proj_bias"], 3, axis=1
        )
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = np.exp(q[:, part] @ k[:, part].T / 2)
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
        return dense(np.concatenate(heads, axis=1), layer["out_proj"])

    tokens = [params["class_token"][0, 0]]
    for row in (0, 16):
        for column in (0, 16):
            patch = image[row : row + 16, column : column + 16, :, None]
            token = (patch * params["conv_proj"]["kernel"]).sum((0, 1, 2))
            tokens.append(token + params["conv_proj"]["bias"])
    encoder = params["encoder"]
    x = np.stack(tokens) + encoder["pos_embedding"][0]
    for i in range(2):
        block = encoder[f"layers.encoder_layer_{i}"]
        x = x + attend(norm(x, block["ln_1"]), block["self_attention"])
        y = dense(norm(x, block["ln_2"]), block["mlp.0"])
        y = y * (1 + _erf(y / math.sqrt(2))) / 2
        x = x + dense(y, block["mlp.3"])
    features = norm(x, encoder["ln"])[0]
    return dense(features, params["heads.head"]), features


def test_vit_equals_a_slow_reference():
    net = _small()
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    variables = _random_variables(net, images)
    logits, features = jax.jit(lambda v: net.apply(v, images, features=True))(variables)
    for i in range(2):
        expected = _reference(variables["params"], images[i])
        # Numbers of order one after two blocks in float32.
        np.testing.assert_allclose(logits[i], expected[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features[i], expected[1], rtol=1e-4, atol=1e-4)


def test_vit_drops_where_torchvision_does():
    assert models.create("vit_b_16", 10, 32).dropout == 0
    net = _small(dropout=0.1)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    seen = {}

    def look(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, Dropout) and layer.train:
            seen["/".join(layer.path)] = layer.rate, args[0].shape
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        jax.eval_shape(lambda key, x: net.init(key, x, True), jax.random.key(0), images)
    wide, narrow = (0.1, (2, 5, 32)), (0.1, (2, 5, 8))
    expected = {"encoder/dropout": narrow}
    for i in range(2):
        block = f"encoder/layers.encoder_layer_{i}"
        expected[f"{block}/dropout"] = narrow
        expected[f"{block}/mlp.2"] = wide
        expected[f"{block}/mlp.4"] = narrow
    assert seen == expected


def test_vit_starts_as_torchvisions():
    net = VisionTransformer(3, 0.0, Layers("none"), width=64, depth=1, heads=2)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    # These keys compile several times faster than the default ones.
    key = jax.random.key(0, impl="unsafe_rbg")
    params = jax.jit(lambda key: net.lazy_init(key, images))(key)["params"]
    block = params["encoder"]["layers.encoder_layer_0"]
    attention = block["self_attention"]
    # Of 49152, 1088 and 256 draws.
    patches = np.std(params["conv_proj"]["kernel"])
    np.testing.assert_allclose(patches, 768**-0.5, rtol=0.02)
    place = np.std(params["encoder"]["pos_embedding"])
    np.testing.assert_allclose(place, 0.02, rtol=0.1)
    np.testing.assert_allclose(np.std(block["mlp.0"]["bias"]), 1e-6, rtol=0.2)
    # The largest of 12288, 16384 and 4096 uniform draws.
    for kernel, limit in (
        (attention["in_proj_kernel"], (6 / 256) ** 0.5),
        (block["mlp.0"]["kernel"], (6 / 320) ** 0.5),
        (attention["out_proj"]["kernel"], 64**-0.5),
    ):
        np.testing.assert_allclose(np.abs(kernel).max(), limit, rtol=0.01)
    for zeros in (
        params["class_token"],
        params["conv_proj"]["bias"],
        attention["in_proj_bias"],
        attention["out_proj"]["bias"],
        *params["heads.head"].values(),
    ):
        assert not np.any(zeros)
