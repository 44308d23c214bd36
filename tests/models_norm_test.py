"""Normalisation against two-pass moments in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.models.norm import GroupNorm, check_norm, norm_layer


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
@pytest.mark.parametrize("seed", range(3))
def test_group_norm_equals_two_pass_moments(groups, seed):
    x, params = _inputs(seed)
    out = GroupNorm(groups).apply({"params": params}, x)
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
    out, pullback = jax.vjp(lambda x: layer.apply({"params": params}, x), x)
    expected = np.broadcast_to(params["bias"], out.shape)
    # The mean is rounded, and a variance of 0 magnifies that by 1 / sqrt(1e-5).
    magnified = 4 * np.finfo(np.float32).eps * abs(level) / np.sqrt(1e-5)
    atol = magnified * np.abs(params["scale"]).max()
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=atol)
    assert np.isfinite(pullback(out)[0]).all()


def test_group_norm_starts_as_a_pure_normalisation_and_jit_equals_eager():
    x, _ = _inputs(2)
    layer = GroupNorm(4)
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(variables["params"]["scale"], np.ones(8))
    np.testing.assert_array_equal(variables["params"]["bias"], np.zeros(8))
    np.testing.assert_allclose(
        jax.jit(layer.apply)(variables, x), layer.apply(variables, x), atol=1e-6
    )


def test_norm_layer_none_is_the_identity():
    x, _ = _inputs(3)
    np.testing.assert_array_equal(norm_layer("none", True, "norm")(x), x)


@pytest.mark.parametrize("seed", range(3))
def test_norm_layer_batch_averages_the_moments_of_the_batch(seed):
    x, params = _inputs(seed)
    rng = np.random.default_rng(seed + 10)
    old = {"mean": rng.normal(size=8), "var": rng.uniform(0.5, 2, size=8)}
    old = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), old)
    variables = {"params": params, "batch_stats": old}
    train = norm_layer("batch", True, "norm")
    out, updated = train.apply(variables, x, mutable=["batch_stats"])
    flat = np.asarray(x, np.float64).reshape(-1, 8)
    mean, variance = flat.mean(0), flat.var(0)
    expected = {
        "mean": 0.9 * np.asarray(old["mean"]) + 0.1 * mean,
        "var": 0.9 * np.asarray(old["var"]) + 0.1 * variance,
    }
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        updated["batch_stats"],
        expected,
    )
    moments = {"mean": mean, "var": variance}
    np.testing.assert_allclose(out, _affine(x, moments, params), atol=1e-5)
    evaluated = norm_layer("batch", False, "norm").apply(variables, x)
    np.testing.assert_allclose(evaluated, _affine(x, old, params), atol=1e-5)


def _affine(x, moments, params):
    x, mean, var, scale, bias = (
        np.asarray(a, np.float64)
        for a in (x, moments["mean"], moments["var"], params["scale"], params["bias"])
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def test_check_norm_refuses_unknown_kinds_and_indivisible_widths():
    assert check_norm("group", 12) == "group"
    assert check_norm("instance", 3) == "instance"
    with pytest.raises(InputError, match=r"^norm: found 'layer', allowed: instance"):
        check_norm("layer", 8)
    with pytest.raises(InputError, match=r"^width: found 6, .* multiple of 4$"):
        check_norm("group", 6)
