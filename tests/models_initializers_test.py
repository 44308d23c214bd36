"""The distributions that networks start from."""

import jax
import numpy as np
import pytest

from ddjax.models import initializers


def _draw(init, seed, shape):
    # Compiled as a whole, since one by one its steps take longer.
    return np.asarray(jax.jit(lambda key: init(key, shape))(jax.random.key(seed)))


def test_torch_kernel_fills_the_interval_of_one_over_root_fan_in():
    kernel = _draw(initializers.torch_kernel, 0, (3, 3, 10, 32))
    limit = 1 / np.sqrt(3 * 3 * 10)
    assert kernel.shape == (3, 3, 10, 32)
    assert np.abs(kernel).max() <= limit
    # 2880 uniform draws: the largest misses the limit by 1/2880 of it on average, and
    # the standard deviation has a relative standard error of 0.8 %.
    assert np.abs(kernel).max() > 0.99 * limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.04)


def test_torch_bias_uses_the_fan_in_it_is_given():
    bias = _draw(initializers.torch_bias(16), 1, (1000,))
    assert 0.24 < np.abs(bias).max() <= 0.25
    assert abs(bias.mean()) < 0.02


def test_kaiming_normal_has_variance_two_over_fan_out():
    kernel = _draw(initializers.kaiming_normal, 2, (3, 3, 64, 8))
    assert kernel.shape == (3, 3, 64, 8)
    # 4608 normal draws: relative standard error of the standard deviation 1 %.
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (3 * 3 * 8)), rtol=0.05)
    # A normal distribution, not a uniform one, reaches beyond three deviations.
    assert np.abs(kernel).max() > 3 * kernel.std()


def test_normal_and_uniform_have_the_width_they_are_given():
    drawn = _draw(initializers.normal(0.02), 4, (40, 100))
    assert drawn.shape == (40, 100)
    # 4000 draws: relative standard error of the standard deviation 1.1 %.
    np.testing.assert_allclose(drawn.std(), 0.02, rtol=0.05)
    assert np.abs(drawn).max() > 3 * drawn.std()
    drawn = _draw(initializers.uniform(0.5), 5, (40, 100))
    assert drawn.shape == (40, 100)
    assert 0.495 < np.abs(drawn).max() <= 0.5
    np.testing.assert_allclose(drawn.std(), 0.5 / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (7, 5)])
def test_initializers_reshape_the_values_of_a_draw_in_the_final_shape(shape):
    limit = 1 / np.sqrt(np.prod(shape[:-1]))
    drawn = jax.random.uniform(jax.random.key(3), shape, minval=-limit, maxval=limit)
    kernel = initializers.torch_kernel(jax.random.key(3), shape)
    np.testing.assert_array_equal(kernel, drawn)


def test_initializers_differ_by_key_and_repeat_for_the_same_key():
    init = initializers.torch_kernel
    a, same, b = (_draw(init, seed, (5, 3)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, same)
    assert not np.array_equal(a, b)
