"""The distributions that networks start from."""

import jax
import numpy as np
import pytest

from ddjax.models import initializers


def test_torch_kernel_fills_the_interval_of_one_over_root_fan_in():
    kernel = np.asarray(initializers.torch_kernel(jax.random.key(0), (3, 3, 10, 32)))
    limit = 1 / np.sqrt(3 * 3 * 10)
    assert kernel.shape == (3, 3, 10, 32)
    assert np.abs(kernel).max() <= limit
    # 2880 uniform draws: the largest misses the limit by 1/2880 of it on average, and
    # the standard deviation has a relative standard error of 0.8 %.
    assert np.abs(kernel).max() > 0.99 * limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.04)


def test_torch_bias_uses_the_fan_in_it_is_given():
    bias = np.asarray(initializers.torch_bias(16)(jax.random.key(1), (1000,)))
    assert 0.24 < np.abs(bias).max() <= 0.25
    assert abs(bias.mean()) < 0.02


def test_kaiming_normal_has_variance_two_over_fan_out():
    kernel = np.asarray(initializers.kaiming_normal(jax.random.key(2), (3, 3, 64, 8)))
    assert kernel.shape == (3, 3, 64, 8)
    # 4608 normal draws: relative standard error of the standard deviation 1 %.
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (3 * 3 * 8)), rtol=0.05)
    # A normal distribution, not a uniform one, reaches beyond three deviations.
    assert np.abs(kernel).max() > 3 * kernel.std()


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (7, 5)])
def test_initializers_reshape_the_values_of_a_draw_in_the_final_shape(shape):
    limit = 1 / np.sqrt(np.prod(shape[:-1]))
    drawn = jax.random.uniform(jax.random.key(3), shape, minval=-limit, maxval=limit)
    kernel = initializers.torch_kernel(jax.random.key(3), shape)
    np.testing.assert_array_equal(kernel, drawn)


def test_initializers_differ_by_key_and_repeat_for_the_same_key():
    init = initializers.torch_kernel
    a, same, b = (init(jax.random.key(s), (5, 3)) for s in (0, 0, 1))
    np.testing.assert_array_equal(a, same)
    assert not np.array_equal(a, b)
