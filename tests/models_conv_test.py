"""The lowerings of the convolution, alone and under vmap over weights."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ddjax.models.conv import conv, conv3x3
from ddjax.models.layers import Conv

# size, stride, padding, image height and width, input channels: every combination
# that a network uses, on odd, even and non-square images.
CASES = [
    (3, 1, 1, (6, 6), 1),
    (3, 1, 3, (4, 5), 3),
    (3, 2, 1, (7, 6), 2),
    (1, 1, 0, (3, 4), 3),
    (1, 2, 0, (5, 6), 3),
    (7, 2, 3, (9, 8), 3),
    (11, 4, 2, (15, 18), 3),
    (4, 4, 0, (8, 9), 2),
]
# Sums of up to 400 float32 products of order one, added in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
LOWERINGS = ["winograd", "patches", "direct"]


def _slow_conv(images, kernel, stride, padding):
    """Cross-correlation by its definition, in float64."""
    images = np.pad(
        np.asarray(images, np.float64), [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)]
    )
    kernel = np.asarray(kernel, np.float64)
    size = kernel.shape[0]
    rows = range(0, images.shape[1] - size + 1, stride)
    columns = range(0, images.shape[2] - size + 1, stride)
    out = np.zeros((len(images), len(rows), len(columns), kernel.shape[3]))
    for y, top in enumerate(rows):
        for x, left in enumerate(columns):
            window = images[:, top : top + size, left : left + size]
            out[:, y, x] = np.einsum("bhwc,hwco->bo", window, kernel)
    return out


def _inputs(case, seed, members=()):
    size, stride, padding, image, channels = case
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, *image, channels)).astype(np.float32)
    kernel = rng.normal(size=(*members, size, size, channels, 4)).astype(np.float32)
    return images, kernel, stride, padding


def _value_and_gradients(lowering, stride, padding):
    """Returns a function to (output, gradients) of a sum of squares."""

    def loss(images, kernel):
        out = conv(images, kernel, stride, padding, lowering)
        return 0.5 * jnp.sum(out**2), out

    def run(images, kernel):
        grads, out = jax.grad(loss, (0, 1), has_aux=True)(images, kernel)
        return out, grads

    return run


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_conv_is_a_cross_correlation_worked_by_hand(lowering):
    image = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    kernel = jnp.zeros((3, 3)).at[0, 1].set(1.0).at[2, 2].set(10.0)
    run = jax.jit(lambda x, w: conv(x, w, 1, 1, lowering))
    out = run(image.reshape(1, 3, 3, 1), kernel.reshape(3, 3, 1, 1))
    # Upper neighbour + 10 * lower right neighbour, zero outside.
    expected = [[50.0, 60.0, 0.0], [81.0, 92.0, 3.0], [4.0, 5.0, 6.0]]
    np.testing.assert_allclose(out[0, :, :, 0], expected, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_conv_lowerings_equal_the_definition_and_each_other(case):
    images, kernel, stride, padding = _inputs(case, seed=0)
    by_patches, by_direct = (
        jax.jit(_value_and_gradients(lowering, stride, padding))(images, kernel)
        for lowering in ("patches", "direct")
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), by_patches, by_direct
    )
    expected = _slow_conv(images, kernel, stride, padding)
    np.testing.assert_allclose(by_patches[0], expected, **CLOSE)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (5, 1)])
def test_conv_with_a_kernel_a_channel_is_a_convolution_of_each_alone(size, stride):
    rng = np.random.default_rng(6)
    images = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 1, 3)).astype(np.float32)
    padding = size // 2
    by_shifts, by_direct = (
        jax.jit(_value_and_gradients(lowering, stride, padding))(images, kernel)
        for lowering in ("patches", "direct")
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), by_shifts, by_direct
    )
    for c in range(3):
        alone = images[..., c : c + 1], kernel[..., c : c + 1]
        expected = _slow_conv(*alone, stride, padding)
        np.testing.assert_allclose(by_shifts[0][..., c : c + 1], expected, **CLOSE)


@pytest.mark.parametrize(
    ("case", "lowering"),
    [(CASES[0], "patches"), (CASES[2], "patches"), (CASES[2], "direct")],
)
def test_conv_vmap_over_weights_equals_a_loop(case, lowering):
    images, kernels, stride, padding = _inputs(case, seed=1, members=(3,))
    run = _value_and_gradients(lowering, stride, padding)
    together = jax.device_get(jax.jit(jax.vmap(run, (None, 0)))(images, kernels))
    one = jax.jit(run)
    for m in range(3):
        jax.tree.map(
            lambda a, b, m=m: np.testing.assert_allclose(a[m], b, **CLOSE),
            together,
            one(images, kernels[m]),
        )


def test_conv_gradient_is_the_transposed_map():
    # <conv(x, w), y> = <x, conv^T(y)> for a map that is linear in x, and in w.
    def inner_products(images, kernel, other):
        run = lambda x, w: conv(x, w, stride, padding, "patches")  # noqa: E731
        out, pullback = jax.vjp(run, images, kernel)
        pairs = zip((images, kernel), pullback(other), strict=True)
        return jnp.vdot(out, other), *(jnp.vdot(a, b) for a, b in pairs)

    images, kernel, stride, padding = _inputs(CASES[2], seed=4)
    other = np.random.default_rng(5).normal(size=(2, 4, 3, 4)).astype(np.float32)
    products = jax.jit(inner_products)(images, kernel, other)
    np.testing.assert_allclose(products, np.full(3, products[0]), rtol=1e-4)


def _operations(lowering, size=3, stride=1, channels=64, outputs=64, dtype="float32"):
    images = jax.ShapeDtypeStruct((2, 6, 6, channels), dtype)
    kernel = jax.ShapeDtypeStruct((size, size, channels, outputs), dtype)
    run = lambda x, w: conv(x, w, stride, size // 2, lowering)  # noqa: E731
    return str(jax.make_jaxpr(run)(images, kernel))


def test_conv_auto_uses_winograd_on_cpu_where_it_pays():
    assert _operations("auto") == _operations("winograd") != _operations("patches")


@pytest.mark.parametrize(
    "case",
    [
        {"channels": 15},
        {"outputs": 15},
        {"stride": 2},
        {"size": 1},
        {"size": 5},
        {"dtype": "bfloat16"},
    ],
    ids=str,
)
def test_conv_auto_uses_patches_elsewhere_on_cpu(case):
    assert _operations("auto", **case) == _operations("patches", **case)
    assert _operations("patches", **case) != _operations("direct", **case)


@pytest.mark.parametrize("backend", ["gpu", "tpu"])
def test_conv_auto_is_direct_on_accelerators(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert _operations("auto") == _operations("direct") != _operations("patches")
    assert "conv_general_dilated" in _operations("auto", channels=4)


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("channels", [4, 1])
def test_conv_of_bfloat16_gives_bfloat16_and_such_gradients(lowering, channels):
    images = jax.ShapeDtypeStruct((2, 6, 6, 4), "bfloat16")
    kernel = jax.ShapeDtypeStruct((3, 3, channels, 4), "bfloat16")
    run = _value_and_gradients(lowering, 1, 1)
    found = jax.eval_shape(run, images, kernel)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {"bfloat16"}


def test_conv_module_adds_its_bias_and_shares_weights_between_lowerings():
    images, kernel, _, _ = _inputs(CASES[0], seed=3)
    layer = Conv(4, use_bias=True, lowering="patches")
    variables = jax.eval_shape(layer.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {"kernel": (3, 3, 1, 4), "bias": (4,)}
    }
    bias = jnp.arange(4.0)
    variables = {"params": {"kernel": kernel, "bias": bias}}
    expected = _slow_conv(images, kernel, 1, 1) + np.arange(4.0)
    np.testing.assert_allclose(layer.apply(variables, images), expected, **CLOSE)
    direct = Conv(4, use_bias=True, lowering="direct").apply(variables, images)
    np.testing.assert_allclose(direct, expected, **CLOSE)
    plain = Conv(4, lowering="patches")
    np.testing.assert_allclose(
        plain.apply({"params": {"kernel": kernel}}, images),
        expected - np.arange(4.0),
        **CLOSE,
    )


# Image height and width, padding: multiples of the 4 pixels of a tile and others, one
# tile and several, less than a tile, and maps of one pixel.
TILED = [((8, 8), 1), ((6, 11), 0), ((7, 5), 2), ((3, 3), 0), ((1, 2), 1)]


def _xla(images, kernel, padding):
    sides = (padding, padding)
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        images, kernel, (1, 1), (sides, sides), dimension_numbers=names
    )


def _tiled(image, members=()):
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
        for function in (conv3x3, _xla)
    ]


def _gradients_of(padding):
    def run(function, images, kernel):
        out, pullback = jax.vjp(lambda x, w: function(x, w, padding), images, kernel)
        # Another weight for each number, so that none can take the place of another.
        weights = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)
        return out, pullback(weights)

    return run


@pytest.mark.parametrize(("image", "padding"), TILED)
def test_conv3x3_and_its_gradients_equal_a_xla_convolution(image, padding):
    found, expected = _both(_gradients_of(padding), *_tiled(image))
    assert found[0].shape[1:3] == tuple(n + 2 * padding - 2 for n in image)
    _assert_equal(found, expected)


def test_conv3x3_gradient_of_a_gradient_norm_equals_that_of_a_xla_convolution():
    def run(function, images, kernel):
        def loss(images, kernel):
            return jnp.mean(function(images, kernel, 1) ** 2)

        def norm(images, kernel):
            gradients = jax.grad(loss, (0, 1))(images, kernel)
            return sum(jnp.sum(g**2) for g in gradients)

        return jax.value_and_grad(norm, (0, 1))(images, kernel)

    # Five products deep, each rounded.
    _assert_equal(*_both(run, *_tiled((5, 6))), tolerance=1e-4)


def test_conv3x3_vmap_over_kernels_equals_a_xla_convolution_of_each():
    images, kernels = _tiled((6, 7), members=(3,))
    together = jax.jit(jax.vmap(lambda w: conv3x3(images, w, 1)))(kernels)
    for found, kernel in zip(together, kernels, strict=True):
        _assert_equal(found, _xla(images, kernel, 1))


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
