"""Schedules against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.train.schedule import Steps, schedule_factor


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


def test_steps_drop_to_a_tenth_at_half_where_nothing_is_said():
    assert factor(Steps(), 49) == 1.0
    assert factor(Steps(), 50) == pytest.approx(0.1)
    assert factor(Steps(), 99) == pytest.approx(0.1)


@pytest.mark.parametrize("total", [6, 60, 300, 12000])
def test_steps_multiply(total):
    steps = Steps((2 / 3, 5 / 6), 0.2)
    first, second = total * 2 // 3, total * 5 // 6
    found = [factor(steps, at, total) for at in (0, first - 1, first, second - 1)]
    assert found == pytest.approx([1.0, 1.0, 0.2, 0.2])
    found = [factor(steps, at, total) for at in (second, total - 1)]
    assert found == pytest.approx([0.04, 0.04])


def test_no_steps_are_constant():
    assert factor(Steps(()), 99) == 1.0


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
    for schedule in ("cosine", Steps((0.3, 0.6), 0.5)):
        eager = schedule_factor(schedule, *arguments)
        np.testing.assert_allclose(jitted(schedule, *arguments), eager, rtol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"step_at": (0.6, 0.9), "step_factor": 0.2}])
def test_settings_reach_the_program(tmp_path, changes):
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"))
    config.student.optimizer.schedule = "step"
    config.student.optimizer.update(changes)
    context = open_problem(from_config(config))
    optimizer = context.settings.student.optimizer
    program = context.program(context.student_network, optimizer, 6, "hard")
    assert program.schedule == Steps(*changes.values())
