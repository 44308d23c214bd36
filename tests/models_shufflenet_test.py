"""ShuffleNetV2 x0.5: its size, its stems and its block."""

import functools

import jax
import jax.numpy as jnp
import mobile
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from ddjax import models
from ddjax.models.layers import Conv, Layers
from ddjax.models.shufflenet import Block

_trace = functools.partial(mobile.trace, "shufflenet_v2_x0_5")
_random = mobile.random


def _image(x_C):
    return x_C.reshape(1, 1, 1, -1)


def _conv_norm(x, variables, branch, i, stride=1):
    params, stats = variables["params"], variables["batch_stats"]
    kernel, norm = params[f"{branch}.{i}"]["kernel"], f"{branch}.{i + 1}"
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


@pytest.mark.parametrize(
    ("size", "sides"), [(64, [64, 32, 16, 8]), (65, [33, 9, 5, 3])]
)
def test_shufflenet_divides_small_images_by_8_and_others_by_32(size, sides):
    _, logits, calls = _trace(size)
    names = ("conv1.0", "stage2.3", "stage3.7", "stage4.3")
    maps = [calls[name] for name in names]
    assert [shape[1] for _, shape, _ in maps] == sides
    assert [shape[3] for _, shape, _ in maps] == [24, 48, 96, 192]
    assert {dtype for *_, dtype in maps} == {jnp.dtype("bfloat16")}
    assert (logits.shape, logits.dtype) == ((2, 1000), jnp.float32)


@pytest.mark.parametrize(("features", "stride"), [(6, 1), (8, 2), (6, 2)])
def test_shuffle_block_equals_its_layers_one_by_one(features, stride):
    block = Block(features, stride, Layers())
    x = np.random.default_rng(1).normal(size=(2, 5, 5, 6)).astype(np.float32)
    shapes = jax.eval_shape(lambda k: block.init(k, x, False), jax.random.key(0))
    variables = _random(shapes)

    def reference(variables):
        first, second = x[..., :3], x[..., 3:]
        if stride == 2:
            first = _conv_norm(x, variables, "branch1", 0, 2)
            first = jax.nn.relu(_conv_norm(first, variables, "branch1", 2))
            second = x
        second = jax.nn.relu(_conv_norm(second, variables, "branch2", 0))
        second = _conv_norm(second, variables, "branch2", 3, stride)
        second = jax.nn.relu(_conv_norm(second, variables, "branch2", 5))
        y = jnp.concatenate((first, second), -1)
        # The shuffle of PyTorch, channels first.
        y = jnp.moveaxis(y, 3, 1)
        batch, _, height, width = y.shape
        y = y.reshape(batch, 2, features // 2, height, width).swapaxes(1, 2)
        return jnp.moveaxis(y.reshape(batch, features, height, width), 1, 3)

    found = jax.jit(lambda v: block.apply(v, x, False))(variables)
    expected = jax.jit(reference)(variables)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_shufflenet_starts_as_pytorch_default():
    layers = [layer for layer, *_ in _trace(64)[2].values()]
    layers = [layer for layer in layers if isinstance(layer, Conv | nn.Dense)]
    assert len(layers) == 1 + 3 * 5 + 13 * 3 + 1 + 1
    # Uniform, not Kaiming normal as in other networks.
    for init in {layer.kernel_init for layer in layers}:
        largest = abs(init(jax.random.key(0), (3, 3, 1, 4096))).max()
        np.testing.assert_allclose(largest, 1 / 3, rtol=1e-3)


def test_shufflenet_features_are_as_wide_as_the_last_map():
    net = models.create("shufflenet_v2_x0_5", 10, 32)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    run = lambda key, x: net.init_with_output(key, x, features=True)[0]  # noqa: E731
    logits, features = jax.eval_shape(run, jax.random.key(0), images)
    assert (logits.shape, features.shape) == ((2, 10), (2, 1024))
