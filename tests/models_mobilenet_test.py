"""MobileNetV2: its size, its stems, its block and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import mobile
import numpy as np
import pytest
from jax import lax

from ddjax.models.layers import Dropout, Layers
from ddjax.models.mobilenet import InvertedResidual

_trace = functools.partial(mobile.trace, "mobilenet_v2")
_random = mobile.random


def _conv_norm(x, variables, conv, norm, stride=1):
    params, stats = variables["params"], variables["batch_stats"]
    kernel = params[conv]["kernel"]
    pad = kernel.shape[0] // 2
    x = lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1] // kernel.shape[2],
    )
    scale, bias, mean, var = (
        tree[norm][key].reshape(1, 1, 1, -1)
        for tree, key in (
            (params, "scale"),
            (params, "bias"),
            (stats, "mean"),
            (stats, "var"),
        )
    )
    return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias


@pytest.mark.parametrize(
    ("size", "sides"),
    [(64, [64, 32, 16, 8, 8, 4, 4]), (65, [33, 17, 9, 5, 5, 3, 3])],
)
def test_mobilenet_divides_small_images_by_16_and_others_by_32(size, sides):
    _, logits, calls = _trace(size)
    names = [f"features.{i}" for i in (1, 3, 6, 10, 13, 16, 17)]
    maps = [calls[name] for name in names]
    assert [shape[1] for _, shape, _ in maps] == sides
    assert [shape[3] for _, shape, _ in maps] == [16, 24, 32, 64, 96, 160, 320]
    assert {dtype for *_, dtype in maps} == {jnp.dtype("bfloat16")}
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


@pytest.mark.parametrize(
    ("expansion", "features", "stride"), [(1, 4, 1), (6, 4, 2), (6, 5, 1)]
)
def test_inverted_residual_equals_its_layers_one_by_one(expansion, features, stride):
    block = InvertedResidual(features, expansion, stride, Layers())
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 4)).astype(np.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = _random(shapes)

    def reference(variables):
        relu6 = lambda y: jnp.clip(y, 0, 6)  # noqa: E731
        y, i = x, 0
        if expansion > 1:
            y, i = relu6(_conv_norm(y, variables, "conv.0.0", "conv.0.1")), 1
        names = f"conv.{i}.0", f"conv.{i}.1"
        y = relu6(_conv_norm(y, variables, *names, stride))
        y = _conv_norm(y, variables, f"conv.{i + 1}", f"conv.{i + 2}")
        return y + x if (features, stride) == (4, 1) else y

    found = jax.jit(lambda v: block.apply(v, x, False))(variables)
    expected = jax.jit(reference)(variables)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_mobilenet_drops_features_and_starts_its_head_as_torchvision():
    calls = _trace(64)[2]
    drops = [c for c in calls.values() if isinstance(c[0], Dropout)]
    ((drop, shape, _),) = drops
    assert (drop.rate, drop.train, drop.dims, shape) == (0.2, True, None, (2, 1280))
    head = calls["classifier.1"][0]
    kernel = head.kernel_init(jax.random.key(0), (1280, 10))
    # 12800 normal draws: relative standard error of the deviation 0.6 %.
    np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.04)
    assert not np.any(head.bias_init(jax.random.key(0), (10,)))
