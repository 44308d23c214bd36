"""Pooling against loops over windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ddjax.models.pool import adaptive_average_pool, average_pool, max_pool


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
