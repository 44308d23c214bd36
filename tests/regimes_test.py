"""The three regimes: what a student is to match."""

import dataclasses
import inspect

import decimals
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from ddjax import losses
from ddjax.errors import InputError
from ddjax.labels import Ensemble, Objective, teacher_logits
from ddjax.losses import LOSSES
from ddjax.losses.kl_divergence import Kl, calibrated, falling
from ddjax.losses.mse_gt import MseGt
from ddjax.models import network
from ddjax.problem import open_problem
from ddjax.settings import from_config
from ddjax.train.batches import Batch, Pool
from ddjax.train.student import HParams

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
        (NETWORK.init(jax.random.key(0)), NETWORK.init(jax.random.key(1))),
    )
    batch = Batch(
        jnp.asarray(rng.normal(size=(B, *SHAPE)), jnp.float32),
        jnp.array([0, 1, 2, 3], jnp.int32),
        jnp.array([1, 2, 3, 0], jnp.int32),
        jnp.asarray(keep, jnp.float32),
        jnp.array([0, 29, 30, 600], jnp.int32),
        targets=jnp.asarray(rng.normal(0, 3, (B, C)), jnp.float32),
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


def test_soft_kd_matches_the_teacher_on_the_view():
    logits, batch, pool, hparams = setup([1.0, 0.5, 0.2, 0.9])
    predicted, _ = NETWORK.apply(pool.teachers[0], batch.inputs)
    target = softmax(np.asarray(predicted, float) / 4.0)
    pool = pool._replace(teachers=pool.teachers[:1])
    found = Objective("soft_kd", Ensemble((NETWORK,)))(logits, batch, pool, hparams)
    # The divergence is small where teacher and student nearly agree, hence atol.
    expected = divergence(target, logits, 4.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("regime", ["soft", "soft_kd"])
def test_scale_by_t2_is_a_factor(regime):
    logits, batch, pool, hparams = setup([1.0] * B)
    scaled = Objective(regime)(logits, batch, pool, hparams)
    plain = Objective(regime, scale_by_t2=False)(logits, batch, pool, hparams)
    np.testing.assert_allclose(scaled, 16.0 * plain, rtol=1e-5)


def test_soft_kd_from_a_store_reads_the_targets():
    logits, batch, pool, hparams = setup([1.0] * B)
    target = softmax(np.asarray(batch.targets, float) / 4.0)
    found = Objective("soft_kd")(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, divergence(target, logits, 4.0), rtol=1e-4)


def test_soft_kd_averages_an_ensemble():
    logits, batch, pool, hparams = setup([1.0] * B)
    answers = [NETWORK.apply(v, batch.inputs)[0] for v in pool.teachers]
    target = softmax(np.mean(np.asarray(answers, float), 0) / 4.0)
    found = Objective("soft_kd", Ensemble((NETWORK, NETWORK)))(
        logits, batch, pool, hparams
    )
    expected = divergence(target, logits, 4.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_weights_mix_the_soft_and_the_hard_loss():
    logits, batch, pool, hparams = setup([1.0, 0.4, 1.0, 0.2])
    hparams = hparams._replace(label_smoothing=jnp.float32(0.8))
    soft = Objective("soft_kd")(logits, batch, pool, hparams)
    hard = Objective("hard")(logits, batch, pool, hparams)
    weights = jnp.array([1.0, 0.0, 1.0, 0.0]), jnp.array([0.0, 1.0, 0.5, 0.0])
    found = Objective("soft_kd")(logits, batch._replace(weights=weights), pool, hparams)
    np.testing.assert_allclose(found, weights[0] * soft + weights[1] * hard, rtol=1e-5)


@pytest.mark.parametrize("regime, dynamic", [("soft", False), ("soft_kd", True)])
def test_targets_close_to_the_student_keep_the_digits_of_the_loss(regime, dynamic):
    logits, batch, pool, hparams = setup([1.0] * B)
    hparams = hparams._replace(temperature=jnp.float32(20.0))
    stored = batch.targets if regime == "soft_kd" else pool.teacher_logits[:B]
    logits = stored + 1e-3 * logits
    temperatures = falling(batch.passes) if dynamic else np.full(B, 20.0)
    found = Objective(regime, options=Kl(dynamic))(logits, batch, pool, hparams)
    formula = decimals.in_decimals(
        lambda s, t, T: T[:, 0] ** 2 * decimals.kl(s / T, t / T)
    )
    expected = formula(logits, stored, np.asarray(temperatures)[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_dynamic_temperature_falls_with_the_passes():
    found = falling(jnp.array([0, 29, 30, 60, 600]))
    np.testing.assert_allclose(found, [20.0, 20.0, 14.0, 9.8, 2.0], rtol=1e-5)


def test_dynamic_temperature_divides_both_sides():
    logits, batch, pool, hparams = setup([1.0] * B)
    found = Objective("soft_kd", options=Kl(True))(logits, batch, pool, hparams)
    for row, temperature in enumerate((20.0, 20.0, 14.0, 2.0)):
        target = softmax(np.asarray(batch.targets[row], float) / temperature)
        expected = divergence(target, logits[row], temperature)
        np.testing.assert_allclose(found[row], expected, rtol=1e-3)


def test_calibrated_temperature_finds_the_scale_of_the_student():
    targets = jnp.asarray(np.random.default_rng(1).normal(size=(B, C)), jnp.float32)
    found = calibrated(0.37 * targets, targets)
    np.testing.assert_allclose(found, 0.37, atol=0.011)
    gradient = jax.grad(lambda z: calibrated(z, targets))(0.37 * targets)
    assert not gradient.any()


def test_calibrated_objective_divides_the_student_by_it():
    logits, batch, pool, hparams = setup([1.0] * B)
    found = Objective("soft_kd", options=Kl(False, True))(logits, batch, pool, hparams)
    scale = float(calibrated(logits, batch.targets / 4.0))
    target = softmax(np.asarray(batch.targets, float) / 4.0)
    student = softmax(np.asarray(logits, float) / scale)
    expected = 4.0 * scale * (target * np.log(target / student)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("loss", ["mse_gt", "dkd", "nkd"])
def test_losses_with_a_class_get_the_mixed_one(loss):
    logits, batch, pool, hparams = setup([1.0, 0.4, 1.0, 0.2])
    eye, labels = np.eye(C, dtype=np.float32), np.asarray(pool.labels)
    keep = np.asarray(batch.keep)[:, None]
    classes = keep * eye[labels[:4]] + (1 - keep) * eye[labels[[1, 2, 3, 0]]]
    options = {} if loss == "mse_gt" else {"temperature": 4.0}
    expected = getattr(losses, loss)(logits, batch.targets, classes, **options)
    found = Objective("soft_kd", loss=loss)(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mse_gt_has_the_weight_of_the_class_that_it_is_told():
    logits, batch, pool, hparams = setup([1.0, 0.4, 1.0, 0.2])
    args = logits, batch, pool, hparams
    none, some = (
        np.asarray(Objective("soft_kd", loss="mse_gt", options=MseGt(weight))(*args))
        for weight in (0.0, 0.15)
    )
    hard = np.asarray(Objective("hard")(*args))
    np.testing.assert_allclose(some - none, 0.15 * hard, rtol=1e-4)


def test_the_weight_in_the_settings_reaches_the_objective(tmp_path):
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"))
    config.labels.soft_kd.loss = "mse_gt"
    config.labels.soft_kd.mse_gt.gt_weight = 0.1
    context = open_problem(from_config(config))
    optimizer = context.settings.student.optimizer
    program = context.program(context.student_network, optimizer, 6, "soft_kd")
    assert program.objective == Objective("soft_kd", loss="mse_gt", options=MseGt(0.1))


@pytest.mark.parametrize("loss", ["lskd", "dist"])
def test_losses_without_a_class(loss):
    logits, batch, pool, hparams = setup([1.0] * B)
    expected = getattr(losses, loss)(logits, batch.targets, temperature=4.0)
    found = Objective("soft_kd", loss=loss)(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_crld_compares_both_views():
    logits, batch, pool, hparams = setup([1.0, 0.4, 1.0, 0.2])
    batch = batch._replace(weak=batch.inputs[::-1] * 0.5)
    pool = pool._replace(teachers=pool.teachers[:1])
    both = jnp.concatenate([logits, 2 * logits[::-1]])
    answers = [
        NETWORK.apply(pool.teachers[0], views)[0]
        for views in (batch.inputs, batch.weak)
    ]
    expected = losses.crld(both[B:], logits, answers[1], answers[0], temperature=4.0)
    objective = Objective("soft_kd", Ensemble((NETWORK,)), loss="crld")
    found = objective(both, batch, pool, hparams)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="two_views"):
        objective(both, batch._replace(weak=None), pool, hparams)
    # Hard steps are about the augmented view.
    weights = jnp.zeros(B), jnp.ones(B)
    found = objective(both, batch._replace(weights=weights), pool, hparams)
    expected = Objective("hard")(logits, batch, pool, hparams)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_losses_declare_what_training_gives_them():
    hungry = {name for name in LOSSES if Objective("soft", loss=name).needs_whole_batch}
    assert hungry == {"dist"}
    assert Objective("soft_kd", Ensemble((), "frobenius")).needs_whole_batch
    assert {name for name, loss in LOSSES.items() if loss.views == 2} == {"crld"}
    given = {"labels", "temperature", "scale_by_t2", "passes"}
    for loss in LOSSES.values():
        fields = dataclasses.fields(loss.options) if loss.options else ()
        names = inspect.signature(loss.function).parameters
        taken = {*loss.given, *(field.name for field in fields)}
        assert {*loss.given} <= given and taken == {*list(names)[2 * loss.views :]}


def test_objective_refuses_an_unknown_loss():
    with pytest.raises(InputError, match="loss: found 'mae', allowed is one of kl, "):
        Objective("soft_kd", loss="mae")


def test_objective_refuses_an_unknown_regime():
    with pytest.raises(InputError, match="regimes: found 'harder', allowed is one of"):
        Objective("harder")


def test_objectives_are_equal_when_their_settings_are():
    same = Ensemble((network("mlp", C, SHAPE, hidden=(5,)),))
    assert Objective("soft_kd", Ensemble((NETWORK,))) == Objective("soft_kd", same)
    assert Objective("soft_kd", options=Kl()) == Objective("soft_kd")


def test_teacher_logits_are_the_networks():
    _, _, pool, _ = setup([1.0] * B)
    variables = pool.teachers[0]
    found = teacher_logits(NETWORK, variables, pool.images, pool.mean, pool.std)
    direct, _ = NETWORK.apply(variables, pool.images.astype(jnp.float32) / 255)
    np.testing.assert_allclose(found, direct, rtol=1e-5, atol=1e-6)
