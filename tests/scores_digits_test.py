"""Scores of near-equal quantities against formulas in 60 digits."""

from types import SimpleNamespace

import decimals as d
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ddjax.distill.statistics import TEMPERATURE, likeness, mixture
from ddjax.losses.softmax import log_softmax
from ddjax.scores import Trace, step_kl, tdds
from ddjax.scores.features import prototypes
from ddjax.scores.fluctuation import mean_deviation
from ddjax.scores.surrogates import feature_distance, gradient_distance
from ddjax.scores.trace import label_distance

DISTANCES = (1.0, 1e-2, 1e-4, 1e-6)


def _log_probs(distance, offset=0.0):
    """Float32 log-probabilities of two close predictions; the exact ones."""
    logits, noise = np.random.default_rng(0).normal(size=(2, 5, 6))
    logits[:, 2] += offset
    pair = [(3 * z).astype(np.float32) for z in (logits, logits + distance * noise)]
    logs = [np.asarray(jax.jit(log_softmax)(z)) for z in pair]
    return logs, [d.log_softmax(d.exact(z)) for z in pair]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("offset", [0.0, 8.0])
def test_step_kl_and_label_distance_keep_the_digits_of_the_logits(distance, offset):
    (now, before), (exact_now, exact_before) = _log_probs(distance, offset)
    probs = d.exp(exact_now)
    change = np.abs(probs * (exact_now - exact_before)).sum(-1).astype(float)
    difference = probs - d.exp(exact_before)
    apart = d.sqrt((difference * difference).sum(-1)).astype(float)
    # Logits near 10 are themselves rounded by 5e-7.
    tolerance = 1e-5 + 1e-6 / distance
    np.testing.assert_allclose(step_kl(now, before), change, rtol=tolerance)
    np.testing.assert_allclose(label_distance(now, before), apart, rtol=tolerance)
    assert not step_kl(now, now).any()
    assert not label_distance(now, now).any()


def test_label_distance_of_labels_without_some_classes():
    now = np.log(np.array([[0.5, 0.25, 0.25]], np.float32))
    label = np.array([[0.0, -1e5, -1e5]], np.float32)
    expected = [np.sqrt(0.25 + 2 / 16)]
    np.testing.assert_allclose(label_distance(now, label), expected, rtol=1e-6)
    np.testing.assert_allclose(label_distance(label, now), expected, rtol=1e-6)


def test_step_kl_tells_certain_predictions_apart():
    logits = np.array([[20.0, 0.0], [20.5, 0.0], [30.0, 0.0]], np.float32)
    logs = np.asarray(log_softmax(logits))
    found = step_kl(logs[1:], logs[:-1])
    exact = np.log1p(-scipy.special.expit(-np.float64([20, 20.5, 30])))
    doubt = scipy.special.expit(-np.float64([20.5, 30]))
    expected = np.abs(np.diff(exact)) + doubt * np.array([0.5, 9.5])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-7])
@pytest.mark.parametrize("window", [2, 3, 7, 10])
def test_windows_keep_the_digits_of_late_small_deviations(distance, window):
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(23, 4))
    values[12:] = 1e-2 + distance * rng.normal(size=(11, 4))
    values = values.astype(np.float32)
    starts = range(23 - window + 1)
    for start in starts:
        weights = np.arange(len(starts)) == start
        found = mean_deviation(values, window, starts, weights=weights)
        part = values[start : start + window].astype(float)
        np.testing.assert_allclose(found, part.std(axis=0, ddof=1), rtol=1e-7)
    # The last of TDDS's windows counts for nearly all.
    found = tdds(Trace(step_kl=values), 6, decay=1.0)
    expected = 5**0.5 * values[-5:].astype(float).std(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def _directions(distance):
    """Eight features at a distance from one or the other of two axes."""
    rng = np.random.default_rng(1)
    axes = np.eye(4)[np.arange(8) % 2]
    return (5 * axes + distance * rng.normal(size=(8, 4))).astype(np.float32)


@pytest.mark.parametrize("distance", DISTANCES)
def test_surrogates_keep_the_digits_of_subsets_that_are_close(distance):
    rng = np.random.default_rng(0)
    features = 3 + rng.normal(size=(1, 4)) + distance * rng.normal(size=(6, 4))
    errors = 1 + rng.normal(size=(1, 3)) + distance * rng.normal(size=(6, 3))
    features, errors = features.astype(np.float32), errors.astype(np.float32)
    labels, ids = np.zeros(6, int), [1, 4]
    found = (
        feature_distance(features, labels, ids),
        gradient_distance(
            SimpleNamespace(errors=errors, features=features), labels, ids
        ),
    )

    def apart(features):
        offset = features.sum(0) / 6 - features[ids].sum(0) / 2
        return offset @ offset

    def turned(errors, features):
        pair = errors.T @ features, errors[ids].T @ features[ids]
        return d.one_minus_correlation(*pair).sum()

    expected = d.in_decimals(apart)(features), d.in_decimals(turned)(errors, features)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    everything = np.arange(6)
    gradients = SimpleNamespace(errors=errors, features=features)
    assert feature_distance(features, labels, everything) == 0
    assert gradient_distance(gradients, labels, everything) == 0


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_prototypes_keep_the_digits_of_tight_clusters(distance):
    features = _directions(distance)
    found = prototypes(jax.random.key(0), features, 2)

    def turned(features):
        units = features / d.sqrt((features * features).sum(-1, keepdims=True))
        centroids = [units[k::2].sum(0) for k in (0, 1)]
        return d.one_minus_correlation(units, np.array(centroids * 4))

    np.testing.assert_allclose(found, d.in_decimals(turned)(features), rtol=1e-5)
    assert (prototypes(jax.random.key(0), features, 8) < 1e-30).all()


@pytest.mark.parametrize("distance", [1.0, 1e-2])
def test_likeness_keeps_its_digits_where_eigenvalues_are_close(distance):
    # Orthogonal images of one pixel each, whose products are the eigenvalues.
    levels = np.float32(10) + distance * np.array([0.0, 0.3, 0.7, 1.0], np.float32)
    images = np.zeros((4, 32, 32, 1), np.float32)
    images[np.arange(4), np.arange(4), 0, 0] = levels
    formula = d.in_decimals(lambda z: d.kl(z * z, z * z / d.exact(TEMPERATURE)))
    # The matrix's own rounding is that of 100 beside distances of 10 and 0.1.
    tolerance = 1e-4 / distance
    found = likeness(jnp.asarray(images), 1)
    np.testing.assert_allclose(found, formula(levels), rtol=tolerance)


def test_mixture_keeps_the_digits_of_small_variances():
    rng = np.random.default_rng(0)
    means = (1e4 + rng.uniform(size=(3, 5))).astype(np.float32)
    variances = (1e-6 * rng.uniform(size=(3, 5))).astype(np.float32)
    means[1:] = means[0]
    parts = [{"norm": pair} for pair in zip(means, variances, strict=True)]
    mean, variance = mixture(parts, [1, 2, 5])["norm"]
    np.testing.assert_array_equal(mean, means[0])
    expected = np.array([1, 2, 5]) / 8 @ variances.astype(float)
    np.testing.assert_allclose(variance, expected, rtol=1e-6)
