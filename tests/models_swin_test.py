"""The Swin transformer V2."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ddjax import models
from ddjax.models.layers import Dropout, Layers
from ddjax.models.swin import SwinTransformer

_erf = np.vectorize(math.erf, otypes=[float])


def _small(rate=0.0):
    layers = Layers("none")
    return SwinTransformer(3, rate, layers, width=4, depths=(2, 1), heads=(2, 4))


def _random_variables(net, images):
    """Random numbers; one of the logit scales is above its limit log(100) = 4.6."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.random.key(0), images)

    def draw(path, leaf):
        if path[-1].key == "logit_scale":
            return np.linspace(1, 6, leaf.size).astype(np.float32).reshape(leaf.shape)
        return 0.5 * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _dense(x, layer):
    return x @ layer["kernel"] + layer.get("bias", 0)


def _norm(x, layer):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    return x * layer["scale"] + layer["bias"]


def _attend(x_HWD, layer, heads, shifted):
    """Attention in float64, a window at a time and from the places of its tokens."""
    side, _, width = x_HWD.shape
    padded = -(-side // 8) * 8
    shift = 4 if shifted and padded > 8 else 0
    tokens = np.zeros((padded, padded, width))
    tokens[:side, :side] = x_HWD
    result = np.zeros_like(tokens)
    row, column = np.indices((padded, padded)).reshape(2, -1)
    # Places after the shift; those that wrap around come from the first rows.
    places = np.stack([row - shift, column - shift], 1) % padded
    wrapped = np.stack([row < shift, column < shift], 1)
    for window in np.unique(places // 8, axis=0):
        inside = np.flatnonzero((places // 8 == window).all(1))
        x = tokens[row[inside], column[inside]]
        steps = places[inside][:, None] - places[inside][None]
        steps = np.sign(steps) * np.log2(1 + np.abs(steps) * 8 / 7) / np.log2(8)
        bias = np.maximum(_dense(steps, layer["cpb_mlp.0"]), 0)
        bias = 16 / (1 + np.exp(-_dense(bias, layer["cpb_mlp.2"])))
        apart = (wrapped[inside][:, None] != wrapped[inside][None]).any(2)
        kernels = np.split(layer["qkv"]["kernel"], 3, axis=1)
        biases = np.split(layer["qkv"]["bias"], 3)
        query, key, value = (
            x @ kernels[0] + biases[0],
            x @ kernels[1],
            x @ kernels[2] + biases[2],
        )
        parts = []
        for head in range(heads):
            cut = slice(head * width // heads, (head + 1) * width // heads)
            q, k = (
                y[:, cut]
                / np.maximum(np.linalg.norm(y[:, cut], axis=1), 1e-12)[:, None]
                for y in (query, key)
            )
            scale = min(np.exp(layer["logit_scale"][head, 0, 0]), 100)
            scores = np.exp(q @ k.T * scale + bias[:, :, head] - 100 * apart - 50)
            parts.append(scores / scores.sum(1, keepdims=True) @ value[:, cut])
        answer = _dense(np.concatenate(parts, axis=1), layer["proj"])
        result[row[inside], column[inside]] = answer
    return result[:side, :side]


def _block(x, params, name, heads, shifted):
    block = params[name]
    x = x + _norm(_attend(x, block["attn"], heads, shifted), block["norm1"])
    y = _dense(x, block["mlp.0"])
    y = y * (1 + _erf(y / math.sqrt(2))) / 2
    return x + _norm(_dense(y, block["mlp.3"]), block["norm2"])


def _reference(params, image):
    """Returns (logits, features) of one image in float64; the map's side is odd."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    side, conv = len(image) // 4, params["features.0.0"]
    x = np.zeros((side + 1, side + 1, 4))
    for i, j in np.ndindex(side, side):
        patch = image[4 * i : 4 * i + 4, 4 * j : 4 * j + 4, :, None]
        y = (patch * conv["kernel"]).sum((0, 1, 2)) + conv["bias"]
        x[i, j] = _norm(y, params["features.0.2"])
    for i in range(2):
        y = _block(x[:side, :side], params, f"features.1.{i}", 2, shifted=i == 1)
        x[:side, :side] = y
    x = np.concatenate([x[::2, ::2], x[1::2, ::2], x[::2, 1::2], x[1::2, 1::2]], 2)
    x = _norm(_dense(x, params["features.2.reduction"]), params["features.2.norm"])
    x = _block(x, params, "features.3.0", 4, shifted=False)
    features = _norm(x, params["norm"]).mean((0, 1))
    return _dense(features, params["head"]), features


def test_swin_equals_a_slow_reference():
    # Maps of 11 and 6 tokens a side: padded windows, a shift, and an odd merge.
    net = _small()
    images = np.random.default_rng(1).normal(size=(2, 46, 46, 3)).astype(np.float32)
    variables = _random_variables(net, images)
    logits, features = jax.jit(lambda v: net.apply(v, images, features=True))(variables)
    for i in range(2):
        expected = _reference(variables["params"], images[i])
        # Scores reach 116 in float32.
        np.testing.assert_allclose(logits[i], expected[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(features[i], expected[1], rtol=1e-3, atol=1e-3)


def test_swin_has_a_finite_gradient_though_keys_of_padding_are_zero():
    net = SwinTransformer(3, 0.0, Layers("none"), width=4, depths=(1,), heads=(2,))
    images = np.random.default_rng(1).normal(size=(2, 20, 20, 3)).astype(np.float32)
    loss = lambda v: (net.apply(v, images) ** 2).mean()  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(_random_variables(net, images))["params"]
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    query, key, value = np.split(gradient["features.1.0"]["attn"]["qkv"]["bias"], 3)
    assert np.all(query) and np.all(value) and not np.any(key)


def test_swin_skips_branches_ever_more_often():
    assert models.create("swin_v2_t", 10, 32).stochastic_depth == 0.2
    net = _small(rate=0.2)
    images = jax.ShapeDtypeStruct((2, 20, 20, 3), jnp.float32)
    seen = []

    def look(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, Dropout) and layer.train:
            seen.append((layer.rate, layer.dims))
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        jax.eval_shape(lambda key, x: net.init(key, x, True), jax.random.key(0), images)
    # Three blocks of two branches each.
    rates, dims = zip(*seen, strict=True)
    np.testing.assert_allclose(rates, [0, 0, 0.1, 0.1, 0.2, 0.2])
    assert set(dims) == {1}


def test_swin_starts_as_torchvisions():
    net = SwinTransformer(3, 0.0, Layers("none"), width=32, depths=(1,), heads=(2,))
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)

    @jax.jit
    def start(key):
        params = net.lazy_init(key, images)["params"]
        block = params["features.1.0"]
        attention = block["attn"]
        layers = block["mlp.0"], attention["qkv"], attention["cpb_mlp.2"]
        return layers, attention["logit_scale"], params["features.0.0"]["kernel"]

    # These keys compile several times faster than the default ones.
    layers, scale, kernel = start(jax.random.key(0, impl="unsafe_rbg"))
    # Of 4096, 3072 and 1024 draws.
    for layer in layers:
        np.testing.assert_allclose(np.std(layer["kernel"]), 0.02, rtol=0.1)
        assert not np.any(layer.get("bias", 0))
    np.testing.assert_allclose(scale, math.log(10), rtol=1e-6)
    np.testing.assert_allclose(np.abs(kernel).max(), 48**-0.5, rtol=0.01)
