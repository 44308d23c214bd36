"""Teachers' logits: of one, and the mean of several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.labels import ensemble_logits

LOGITS = np.random.default_rng(0).normal(0, 3, (3, 4, 5)).astype(np.float32)


def test_plain_is_the_mean():
    np.testing.assert_allclose(
        ensemble_logits(LOGITS), LOGITS.astype(float).mean(0), rtol=1e-5, atol=1e-6
    )


def test_weighted_ignores_the_scale_of_the_weights():
    expected = (LOGITS.astype(float) * [[[0.25]], [[0.5]], [[0.25]]]).sum(0)
    found = ensemble_logits(LOGITS, "weighted", (2.0, 4.0, 2.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_frobenius_gives_every_teacher_the_mean_norm():
    scaled = LOGITS * np.array([1.0, 10.0, 0.1], np.float32)[:, None, None]
    norms = [np.sqrt((row.astype(float) ** 2).sum()) for row in scaled]
    expected = sum(
        row / norm * np.mean(norms) for row, norm in zip(scaled, norms, strict=True)
    )
    found = jax.jit(ensemble_logits, static_argnums=1)(scaled, "frobenius")
    np.testing.assert_allclose(found, expected / 3, rtol=1e-5, atol=1e-5)


def test_one_teacher_is_itself():
    for mean in ("plain", "frobenius"):
        found = ensemble_logits(LOGITS[:1], mean)
        np.testing.assert_allclose(found, LOGITS[0], rtol=1e-5)


def test_frobenius_of_zeros_is_finite():
    assert jnp.isfinite(ensemble_logits(0 * LOGITS, "frobenius")).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("median",), "ensemble_mean: found 'median', allowed is one of plain, "),
        (("weighted", (1.0, 2.0)), r"ensemble_weights: found \(1.0, 2.0\) for 3 "),
        (("plain", (1.0, 2.0, 3.0)), "ensemble_weights: found"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        ensemble_logits(LOGITS, *arguments)
