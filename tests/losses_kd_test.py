"""What holds for every distillation loss, against NumPy in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from losses_reference import (
    EVALUATE,
    LABELLED,
    LOSSES,
    classes,
    close,
    expected,
    logits,
    mixed,
)

from ddjax.errors import InputError
from ddjax.losses import dkd, mse_gt, nkd

NAN, INF = math.nan, math.inf
every_loss = pytest.mark.parametrize("name", LOSSES)


def _check(name, student, teacher, labels, **options):
    """Right values, finite gradient, none to the teacher; returns the gradient."""
    values, gradient, to_teacher = EVALUATE[name](student, teacher, labels, **options)
    assert values.dtype == jnp.float32
    close(values, expected(name, student, teacher, labels, **options))
    assert gradient.dtype == student.dtype and jnp.isfinite(gradient).all()
    assert not to_teacher.any()
    return gradient


@every_loss
@pytest.mark.parametrize("seed", range(3))
def test_losses_equal_slow_reference(name, seed):
    student, teacher = logits(seed), logits(seed + 10)
    _check(name, student, teacher, classes(seed))
    if name in LABELLED:
        _check(name, student, teacher, mixed(seed))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse_gt", {"gt_weight": 0.1}),
        ("dkd", {"alpha": 2.0, "beta": 0.5, "temperature": 1.0}),
        ("nkd", {"gamma": 0.7, "temperature": 3.0}),
        ("lskd", {"temperature": 3.0}),
        ("crld", {"temperature": 2.0}),
        ("dist", {"beta": 1.0, "gamma": 0.5, "temperature": 1.0}),
    ],
)
def test_losses_take_traced_numbers(name, options):
    _check(name, logits(3), logits(4), classes(5), **options)


EXTREMES = {
    2: [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.1, 0.1], [0, -1e5], [9999, 1e4]],
    4: [
        [1e4, -1e4, 1e4, -1e4],
        [-1e4, 1e4, -1e4, -1e4],
        [0.1, 0.1, 0.1, 0.1],
        [-1e5, 0, -1e5, 1e4],
        [1e4, 9999, 9998, 9990],
        [0, 0, 100, 0],
    ],
}


@pytest.mark.slow
@every_loss
@pytest.mark.parametrize("count", EXTREMES)
def test_losses_at_extreme_logits_are_right_with_finite_gradients(name, count):
    rows = np.array(EXTREMES[count], np.float32)
    pairs = [(s, t, y) for s in rows for t in rows for y in range(count)]
    student, teacher, labels = map(np.array, zip(*pairs, strict=True))
    _check(name, student, teacher, labels)


@every_loss
def test_losses_of_constant_logits_are_right_with_finite_gradients(name):
    constant = np.full((2, 4, 5), 0.1, np.float32)
    repeated = np.broadcast_to(logits(1)[:, :1], constant.shape)
    choices = constant, repeated, logits(0)
    for student, teacher in ((s, t) for s in choices for t in choices):
        _check(name, student, teacher, classes(0))


@every_loss
def test_losses_gradients_equal_finite_differences(name):
    student, teacher, labels = logits(0), logits(1), classes(2)
    slopes, step = np.empty(student.shape), 1e-5
    for index in np.ndindex(student.shape):
        sides = []
        for sign in (1, -1):
            moved = student.astype(np.float64)
            moved[index] += sign * step
            sides.append(expected(name, moved, teacher, labels).sum())
        slopes[index] = (sides[0] - sides[1]) / (2 * step)
    gradient = _check(name, student, teacher, labels)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LABELLED)
def test_losses_labels_receive_no_gradient(name):
    gradient = jax.grad(lambda y: LOSSES[name][0](logits(0), logits(1), y).sum())
    assert not gradient(mixed(2)).any()


@every_loss
def test_losses_under_vmap_and_jit_equal_eager(name):
    arrays, loss = (logits(0), logits(1), classes(2)), LOSSES[name][0]
    lifted = jax.vmap(loss) if name == "dist" else jax.vmap(jax.vmap(loss))
    eager = loss(*arrays)
    close(eager, EVALUATE[name](*arrays)[0])
    close(jax.jit(lifted)(*arrays), eager)


@every_loss
def test_losses_accumulate_bfloat16_in_float32(name):
    student, teacher = (jnp.asarray(logits(k, (4, 200)), jnp.bfloat16) for k in (0, 1))
    _check(name, student, teacher, np.array([0, 7, 50, 199]))


@every_loss
def test_losses_keep_float64(name):
    with jax.enable_x64(True):
        student, teacher = (logits(k).astype(np.float64) for k in (0, 1))
        found = jax.jit(LOSSES[name][0])(student, teacher, classes(0))
        assert found.dtype == jnp.float64
    reference = expected(name, student, teacher, classes(0))
    np.testing.assert_allclose(found, reference, rtol=1e-11)


@every_loss
def test_losses_refuse_shapes_when_traced(name):
    for student, teacher in (((4, 10), (4, 9)), ((4, 10), (10,))):
        with pytest.raises(InputError, match="found shape .* allowed is"):
            jax.eval_shape(
                LOSSES[name][0],
                *(jnp.zeros(shape) for shape in (student, teacher)),
                jnp.zeros(4, int),
            )


@pytest.mark.parametrize("loss", [mse_gt, dkd, nkd])
@pytest.mark.parametrize(
    "labels", [np.zeros(3, int), np.zeros((4, 2), np.float32), np.zeros(4, bool)]
)
def test_losses_refuse_labels(loss, labels):
    with pytest.raises(InputError, match="labels: found .*, allowed is "):
        loss(jnp.zeros((4, 3)), jnp.zeros((4, 3)), labels)


@pytest.mark.parametrize("name", ["dkd", "nkd", "lskd", "dist"])
def test_losses_refuse_one_class(name):
    with pytest.raises(InputError, match="at least 2 classes"):
        LOSSES[name][0](jnp.zeros((4, 1)), jnp.zeros((4, 1)), jnp.zeros(4, int))


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [
        ("mse_gt", "gt_weight", (-0.1, INF, NAN)),
        ("dkd", "alpha", (-1, NAN)),
        ("dkd", "beta", (-1, INF)),
        ("nkd", "gamma", (-1, NAN)),
        ("crld", "weak_threshold", (-0.1, 1.1, NAN)),
        ("crld", "strong_threshold", (-0.1, 1.1)),
        ("crld", "within_weight", (-1, INF)),
        ("crld", "cross_weight", (-1, NAN)),
        ("dist", "beta", (-1, NAN)),
        ("dist", "gamma", (-1, INF)),
        *((name, "temperature", (0, -1.0, INF, NAN)) for name in LOSSES if "k" in name),
        *((name, "temperature", (0, NAN)) for name in ("crld", "dist")),
    ],
)
def test_losses_refuse_numbers(name, option, values):
    zeros = jnp.zeros((2, 3))
    for value in values:
        with pytest.raises(InputError, match=f"{option}: found {value}, allowed is a"):
            LOSSES[name][0](zeros, zeros, jnp.zeros(2, int), **{option: value})
