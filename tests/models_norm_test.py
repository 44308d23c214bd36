"""Normalisation against two-pass moments in float64, or plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.models.norm import BatchNorm, GroupNorm


def _two_pass(x, groups, scale, bias):
    x = np.asarray(x, np.float64)
    b, h, w, c = x.shape
    grouped = x.reshape(b, h * w, groups, c // groups)
    mean = grouped.mean((1, 3), keepdims=True)
    variance = ((grouped - mean) ** 2).mean((1, 3), keepdims=True)
    normal = (grouped - mean) / np.sqrt(variance + 1e-5)
    return normal.reshape(x.shape) * np.asarray(scale) + np.asarray(bias)


def _inputs(seed, channels=8):
    rng = np.random.default_rng(seed)
    x = rng.normal(2.0, 3.0, size=(3, 5, 4, channels))
    scale, bias = rng.normal(size=(2, channels))
    params = {"scale": scale, "bias": bias}
    as_float32 = lambda a: jnp.asarray(a, jnp.float32)  # noqa: E731
    return as_float32(x), jax.tree.map(as_float32, params)


@pytest.mark.parametrize("groups", [None, 4, 1])
def test_group_norm_equals_two_pass_moments(groups):
    x, params = _inputs(0)
    out = jax.jit(GroupNorm(groups).apply)({"params": params}, x)
    # Means of twice the spread cost E[x^2] - E[x]^2 one digit of float32's seven.
    np.testing.assert_allclose(
        out, _two_pass(x, groups or 8, **params), rtol=1e-5, atol=1e-5
    )


def test_group_norm_of_four_pixels_worked_by_hand():
    x = jnp.asarray([1.0, 3.0, 1.0, 3.0]).reshape(1, 2, 2, 1)
    params = {"scale": jnp.asarray([10.0]), "bias": jnp.asarray([0.5])}
    out = GroupNorm(None).apply({"params": params}, x)
    # Mean 2, variance 1.
    np.testing.assert_allclose(out.ravel(), [-9.5, 10.5, -9.5, 10.5], rtol=1e-5)


def test_instance_norm_ignores_scale_and_shift_of_a_channel():
    x, params = _inputs(0)
    layer = GroupNorm(None)
    moved = x * jnp.arange(1.0, 9.0).reshape(1, 1, 1, 8) + 4.0
    np.testing.assert_allclose(
        layer.apply({"params": params}, moved),
        layer.apply({"params": params}, x),
        # Only the epsilon tells the two apart, by 1e-5 / variance.
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("level", [0.0, 3.3, -100.0])
def test_group_norm_of_a_constant_image_is_its_bias_and_has_a_finite_gradient(level):
    _, params = _inputs(1)
    x = jnp.full((2, 5, 4, 8), level)
    layer = GroupNorm(None)

    @jax.jit
    def run(x):
        out, pullback = jax.vjp(lambda x: layer.apply({"params": params}, x), x)
        return out, pullback(out)[0]

    out, grad = run(x)
    expected = np.broadcast_to(params["bias"], out.shape)
    # The mean is rounded, and a variance of 0 magnifies that by 1 / sqrt(1e-5).
    magnified = 4 * np.finfo(np.float32).eps * abs(level) / np.sqrt(1e-5)
    atol = magnified * np.abs(params["scale"]).max()
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=atol)
    assert np.isfinite(grad).all()


def test_group_norm_starts_as_a_pure_normalisation_and_jit_equals_eager():
    x, _ = _inputs(2)
    layer = GroupNorm(4)
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(variables["params"]["scale"], np.ones(8))
    np.testing.assert_array_equal(variables["params"]["bias"], np.zeros(8))
    np.testing.assert_allclose(
        jax.jit(layer.apply)(variables, x), layer.apply(variables, x), atol=1e-6
    )


def _statistics(seed=10):
    rng = np.random.default_rng(seed)
    return {
        "mean": rng.normal(size=8).astype(np.float32),
        "var": rng.uniform(0.5, 2, size=8).astype(np.float32),
        "count": np.array(6, np.int32),
    }


def _affine(x, mean, var, params):
    x, mean, var, scale, bias = (
        np.asarray(a, np.float64)
        for a in (x, mean, var, params["scale"], params["bias"])
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def _train(variables, x):
    return BatchNorm(True).apply(variables, x, mutable=["batch_stats"])


def test_batch_norm_averages_the_moments_of_the_batch_as_pytorch_does():
    x, params = _inputs(0)
    old = _statistics()
    variables = {"params": params, "batch_stats": old}
    out, updated = jax.jit(lambda x: _train(variables, x))(x)
    flat = np.asarray(x, np.float64).reshape(-1, 8)
    mean, variance = flat.mean(0), flat.var(0)
    np.testing.assert_allclose(out, _affine(x, mean, variance, params), atol=1e-5)
    found = updated["batch_stats"]
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(found["mean"], 0.9 * old["mean"] + 0.1 * mean, **close)
    # Biased for the images, unbiased for the average: 3 * 5 * 4 numbers a channel.
    unbiased = 0.9 * old["var"] + 0.1 * variance * 60 / 59
    np.testing.assert_allclose(found["var"], unbiased, **close)
    assert found["count"] == 7
    assert old["count"] == 6  # NumPy's array is not counted in.


def test_batch_norm_uses_the_running_moments_in_evaluation():
    x, params = _inputs(0)
    old = _statistics()
    variables = {"params": params, "batch_stats": old}
    run = lambda x: BatchNorm(False).apply(variables, x, mutable=["batch_stats"])  # noqa: E731
    out, same = jax.jit(run)(x)
    np.testing.assert_allclose(
        out, _affine(x, old["mean"], old["var"], params), atol=1e-5
    )
    jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], old)


def test_batch_norm_in_training_needs_no_mutable_statistics():
    x, params = _inputs(0)
    variables = {"params": params, "batch_stats": _statistics()}
    out = jax.jit(BatchNorm(True).apply)(variables, x)
    np.testing.assert_allclose(out, jax.jit(_train)(variables, x)[0], atol=1e-6)


def test_batch_norm_starts_with_running_moments_that_have_seen_nothing():
    x, _ = _inputs(0)
    variables = jax.jit(BatchNorm(True).init)(jax.random.key(0), x)
    expected = {
        "params": {"scale": np.ones(8), "bias": np.zeros(8)},
        "batch_stats": {"mean": np.zeros(8), "var": np.ones(8), "count": 0},
    }
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    assert variables["batch_stats"]["count"].dtype == jnp.int32


def test_batch_norm_of_one_number_a_channel_is_finite():
    x, params = _inputs(0)
    variables = {"params": params, "batch_stats": _statistics()}
    out, updated = jax.jit(_train)(variables, x[:1, :1, :1])
    np.testing.assert_allclose(
        out, params["bias"].reshape(1, 1, 1, 8), rtol=1e-3, atol=1e-2
    )
    expected = 0.9 * variables["batch_stats"]["var"]
    np.testing.assert_allclose(
        updated["batch_stats"]["var"], expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_of_bfloat16_gives_bfloat16_from_float32_moments(train):
    x, params = _inputs(0)
    # A mean of 64 spreads over 2 in steps of 0.25, which sums in bfloat16 would lose.
    x = (64 + x / 3).astype(jnp.bfloat16)
    old = {**_statistics(), "mean": np.full(8, 64, np.float32)}
    variables = {"params": params, "batch_stats": old}
    layer = BatchNorm(train)
    run = jax.jit(lambda x: layer.apply(variables, x, mutable=["batch_stats"]))
    out, updated = run(x)
    assert out.dtype == jnp.bfloat16
    assert updated["batch_stats"]["mean"].dtype == jnp.float32
    exact = np.asarray(x.astype(jnp.float32), np.float64)
    flat = exact.reshape(-1, 8)
    mean, var = flat.mean(0), flat.var(0)
    if train:
        new = updated["batch_stats"]["mean"]
        np.testing.assert_allclose(new, 0.9 * old["mean"] + 0.1 * mean, rtol=1e-6)
    else:
        mean, var = old["mean"], old["var"]
    expected = _affine(exact, mean, var, params)
    # Results of a few units are rounded to 8 bits.
    np.testing.assert_allclose(out.astype(jnp.float32), expected, rtol=0.01, atol=0.01)


def _plain(x, scale, bias, groups):
    """Normalisation by its formula; groups None is over the batch."""
    b, h, w, c = x.shape
    split = x.reshape(b, h, w, groups or c, -1)
    axes = (1, 2, 4) if groups else (0, 1, 2, 4)
    centred = split - split.mean(axes, keepdims=True)
    variance = (centred**2).mean(axes, keepdims=True)
    normal = (centred / jnp.sqrt(variance + 1e-5)).reshape(x.shape)
    return normal * scale.reshape(1, 1, 1, c) + bias.reshape(1, 1, 1, c)


@pytest.mark.parametrize(
    ("layer", "groups"), [(BatchNorm(True), None), (GroupNorm(4), 4)]
)
def test_gradients_of_first_and_second_order_equal_those_of_the_formula(layer, groups):
    x, params = _inputs(1)

    def ours(x, scale, bias):
        given = {"params": {"scale": scale, "bias": bias}}
        if groups is None:
            given["batch_stats"] = _statistics()
        return layer.apply(given, x)

    def gradients(run):
        # Any function whose gradient is not the same for all numbers.
        loss = lambda *a: jnp.sum(jnp.sin(run(*a)))  # noqa: E731
        first = jax.grad(loss, (0, 1, 2))
        norm = lambda *a: sum(jnp.sum(g**2) for g in first(*a))  # noqa: E731
        compute = jax.jit(lambda *a: (first(*a), jax.grad(norm, (0, 1, 2))(*a)))
        return compute(x, params["scale"], params["bias"])

    found = gradients(ours)
    expected = gradients(lambda *a: _plain(*a, groups))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a, b, rtol=0, atol=1e-4 * np.abs(b).max()
        ),
        found,
        expected,
    )
