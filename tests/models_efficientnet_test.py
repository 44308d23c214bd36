"""EfficientNet-B0: its size, its stems, its block and its random depth."""

import functools

import jax
import jax.numpy as jnp
import mobile
import numpy as np
import pytest
from jax import lax

from ddjax.models.efficientnet import MBConv, SqueezeExcitation
from ddjax.models.layers import Dropout, Layers

_trace = functools.partial(mobile.trace, "efficientnet_b0")
_random = functools.partial(mobile.random, scale=0.5)


def _image(x_C):
    return x_C.reshape(1, 1, 1, -1)


def _conv_norm(x, variables, name, stride=1):
    params, stats = variables["params"], variables["batch_stats"]
    kernel, norm = params[f"{name}.0"]["kernel"], f"{name}.1"
    pad = kernel.shape[0] // 2
    x = lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[2],
    )
    x = (x - _image(stats[norm]["mean"])) / jnp.sqrt(_image(stats[norm]["var"]) + 1e-5)
    return x * _image(params[norm]["scale"]) + _image(params[norm]["bias"])


def _gate(x, params):
    x_BC = x.mean((1, 2))
    for name, act in (("fc1", jax.nn.silu), ("fc2", jax.nn.sigmoid)):
        bias = params[name]["bias"].reshape(1, -1)
        x_BC = act(x_BC @ params[name]["kernel"][0, 0] + bias)
    return x * x_BC.reshape(len(x), 1, 1, -1)


@pytest.mark.parametrize(
    ("size", "sides"),
    [(64, [64, 32, 16, 8, 8, 4, 4]), (65, [33, 17, 9, 5, 5, 3, 3])],
)
def test_efficientnet_divides_small_images_by_16_and_others_by_32(size, sides):
    _, logits, calls = _trace(size)
    names = [f"features.{i}.0" for i in range(1, 8)]
    maps = [calls[name] for name in names]
    assert [shape[1] for _, shape, _ in maps] == sides
    assert [shape[3] for _, shape, _ in maps] == [16, 24, 40, 80, 112, 192, 320]
    assert {dtype for *_, dtype in maps} == {jnp.dtype("bfloat16")}
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


@pytest.mark.parametrize(
    ("expansion", "features", "size", "stride"),
    [(1, 8, 3, 1), (6, 8, 5, 2), (6, 5, 3, 1)],
)
def test_mbconv_equals_its_layers_one_by_one(expansion, features, size, stride):
    block = MBConv(features, expansion, size, stride, 0.2, Layers())
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 8)).astype(np.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = _random(shapes)

    def reference(variables):
        y, i = x, 0
        if expansion > 1:
            y, i = jax.nn.silu(_conv_norm(y, variables, "block.0")), 1
        y = jax.nn.silu(_conv_norm(y, variables, f"block.{i}", stride))
        y = _gate(y, variables["params"][f"block.{i + 1}"])
        y = _conv_norm(y, variables, f"block.{i + 2}")
        return y + x if (features, stride) == (8, 1) else y

    found = jax.jit(lambda v: block.apply(v, x, False))(variables)
    expected = jax.jit(reference)(variables)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_squeeze_and_excitation_starts_without_biases():
    gate = SqueezeExcitation(2, Layers())
    x = np.ones((1, 2, 2, 8), np.float32)
    params = jax.jit(gate.init)(jax.random.key(0), x)["params"]
    for name in ("fc1", "fc2"):
        assert not np.any(params[name]["bias"]) and np.any(params[name]["kernel"])


def test_a_dropped_block_leaves_the_shortcut_and_a_kept_one_is_scaled_up():
    block = MBConv(4, 1, 3, 1, 0.5, Layers())
    x = np.random.default_rng(2).normal(size=(32, 3, 3, 4)).astype(np.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = _random(shapes)

    @jax.jit
    def both(variables, key):
        run = lambda **kw: block.apply(variables, x, True, mutable=True, **kw)[0]  # noqa: E731
        return run(), run(rngs={"dropout": key})

    plain, dropped = both(variables, jax.random.key(3))
    branch = dropped - x
    gone = np.all(branch == 0, axis=(1, 2, 3))
    assert 6 < gone.sum() < 26
    np.testing.assert_allclose(
        branch[~gone], 2 * (plain - x)[~gone], rtol=1e-3, atol=1e-4
    )


def test_efficientnet_drops_and_starts_its_head_as_torchvision():
    calls = _trace(64)[2]
    drops = {
        path.rpartition("/")[0]: (round(layer.rate, 6), layer.train, layer.dims)
        for path, (layer, *_) in calls.items()
        if isinstance(layer, Dropout)
    }
    # The rates of torchvision's 16 blocks are 0.0125 apart; 9 have a shortcut.
    places = {
        "features.2.1": 2,
        "features.3.1": 4,
        "features.4.1": 6,
        "features.4.2": 7,
        "features.5.1": 9,
        "features.5.2": 10,
        "features.6.1": 12,
        "features.6.2": 13,
        "features.6.3": 14,
    }
    expected = {k: (round(0.0125 * i, 6), True, 1) for k, i in places.items()}
    assert drops == {**expected, "": (0.2, True, None)}
    head = calls["classifier.1"][0]
    kernel = head.kernel_init(jax.random.key(0), (1280, 1000))
    # The largest of many uniform draws from +-1/sqrt(1000).
    np.testing.assert_allclose(abs(kernel).max(), 1000**-0.5, rtol=1e-3)
    assert not np.any(head.bias_init(jax.random.key(0), (1000,)))
