"""What images are matched with, by hand and against NumPy, and gradients of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax.distill.statistics import (
    likeness,
    measures_of,
    mixture,
    moments_with_patches,
    smoothed,
    statistics_distance,
    statistics_of,
)


def draw(seed, sizes):
    rng = np.random.default_rng(seed)
    return {name: (rng.normal(size=n), rng.random(n)) for name, n in sizes.items()}


def reference(measured, remembered, first_weight, var_weight):
    total = 0.0
    for number, name in enumerate(measured):
        gaps = [a - b for a, b in zip(measured[name], remembered[name], strict=True)]
        mean_norm, var_norm = (np.sqrt((gap**2).sum()) for gap in gaps)
        total += (1 if number else first_weight) * (mean_norm + var_weight * var_norm)
    return total


def test_distance_by_hand():
    zero = jnp.zeros(2)
    measured = {
        "norm": (jnp.array([3.0, 4.0]), jnp.array([0.0, 2.0])),
        "last": (jnp.array([1.0, 0.0]), jnp.array([6.0, 8.0])),
    }
    remembered = {"last": (zero, zero), "norm": (zero, zero)}
    # 10 (5 + 2) + (1 + 10), and with variances three times 10 (5 + 6) + (1 + 30).
    assert float(statistics_distance(measured, remembered)) == pytest.approx(81)
    found = float(statistics_distance(measured, remembered, var_weight=3.0))
    assert found == pytest.approx(141)


@pytest.mark.parametrize(("first_weight", "var_weight"), [(10.0, 1.0), (2.5, 11.0)])
def test_distance_equals_numpy_whatever_the_names(first_weight, var_weight):
    sizes = {"z": 3, "a": 5, "m": 2}
    measured, remembered = draw(0, sizes), draw(1, dict(sorted(sizes.items())))
    expected = reference(measured, remembered, first_weight, var_weight)
    found = statistics_distance(measured, remembered, first_weight, var_weight)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gradient_equals_finite_differences_in_double_precision():
    measured, remembered = draw(2, {"a": 3, "b": 2}), draw(3, {"a": 3, "b": 2})
    direction = draw(4, {"a": 3, "b": 2})

    @jax.jit
    @jax.value_and_grad
    def along(step):
        moved = jax.tree.map(lambda a, d: a + step * d, measured, direction)
        return statistics_distance(moved, remembered, 10.0, 2.0)

    with jax.enable_x64(True):
        gradient = along(0.0)[1]
        difference = (along(1e-5)[0] - along(-1e-5)[0]) / 2e-5
        assert gradient.dtype == np.float64
        np.testing.assert_allclose(gradient, difference, rtol=1e-8)


def test_gradient_of_no_distance_is_zero():
    measured = jax.tree.map(jnp.asarray, draw(5, {"a": 3}))
    gradient = jax.jit(jax.grad(statistics_distance))(measured, measured)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, np.zeros(3))


def enlarged(x, patch):
    """Bilinear, in one dimension after the other, with centres aligned."""
    for axis in (1, 2):
        old = x.shape[axis]
        new = -(-old // patch) * patch
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        left = np.floor(place).astype(int)
        right = np.minimum(left + 1, old - 1)
        shape = [1] * 4
        shape[axis] = new
        share = (place - left).reshape(shape)
        x = np.take(x, left, axis) * (1 - share) + np.take(x, right, axis) * share
    return x


@pytest.mark.parametrize("sides", [(8, 8), (7, 5)])
def test_moments_of_patches_equal_numpy(sides):
    x = np.random.default_rng(0).normal(size=(3, *sides, 2)).astype(np.float32)
    mean, var, patch_mean, patch_var = jax.jit(
        functools.partial(moments_with_patches, 4)
    )(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-5)
    large = enlarged(x.astype(np.float64), 4)
    cells = [
        large[:, y : y + 4, c : c + 4] for y in range(0, 8, 4) for c in range(0, 8, 4)
    ]
    np.testing.assert_allclose(patch_mean, [c.mean() for c in cells], atol=1e-5)
    np.testing.assert_allclose(patch_var, [c.var() for c in cells], rtol=1e-4)


def test_average_of_statistics_by_hand_and_its_gradient():
    old = {"b": (jnp.array([4.0]), jnp.array([8.0]))}

    def seen(x, first):
        found = {"b": (x * jnp.ones(1), x * 2 * jnp.ones(1))}
        return smoothed(found, old, jnp.float32(0.75), first)

    now, kept = seen(1.0, False)
    # 0.75 * 4 + 0.25 * 1, and 0.75 * 8 + 0.25 * 2.
    assert (
        [float(a[0]) for a in now["b"]]
        == [3.25, 6.5]
        == [float(a[0]) for a in kept["b"]]
    )
    assert [float(a[0]) for a in seen(1.0, True)[0]["b"]] == [1.0, 2.0]
    slopes = jax.jacfwd(lambda x: seen(x, False))(1.0)
    assert [float(a[0]) for a in slopes[0]["b"]] == [1.0, 2.0]
    assert [float(a[0]) for a in slopes[1]["b"]] == [0.0, 0.0]


def eigenvalues(images, classes):
    """Of each class, [k,m]: 8 x 8 pooled to 32 x 32 repeats a pixel four times."""
    large = images.astype(np.float64).repeat(4, axis=1).repeat(4, axis=2)
    rows = large.reshape(classes, len(images) // classes, -1)
    return np.linalg.svd(rows, compute_uv=False) ** 2


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_likeness_equals_numpy_and_its_gradient_finite_differences():
    images = 0.1 * recovering.noise(3, size=6)
    value, gradient = jax.jit(jax.value_and_grad(likeness), static_argnums=1)(images, 2)
    wanted = log_softmax(eigenvalues(images, 2) / 4)

    def slow(moved):  # what is wanted is held still
        return np.sum(np.exp(wanted) * (wanted - log_softmax(eigenvalues(moved, 2))))

    np.testing.assert_allclose(value, slow(images), rtol=1e-3)
    direction, step = recovering.noise(4, size=6), 1e-5
    ways = (np.float64(images) + s * direction for s in (step, -step))
    up, down = map(slow, ways)
    slope = np.sum(np.float64(gradient) * direction)
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=1e-3)
    assert abs(slope) > 0.1


def test_likeness_of_one_image_a_class_is_nothing():
    value, gradient = jax.jit(jax.value_and_grad(likeness), static_argnums=1)(
        recovering.noise(), 3
    )
    assert float(value) == 0 and not np.any(gradient)


def pooled(rows, patch=4, chunk=5):
    """Statistics of some images of the pool, by the program and in one go."""
    teacher = recovering.teacher()
    arguments = (teacher.network, teacher.variables)
    pool = recovering.images()[0][rows]
    found = statistics_of(
        *arguments, pool, recovering.MEAN, recovering.STD, patch, chunk
    )
    shown = ((pool / 255 - recovering.MEAN) / recovering.STD).astype(np.float32)
    run = jax.jit(
        lambda x: teacher.network.inspect(teacher.variables, x, measures_of(patch))[1]
    )
    return found, run(shown)


@pytest.mark.parametrize("patch, chunk", [(0, 12), (0, 5), (4, 5)])
def test_statistics_are_those_of_all_images_together(patch, chunk):
    found, expected = pooled(np.arange(12), patch, chunk)
    assert found.keys() == expected.keys() and len(found) == (2 if patch else 1)
    for layer, rows in expected.items():
        for a, b in zip(found[layer], rows, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_mixture_of_classes_is_the_whole():
    rows = np.arange(12)
    parts = [pooled(rows[rows % 3 == c])[0] for c in range(2)] + [pooled([2])[0]]
    few = np.concatenate([rows[rows % 3 != 2], [2]])
    mixed = mixture(parts, [4, 4, 1])
    for layer, expected in pooled(np.sort(few))[0].items():
        for a, b in zip(mixed[layer], expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
