"""Both lowerings of the convolution, alone and under vmap over weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.models.conv import Conv, conv

# size, stride, padding, image height and width, input channels: every combination
# that a network uses, on odd, even and non-square images.
CASES = [
    (3, 1, 1, (6, 6), 1),
    (3, 1, 3, (4, 5), 3),
    (3, 2, 1, (7, 6), 2),
    (1, 1, 0, (3, 4), 3),
    (1, 2, 0, (5, 6), 3),
    (7, 2, 3, (9, 8), 3),
]
# Sums of up to 400 float32 products of order one, added in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


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


@pytest.mark.parametrize("lowering", ["patches", "direct"])
def test_conv_is_a_cross_correlation_worked_by_hand(lowering):
    image = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    kernel = jnp.zeros((3, 3)).at[0, 1].set(1.0).at[2, 2].set(10.0)
    out = conv(image.reshape(1, 3, 3, 1), kernel.reshape(3, 3, 1, 1), 1, 1, lowering)
    # Upper neighbour + 10 * lower right neighbour, zero outside.
    expected = [[50.0, 60.0, 0.0], [81.0, 92.0, 3.0], [4.0, 5.0, 6.0]]
    np.testing.assert_array_equal(out[0, :, :, 0], expected)


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


@pytest.mark.parametrize("case", [CASES[0], CASES[2]])
@pytest.mark.parametrize("lowering", ["patches", "direct"])
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


def test_conv_auto_uses_patches_on_cpu():
    images, kernel, stride, padding = _inputs(CASES[0], seed=2)

    def operations(lowering):
        run = jax.make_jaxpr(lambda x, w: conv(x, w, stride, padding, lowering))
        return str(run(images, kernel))

    assert "conv_general_dilated" in operations("direct")
    assert "conv_general_dilated" not in operations("auto")
    assert operations("auto") == operations("patches")


def test_conv_module_adds_its_bias_and_shares_weights_between_lowerings():
    images, kernel, _, _ = _inputs(CASES[0], seed=3)
    layer = Conv(4, lowering="patches")
    variables = layer.init(jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {"kernel": (3, 3, 1, 4), "bias": (4,)}
    }
    bound = 1 / 3  # 1 / sqrt(3 * 3 * 1)
    assert np.abs(variables["params"]["bias"]).max() <= bound
    bias = jnp.arange(4.0)
    variables = {"params": {"kernel": kernel, "bias": bias}}
    expected = _slow_conv(images, kernel, 1, 1) + np.arange(4.0)
    np.testing.assert_allclose(layer.apply(variables, images), expected, **CLOSE)
    direct = Conv(4, lowering="direct").apply(variables, images)
    np.testing.assert_allclose(direct, expected, **CLOSE)
    plain = Conv(4, use_bias=False, lowering="patches")
    np.testing.assert_allclose(
        plain.apply({"params": {"kernel": kernel}}, images),
        expected - np.arange(4.0),
        **CLOSE,
    )
