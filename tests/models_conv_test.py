"""The lowerings of the convolution, alone and under vmap over weights."""

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
    layer = Conv(4, lowering="patches")
    variables = jax.eval_shape(layer.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {"kernel": (3, 3, 1, 4), "bias": (4,)}
    }
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
    layer = Conv(256, depthwise=True)
    images = jnp.ones((1, 3, 3, 256))
    bias = jax.jit(layer.init)(jax.random.key(1), images)["params"]["bias"]
    assert 0.3 < np.abs(bias).max() <= 1 / 3  # 1 / sqrt(3 * 3)
