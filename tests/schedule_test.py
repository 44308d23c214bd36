"""Schedules against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.train.schedule import schedule_factor


def factor(schedule, step, total=100, zeta=1.0, warmup=0.0):
    numbers = (jnp.float32(value) for value in (step, total, zeta, warmup))
    return float(schedule_factor(schedule, *numbers))


def test_cosine_by_hand():
    assert factor("cosine", 0) == 1.0
    assert factor("cosine", 50) == pytest.approx(0.5)
    assert factor("cosine", 100) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("zeta", [0.5, 1.0, 2.0, 3.0])
def test_cosine_follows_zeta_and_stays_at_zero_beyond_its_end(zeta):
    for step in range(0, 101, 10):
        angle = math.pi * min(step / (zeta * 100), 1.0)
        expected = 0.5 * (1 + math.cos(angle))
        assert factor("cosine", step, zeta=zeta) == pytest.approx(expected, abs=1e-6)


def test_cosine_with_zeta_two_ends_at_half():
    assert factor("cosine", 100, zeta=2.0) == pytest.approx(0.5)


def test_step_drops_to_a_tenth_at_half():
    assert factor("step", 49) == 1.0
    assert factor("step", 50) == pytest.approx(0.1)


def test_constant_is_one():
    assert factor("constant", 99) == 1.0


def test_warmup_rises_linearly_then_follows_the_schedule():
    rise = [factor("constant", step, warmup=0.1) for step in range(12)]
    np.testing.assert_allclose(rise[:10], np.arange(1, 11) / 10, rtol=1e-6)
    assert rise[10:] == [1.0, 1.0]
    assert factor("cosine", 60, warmup=0.1) == factor("cosine", 60)


def test_jit_equals_eager():
    jitted = jax.jit(schedule_factor, static_argnums=0)
    arguments = [jnp.float32(v) for v in (37, 100, 1.5, 0.2)]
    np.testing.assert_allclose(
        jitted("cosine", *arguments), schedule_factor("cosine", *arguments), rtol=1e-6
    )
