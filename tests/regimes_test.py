"""The three regimes: what a student is asked to match."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.labels import REGIMES, Objective, teacher_logits
from ddjax.models import network
from ddjax.train.student import Batch, HParams, Pool

N, B, C = 6, 4, 3
SHAPE = (4, 4, 1)
NETWORK = network("mlp", C, SHAPE, hidden=(5,))


def setup(keep):
    rng = np.random.default_rng(0)
    pool = Pool(
        jnp.asarray(rng.integers(0, 256, (N, *SHAPE), np.uint8)),
        jnp.arange(N, dtype=jnp.int32) % C,
        jnp.arange(N, dtype=jnp.int32),
        jnp.zeros(1),
        jnp.ones(1),
        jnp.asarray(rng.normal(0, 3, (N, C)), jnp.float32),
        NETWORK.init(jax.random.key(0)),
    )
    batch = Batch(
        jnp.asarray(rng.normal(size=(B, *SHAPE)), jnp.float32),
        jnp.array([0, 1, 2, 3], jnp.int32),
        jnp.array([1, 2, 3, 0], jnp.int32),
        jnp.asarray(keep, jnp.float32),
    )
    logits = jnp.asarray(rng.normal(size=(B, C)), jnp.float32)
    hparams = HParams(0.1, 10.0, temperature=jnp.float32(4.0))
    return logits, batch, pool, hparams


def softmax(logits):
    exps = np.exp(logits - logits.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def divergence(target, logits, temperature):
    student = softmax(np.asarray(logits, float) / temperature)
    return temperature**2 * (target * np.log(target / student)).sum(-1)


@pytest.mark.parametrize("keep", [[1.0] * B, [0.3, 0.5, 1.0, 0.9]])
def test_hard_is_cross_entropy_with_the_mixed_class(keep):
    logits, batch, pool, hparams = setup(keep)
    eye, labels = np.eye(C), np.asarray(pool.labels)
    weight = np.array(keep)[:, None]
    target = weight * eye[labels[:4]] + (1 - weight) * eye[labels[[1, 2, 3, 0]]]
    expected = -(target * np.log(softmax(np.asarray(logits, float)))).sum(-1)
    found = Objective("hard")(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("keep", [[1.0] * B, [0.3, 0.5, 1.0, 0.0]])
def test_soft_matches_the_mixture_of_stored_vectors(keep):
    logits, batch, pool, hparams = setup(keep)
    stored = softmax(np.asarray(pool.teacher_logits, float) / 4.0)
    weight = np.array(keep)[:, None]
    target = weight * stored[:4] + (1 - weight) * stored[[1, 2, 3, 0]]
    found = Objective("soft")(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, divergence(target, logits, 4.0), rtol=1e-4)


def test_soft_kd_asks_the_teacher_about_the_view():
    logits, batch, pool, hparams = setup([1.0, 0.5, 0.2, 0.9])
    answers, _ = NETWORK.apply(pool.teacher, batch.inputs)
    target = softmax(np.asarray(answers, float) / 4.0)
    found = Objective("soft_kd", NETWORK)(logits, batch, pool, hparams)
    # The divergence is small where teacher and student nearly agree, hence atol.
    expected = divergence(target, logits, 4.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("regime", ["soft", "soft_kd"])
def test_scale_by_t2_is_a_factor(regime):
    logits, batch, pool, hparams = setup([1.0] * B)
    teacher = NETWORK if regime == "soft_kd" else None
    scaled = Objective(regime, teacher)(logits, batch, pool, hparams)
    plain = Objective(regime, teacher, False)(logits, batch, pool, hparams)
    np.testing.assert_allclose(scaled, 16.0 * plain, rtol=1e-5)


def test_objective_refuses_an_unknown_regime():
    with pytest.raises(InputError, match="regimes: found 'harder', allowed is one of"):
        Objective("harder")
    assert REGIMES == ("hard", "soft", "soft_kd")


def test_objectives_are_equal_when_their_settings_are():
    assert Objective("soft_kd", NETWORK) == Objective(
        "soft_kd", network("mlp", C, SHAPE, hidden=(5,))
    )


def test_teacher_logits_are_the_networks():
    _, _, pool, _ = setup([1.0] * B)
    found = teacher_logits(NETWORK, pool.teacher, pool.images, pool.mean, pool.std)
    direct, _ = NETWORK.apply(pool.teacher, pool.images.astype(jnp.float32) / 255)
    np.testing.assert_allclose(found, direct, rtol=1e-5, atol=1e-6)
