"""The distance of statistics by hand, against NumPy, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.distill.matching import statistics_distance


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
