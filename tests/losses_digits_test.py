"""Losses in float32 against 60 digits, where student and teacher are close or far."""

import functools

import decimals as d
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.losses import (
    crld,
    cross_entropy,
    dist,
    dkd,
    kl_divergence,
    lskd,
    mse_gt,
    nkd,
)

pytestmark = pytest.mark.slow

CLASS = 1  # of every example that has one


def _others(z):
    return np.delete(z, CLASS, -1)


def _pair(z):
    """Logits of class and others together."""
    others = d.log(d.exp(_others(z)).sum(-1))
    return np.stack([z[..., CLASS], others], -1)


def _dkd(s, t, T):
    s, t = s / T, t / T
    return T**2 * (d.kl(_pair(s), _pair(t)) + 8 * d.kl(_others(s), _others(t)))


def _nkd(s, t, T):
    own = [d.log_softmax(z)[..., CLASS] for z in (s, t)]
    s, t = (d.log_softmax(_others(z) / T) for z in (s, t))
    others = (d.exp(t) * s).sum(-1)
    return -d.exp(own[1]) * own[0] - d.exact(1.5) * T**2 * others


def _standardised(z):
    z = d.centred(z)
    std = d.sqrt((z * z).sum(-1, keepdims=True) / (z.shape[-1] - 1))
    return z / (std + d.exact(1) / 10**7)


def _dist(s, t, T):
    p, q = (d.exp(d.log_softmax(z / T)) for z in (s, t))
    rows, columns = (
        d.one_minus_correlation(d.centred(a), d.centred(b), d.exact(1) / 10**8)
        for a, b in ((p, q), (p.T, q.T))
    )
    return T**2 * (2 * rows + 2 * columns.sum() / len(columns))


def _labels(z):
    return jnp.full(len(z), CLASS)


# Name -> the loss and its formula, of (student, teacher, temperature) each.
LOSSES = {
    "cross_entropy": (
        lambda s, t, T: cross_entropy(s, _labels(s)),
        lambda s, t, T: -d.log_softmax(s)[..., CLASS],
    ),
    "kl_divergence": (kl_divergence, lambda s, t, T: T**2 * d.kl(s / T, t / T)),
    "mse_gt": (
        lambda s, t, T: mse_gt(s, t, _labels(s), 0.0),
        lambda s, t, T: ((s - t) ** 2).sum(-1) / s.shape[-1],
    ),
    "dkd": (lambda s, t, T: dkd(s, t, _labels(s), temperature=T), _dkd),
    "nkd": (lambda s, t, T: nkd(s, t, _labels(s), temperature=T), _nkd),
    "lskd": (
        lskd,
        lambda s, t, T: T**2 * d.kl(_standardised(s) / T, _standardised(t) / T),
    ),
    "crld": (
        lambda s, t, T: crld(s, s[::-1], t, t[::-1], T, 0.0, 0.0, 1.0, 0.0),
        lambda s, t, T: T**2 * (d.kl(s / T, t / T) + d.kl(s[::-1] / T, t[::-1] / T)),
    ),
    "dist": (lambda s, t, T: dist(s, t, temperature=T), _dist),
}
PLAIN = [name for name in LOSSES if name not in ("cross_entropy", "nkd", "dist")]
every_loss = pytest.mark.parametrize("name", LOSSES)


@functools.cache
def _compiled(name):
    def total(student, teacher, temperature):
        values = LOSSES[name][0](student, teacher, temperature)
        return values.sum(), values

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def _evaluate(name, student, teacher, temperature):
    (_, values), gradient = _compiled(name)(student, teacher, temperature)
    return values, gradient


def _logits(count, distance, scale=3.0):
    """Student and teacher, [3, count] each; distance None: nothing in common."""
    teacher, noise = np.random.default_rng(count).normal(size=(2, 3, count))
    teacher = (scale * teacher).astype(np.float32)
    student = scale * noise if distance is None else teacher + distance * noise
    return student.astype(np.float32), teacher


@every_loss
@pytest.mark.parametrize(
    ("count", "temperature"),
    [
        *(
            (count, temperature)
            for count in (2, 10)
            for temperature in (1.0, 4.0, 20.0)
        ),
        (1000, 4.0),
        *(pytest.param(1000, T, marks=pytest.mark.slow) for T in (1.0, 20.0)),
    ],
)
def test_values_keep_their_digits(name, count, temperature):
    # Two classes standardise to the same two numbers: the rest is rounding.
    least = 1e-12 if (name, count) == ("lskd", 2) else 0
    formula = d.in_decimals(LOSSES[name][1])
    for distance in (None, 0.1, 1e-3, 1e-6):
        student, teacher = _logits(count, distance)
        found, _ = _evaluate(name, student, teacher, temperature)
        expected = formula(student, teacher, temperature)
        np.testing.assert_allclose(found, expected, rtol=5e-6, atol=least)
        assert (found >= 0).all()


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_gradients_keep_their_digits(name, temperature):
    for distance in (None, 0.1, 1e-3, 1e-6):
        student, teacher = _logits(6, distance)
        _, found = _evaluate(name, student, teacher, temperature)
        fixed = d.exact(teacher), d.exact(temperature)
        expected = d.slopes(lambda s, a=fixed: LOSSES[name][1](s, *a), student)
        largest = np.abs(expected).max(-1, keepdims=True)
        np.testing.assert_allclose(found / largest, expected / largest, atol=2e-5)


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_equal_logits(name, temperature):
    for scale in (0.0, 3.0, 1e4):
        _, teacher = _logits(10, None, scale)
        found, gradient = _evaluate(name, teacher, teacher, temperature)
        assert np.isfinite(gradient).all()
        if name in PLAIN:
            assert not found.any()
            assert not gradient.any()


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence", "dkd", "nkd"])
@pytest.mark.parametrize("distance", [None, 1.0])
def test_extreme_logits(name, distance):
    student, teacher = _logits(10, distance, 1e4)
    pairs = [(student, teacher), (1e4 * np.eye(3, 10, dtype=np.float32), teacher)]
    pairs += [(teacher / 1e4, pairs[1][0]), (pairs[1][0], student / 1e4)]
    for s, t in pairs:
        found, gradient = _evaluate(name, s, t, 1.0)
        expected = d.in_decimals(LOSSES[name][1])(s, t, 1.0)
        # What is below float32's smallest numbers is 0.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-37)
        assert (found >= 0).all()
        assert np.isfinite(gradient).all()


def test_a_certain_class_keeps_the_digits_of_its_doubt():
    logits = jnp.array([[20.0, 40, 0], [0, 60, 0], [5, 9, -3]])
    found, gradient = _evaluate("cross_entropy", logits, logits, 1.0)
    doubt = np.exp(np.asarray(logits, float) - [[40], [60], [9]])
    doubt[:, CLASS] = 0
    doubt = doubt.sum(1) / (1 + doubt.sum(1))
    np.testing.assert_allclose(found, -np.log1p(-doubt), rtol=1e-6)
    np.testing.assert_allclose(gradient[:, CLASS], -doubt, rtol=1e-6)


@pytest.mark.parametrize("name", ["kl_divergence", "dkd", "lskd"])
def test_second_derivatives_are_those_of_the_plain_formula(name):
    def plain(s, t):
        s, t = jax.nn.log_softmax(s / 4), jax.nn.log_softmax(t / 4)
        return 16 * jnp.sum(jnp.exp(t) * (t - s))

    def standard(z):
        return (z - z.mean()) / (z.std(ddof=1) + 1e-7)

    def others(z):
        return jnp.delete(z, CLASS)

    def pair(z):
        return jnp.array([z[CLASS], 4 * jax.nn.logsumexp(others(z) / 4)])

    formulas = {
        "kl_divergence": plain,
        "lskd": lambda s, t: plain(standard(s), standard(t)),
        "dkd": lambda s, t: plain(pair(s), pair(t)) + 8 * plain(others(s), others(t)),
    }
    with jax.enable_x64(True):
        hessian = jax.jit(
            jax.hessian(lambda s, t: LOSSES[name][0](s[None], t[None], 4.0).sum())
        )
        reference = jax.jit(jax.hessian(formulas[name]))
        for distance in (0.0, 0.1, None):
            sides = [z[0].astype(float) for z in _logits(5, distance)]
            found, expected = hessian(*sides), reference(*sides)
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("distance", [0.1, None])
def test_kl_divergence_gradient_of_its_temperature(distance):
    student, teacher = _logits(5, distance)

    def total(temperature):
        return kl_divergence(student, teacher, temperature).sum()

    found = jax.jit(jax.grad(total))(3.0)
    formula = LOSSES["kl_divergence"][1]
    expected = d.slopes(
        lambda T: formula(d.exact(student), d.exact(teacher), T[0]), np.array([3.0])
    )
    np.testing.assert_allclose(found, expected[0], rtol=1e-4)
