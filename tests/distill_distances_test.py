"""Distances of gradients and maps, and the derivative of a gradient by its images."""

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.distill.match.distances import (
    attention,
    image_gradient,
    kernel_distance,
    mean_distances,
    row_distance,
)

rng = np.random.default_rng(0)
SHAPES = {"conv": (3, 3, 2, 5), "head": (7, 4), "bias": (5,)}


def gradients():
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def test_rows_are_outputs_and_biases_have_none():
    real, learned = gradients(), gradients()
    expected = 0.0
    for name in ("conv", "head"):
        for row in range(SHAPES[name][-1]):
            a, b = (x[name][..., row].astype(float).ravel() for x in (real, learned))
            expected += 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6)
    distance = jax.jit(row_distance)
    np.testing.assert_allclose(distance(real, learned), expected, rtol=1e-5)
    same = distance(real, real)
    np.testing.assert_allclose(same, 0, atol=1e-5)


def test_a_row_of_zeros_has_no_derivative():
    real, learned = gradients(), gradients()
    learned["head"][:, 2] = 0
    learned["conv"][...] = 0
    slope_of = jax.jit(jax.grad(row_distance, argnums=1))
    slope = slope_of(real, learned)
    assert all(np.isfinite(leaf).all() for leaf in slope.values())
    # The product with the real row is left, divided by 1e-6.
    np.testing.assert_allclose(
        slope["head"][:, 2], -1e6 * real["head"][:, 2], rtol=1e-5
    )
    assert (slope["bias"] == 0).all()
    zeros = jax.tree.map(np.zeros_like, real)
    flat = slope_of(zeros, zeros)
    assert all((leaf == 0).all() for leaf in flat.values())


def test_only_kernels_of_convolutions_have_a_distance():
    real, learned = gradients(), gradients()
    apart = (real["conv"] - learned["conv"]).astype(float)
    for metric, expected in (("l1", abs(apart).sum()), ("squared", (apart**2).sum())):
        found = kernel_distance(metric, real, learned)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_attention_has_length_one():
    maps = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    maps[2] = 0
    attended = jax.jit(attention, static_argnums=1)
    slope_of = jax.jit(jax.grad(lambda x: attention(x, 4.0).sum()))
    assert np.isfinite(slope_of(maps)).all()
    for power in (1.0, 4.0):
        expected = (abs(maps.astype(float)) ** power).sum(-1).reshape(3, -1)
        expected[:2] /= np.linalg.norm(expected[:2], axis=1, keepdims=True)
        np.testing.assert_allclose(attended(maps, power), expected, rtol=1e-4)


def test_means_of_maps():
    real, learned = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 6, 4, 5))
    expected = ((real.mean(1) - learned.mean(1)) ** 2).sum()
    found = mean_distances(jnp.asarray(real), jnp.asarray(learned))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_derivative_of_a_gradient_is_that_of_finite_differences():
    """On a smooth network in float64, where masks of ReLU do not jump."""
    with jax.enable_x64(True):
        params = {"in": rng.normal(size=(6, 5)), "out": rng.normal(size=(5, 3))}
        images, labels = jnp.asarray(rng.normal(size=(2, 6))), jnp.array([0, 2])
        known = {name: rng.normal(size=x.shape) for name, x in params.items()}
        params = jax.tree.map(jnp.asarray, params)

        def loss(params, images):
            logits = jax.nn.softplus(images @ params["in"]) @ params["out"]
            return -jax.nn.log_softmax(logits)[jnp.arange(2), labels].mean()

        @jax.jit
        def whole(images):
            return row_distance(known, jax.grad(loss)(params, images))

        @jax.jit
        def both(images):
            def distance(gradient):
                return row_distance(known, gradient)

            return image_gradient(loss, distance, params, images)

        value, found = both(images)
        np.testing.assert_allclose(value, whole(images), rtol=1e-12)
        np.testing.assert_allclose(found, jax.jit(jax.grad(whole))(images), rtol=1e-9)
        for place in np.ndindex(*images.shape):
            step = np.zeros(images.shape)
            step[place] = 1e-5
            numeric = (whole(images + step) - whole(images - step)) / 2e-5
            np.testing.assert_allclose(found[place], numeric, rtol=1e-5, atol=1e-8)
