"""Winograd's 3x3 convolution against XLA's convolution."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ddjax.models.winograd import conv3x3
from jax import lax

# Image height and width, padding: multiples of the 4 pixels of a tile and others, one
# tile and several, less than a tile, and maps of one pixel.
CASES = [((8, 8), 1), ((6, 11), 0), ((7, 5), 2), ((3, 3), 0), ((1, 2), 1)]


def _direct(images, kernel, padding):
    sides = (padding, padding)
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        images, kernel, (1, 1), (sides, sides), dimension_numbers=names
    )


def _inputs(image, members=()):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, *image, 3)).astype(np.float32)
    kernel = rng.normal(size=(*members, 3, 3, 3, 5)).astype(np.float32)
    return images, kernel


def _assert_equal(found, expected, tolerance=1e-5):
    """Equal but for a part of the largest number of each array."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def _both(run, *inputs):
    """Returns what `run` makes of either convolution."""
    return [
        jax.device_get(jax.jit(lambda *a, f=function: run(f, *a))(*inputs))
        for function in (conv3x3, _direct)
    ]


def _value_and_gradients(padding):
    def run(function, images, kernel):
        out, pullback = jax.vjp(lambda x, w: function(x, w, padding), images, kernel)
        # Another weight for each number, so that none can take the place of another.
        weights = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)
        return out, pullback(weights)

    return run


@pytest.mark.parametrize(("image", "padding"), CASES)
def test_conv3x3_and_its_gradients_equal_a_direct_convolution(image, padding):
    found, expected = _both(_value_and_gradients(padding), *_inputs(image))
    assert found[0].shape[1:3] == tuple(n + 2 * padding - 2 for n in image)
    _assert_equal(found, expected)


def test_conv3x3_gradient_of_a_gradient_norm_equals_that_of_a_direct_convolution():
    def run(function, images, kernel):
        def loss(images, kernel):
            return jnp.mean(function(images, kernel, 1) ** 2)

        def norm(images, kernel):
            gradients = jax.grad(loss, (0, 1))(images, kernel)
            return sum(jnp.sum(g**2) for g in gradients)

        return jax.value_and_grad(norm, (0, 1))(images, kernel)

    # Five products deep, each rounded.
    _assert_equal(*_both(run, *_inputs((5, 6))), tolerance=1e-4)


def test_conv3x3_vmap_over_kernels_equals_a_direct_convolution_of_each():
    images, kernels = _inputs((6, 7), members=(3,))
    together = jax.jit(jax.vmap(lambda w: conv3x3(images, w, 1)))(kernels)
    for found, kernel in zip(together, kernels, strict=True):
        _assert_equal(found, _direct(images, kernel, 1))


def test_conv3x3_takes_a_quarter_of_the_products_forwards_and_backwards():
    batch, side, channels, outputs = 2, 8, 16, 32
    image = jax.ShapeDtypeStruct((batch, side, side, channels), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, channels, outputs), jnp.float32)

    def run(images, kernel):
        out, pullback = jax.vjp(lambda x, w: conv3x3(x, w, 1), images, kernel)
        return pullback(out)

    text = jax.jit(run).lower(image, kernel).as_text()
    # Frequency by frequency, which the transforms are not.
    types = re.findall(r"dot_general.*batching_dims.*: (.*)", text)
    shapes = [re.findall(r"tensor<36x(\d+)x(\d+)xf32>", line) for line in types]
    # Factors and result: tiles, channels and outputs are there twice each.
    found = [36 * np.sqrt(np.prod(np.array(three, int))) for three in shapes]
    direct = batch * side**2 * 9 * channels * outputs
    np.testing.assert_allclose(found, [direct / 4] * 3)
