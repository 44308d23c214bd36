"""What all networks share: how layers start, pooling, dropout, flattening, outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ddjax.errors import InputError
from ddjax.models import layers
from ddjax.models.layers import (
    Conv,
    Dropout,
    Layers,
    adaptive_average_pool,
    average_pool,
    flatten,
    max_pool,
    outputs,
)

KEY = {"dropout": jax.random.key(0)}


def _dropped(x, rate=0.25, dims=None, rngs=KEY):
    return np.asarray(Dropout(rate, True, dims).apply({}, x, rngs=rngs))


@pytest.mark.parametrize(
    ("layer", "rngs"),
    [
        (Dropout(0.5, train=False), KEY),
        (Dropout(0.5, train=True), None),
        (Dropout(0.0, train=True), KEY),
    ],
)
def test_dropout_is_the_identity_outside_training_without_a_key_and_at_rate_0(
    layer, rngs
):
    x = jnp.arange(100.0).reshape(4, 25)
    np.testing.assert_array_equal(layer.apply({}, x, rngs=rngs), x)


def test_dropout_zeroes_its_rate_and_keeps_the_mean():
    out = _dropped(jnp.full((100, 10, 10), 3.0))
    np.testing.assert_allclose(np.unique(out), [0, 4])
    # 10,000 draws: standard error 0.0043.
    np.testing.assert_allclose((out == 0).mean(), 0.25, atol=0.015)
    # Each number is drawn for by itself.
    assert 0 < (out[0] == 0).sum() < 100


def test_dropout_of_examples_drops_whole_ones():
    x = jnp.arange(1.0, 1001.0).reshape(1000, 1, 1, 1) * jnp.ones((1, 2, 3, 2))
    out = _dropped(x, dims=1)
    kept = out[:, 0, 0, 0] != 0
    np.testing.assert_allclose(kept.mean(), 0.75, atol=0.05)
    np.testing.assert_array_equal(out[~kept], 0)
    np.testing.assert_allclose(out[kept], np.asarray(x)[kept] / 0.75, rtol=1e-6)


def test_dropout_repeats_for_a_key_and_keeps_bfloat16():
    x = jnp.ones((8, 8), jnp.bfloat16)
    first, again = _dropped(x), _dropped(x)
    other = _dropped(x, rngs={"dropout": jax.random.key(1)})
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == jnp.bfloat16


def test_flatten_puts_channels_outermost_as_pytorch_does():
    x = jnp.arange(24.0).reshape(1, 2, 3, 4)
    # Rows, columns and channels count 12, 4 and 1 of these numbers.
    expected = [
        12 * h + 4 * w + c for c in range(4) for h in range(2) for w in range(3)
    ]
    np.testing.assert_array_equal(flatten(x), [expected])


def test_outputs_are_float32_with_and_without_features():
    logits, features = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((2, 5), jnp.bfloat16)
    alone = outputs(logits, features, False)
    both = outputs(logits, features, True)
    assert alone.dtype == jnp.float32 and alone.shape == (2, 3)
    assert [(a.dtype, a.shape) for a in both] == [
        (jnp.float32, (2, 3)),
        (jnp.float32, (2, 5)),
    ]


def test_layers_compute_in_their_dtype_from_float32_parameters():
    class Two(nn.Module):
        layers: Layers

        @nn.compact
        def __call__(self, x):
            x = self.layers.conv(x, 4, 3, "features.0", stride=2)
            x = self.layers.normalise(x, False, "features.1")
            return x, self.layers.dense(flatten(x), 5, "head")

    two = Two(Layers("batch", "bfloat16", "patches"))
    run = lambda key: two.init_with_output(key, jnp.ones((1, 4, 4, 1)))  # noqa: E731
    found, variables = jax.eval_shape(run, jax.random.key(0))
    assert [(a.dtype, a.shape) for a in found] == [
        (jnp.bfloat16, (1, 2, 2, 4)),
        (jnp.bfloat16, (1, 5)),
    ]
    params = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), variables)
    assert params["params"] == {
        "features.0": {"kernel": ((3, 3, 1, 4), "float32")},
        "features.1": {"scale": ((4,), "float32"), "bias": ((4,), "float32")},
        "head": {"kernel": ((16, 5), "float32"), "bias": ((5,), "float32")},
    }


def test_group_norm_must_split_the_channels():
    for kind, width in (("group", 12), ("instance", 3), ("none", 1)):
        assert Layers("batch", "bfloat16").normed(kind, width) == Layers(
            kind, "bfloat16"
        )
    with pytest.raises(InputError, match=r"^width: found 6, .* multiple of 4 with"):
        Layers().normed("group", 6)


def test_layers_without_norm_are_the_identity_there():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(Layers("none").normalise(x, True, "norm"), x)


def _draw(init, seed, shape):
    # Compiled as a whole, since one by one its steps take longer.
    return np.asarray(jax.jit(lambda key: init(key, shape))(jax.random.key(seed)))


def test_torch_kernel_fills_the_interval_of_one_over_root_fan_in():
    kernel = _draw(layers.torch_kernel, 0, (3, 3, 10, 32))
    limit = 1 / np.sqrt(3 * 3 * 10)
    assert kernel.shape == (3, 3, 10, 32)
    assert np.abs(kernel).max() <= limit
    # 2880 uniform draws: the largest misses the limit by 1/2880 of it on average, and
    # the standard deviation has a relative standard error of 0.8 %.
    assert np.abs(kernel).max() > 0.99 * limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.04)


def test_torch_bias_uses_the_fan_in_it_is_given():
    bias = _draw(layers.torch_bias(16), 1, (1000,))
    assert 0.24 < np.abs(bias).max() <= 0.25
    assert abs(bias.mean()) < 0.02


def test_kaiming_normal_has_variance_two_over_fan_out():
    kernel = _draw(layers.kaiming_normal, 2, (3, 3, 64, 8))
    assert kernel.shape == (3, 3, 64, 8)
    # 4608 normal draws: relative standard error of the standard deviation 1 %.
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (3 * 3 * 8)), rtol=0.05)
    # A normal distribution, not a uniform one, reaches beyond three deviations.
    assert np.abs(kernel).max() > 3 * kernel.std()


def test_normal_and_uniform_have_the_width_they_are_given():
    drawn = _draw(layers.normal(0.02), 4, (40, 100))
    assert drawn.shape == (40, 100)
    # 4000 draws: relative standard error of the standard deviation 1.1 %.
    np.testing.assert_allclose(drawn.std(), 0.02, rtol=0.05)
    assert np.abs(drawn).max() > 3 * drawn.std()
    drawn = _draw(layers.uniform(0.5), 5, (40, 100))
    assert drawn.shape == (40, 100)
    assert 0.495 < np.abs(drawn).max() <= 0.5
    np.testing.assert_allclose(drawn.std(), 0.5 / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (7, 5)])
def test_initialisers_reshape_the_values_of_a_draw_in_the_final_shape(shape):
    limit = 1 / np.sqrt(np.prod(shape[:-1]))
    drawn = jax.random.uniform(jax.random.key(3), shape, minval=-limit, maxval=limit)
    kernel = layers.torch_kernel(jax.random.key(3), shape)
    np.testing.assert_array_equal(kernel, drawn)


def test_initialisers_differ_by_key_and_repeat_for_the_same_key():
    init = layers.torch_kernel
    a, same, b = (_draw(init, seed, (5, 3)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, same)
    assert not np.array_equal(a, b)


def _images(height, width):
    shape = (2, height, width, 3)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(2, 2), (5, 4), (4, 7)])
def test_average_pool_drops_the_odd_last_row_and_column(shape):
    x, (h, w) = _images(*shape), (n // 2 for n in shape)
    weights = np.random.default_rng(1).normal(size=(2, h, w, 3)).astype(np.float32)

    @jax.jit
    def run(x, weights):
        out, pullback = jax.vjp(average_pool, x)
        return out, pullback(weights)[0]

    out, grad = run(x, weights)
    windows = x[:, : 2 * h, : 2 * w].reshape(2, h, 2, w, 2, 3)
    np.testing.assert_allclose(out, windows.mean((2, 4)), atol=1e-6)
    expected = np.zeros_like(x)
    expected[:, : 2 * h, : 2 * w] = weights.repeat(2, 1).repeat(2, 2) / 4
    np.testing.assert_allclose(grad, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "image"),
    [(2, 2, 0, (4, 5)), (3, 2, 0, (7, 6)), (3, 2, 1, (6, 5)), (3, 1, 1, (3, 4))],
)
def test_max_pool_is_the_largest_of_each_window(size, stride, padding, image):
    # Below zero, so that padding with zeros would be seen.
    x = _images(*image) - 10
    sides = (padding, padding)
    padded = np.pad(x, [(0, 0), sides, sides, (0, 0)], constant_values=-np.inf)
    last = [n + 2 * padding - size for n in image]
    expected = [
        [
            padded[:, y : y + size, x : x + size].max((1, 2))
            for x in range(0, last[1] + 1, stride)
        ]
        for y in range(0, last[0] + 1, stride)
    ]
    expected = np.moveaxis(np.array(expected), 2, 0)
    found = jax.jit(max_pool, static_argnums=(1, 2, 3))(x, size, stride, padding)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("image", "side"),
    # Whole windows, windows that overlap, all of the image, and more than there is.
    [((4, 6), 2), ((7, 5), 3), ((3, 4), 1), ((1, 1), 6), ((4, 3), 7)],
)
def test_adaptive_average_pool_is_the_mean_of_each_window(image, side):
    x = _images(*image)
    spans = [
        [slice(i * n // side, int(np.ceil((i + 1) * n / side))) for i in range(side)]
        for n in image
    ]
    expected = [[x[:, down, across].mean((1, 2)) for across in spans[1]]
                for down in spans[0]]  # fmt: skip
    expected = np.moveaxis(np.array(expected), 2, 0)
    found = jax.jit(adaptive_average_pool, static_argnums=1)(x, side)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_adaptive_average_pool_keeps_bfloat16():
    x = jnp.ones((1, 4, 4, 2), jnp.bfloat16)
    found = jax.jit(adaptive_average_pool, static_argnums=1)(x, 2)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, np.ones((1, 2, 2, 2)))


@pytest.mark.parametrize(
    ("options", "kernel", "shape"),
    [
        ({"size": 5}, (5, 5, 6, 8), (7, 7, 8)),
        ({"size": 5, "padding": 0}, (5, 5, 6, 8), (3, 3, 8)),
        ({"size": 1, "stride": 2}, (1, 1, 6, 8), (4, 4, 8)),
        ({"features": 6, "depthwise": True}, (3, 3, 1, 6), (7, 7, 6)),
    ],
)
def test_conv_module_shapes(options, kernel, shape):
    layer = Conv(**({"features": 8} | options))
    images = jnp.ones((2, 7, 7, 6))
    run = lambda: layer.init_with_output(jax.random.key(0), images)  # noqa: E731
    out, variables = jax.eval_shape(run)
    assert out.shape == (2, *shape)
    assert variables["params"]["kernel"].shape == kernel


def test_conv_module_starts_its_bias_by_the_inputs_of_one_output():
    layer = Conv(256, depthwise=True, use_bias=True)
    images = jnp.ones((1, 3, 3, 256))
    bias = jax.jit(layer.init)(jax.random.key(1), images)["params"]["bias"]
    assert 0.3 < np.abs(bias).max() <= 1 / 3  # 1 / sqrt(3 * 3)
