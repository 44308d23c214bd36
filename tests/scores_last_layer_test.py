"""Last-layer gradients against automatic differentiation and their outer products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ddjax.scores.last_layer import LastLayer, softmax_errors

from ddjax.errors import InputError


def draw(seed, examples=9, classes=3, features=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, examples)
    logits = rng.normal(size=(examples, classes))
    return logits, labels, rng.normal(size=(examples, features))


def dense(gradients):
    """Every gradient as one long vector, [N, (D + 1) C]."""
    rows = []
    for error, feature in zip(gradients.errors, gradients.features, strict=True):
        rows.append(np.outer(np.append(feature, 1), error).ravel())
    return np.array(rows, np.float64)


def test_last_layer_hand_worked():
    # Errors of length sqrt(2)/2 and 5, inputs [1, 2, 2, 1] and [0, 0, 0, 1].
    gradients = LastLayer([[0.5, -0.5], [3, -4]], [[1, 2, 2], [0, 0, 0]])
    np.testing.assert_allclose(gradients.norms(), [np.sqrt(5), 5], rtol=1e-6)
    # (0.5 * 3 + 0.5 * 4) * (0 + 1).
    np.testing.assert_allclose(gradients.products([0], [1]), [[3.5]])
    np.testing.assert_allclose(
        gradients.mean(), [[0.25, -0.25], [0.5, -0.5], [0.5, -0.5], [1.75, -2.25]]
    )
    # Of even logits the softmax is 1/2.
    even = LastLayer.from_logits([[7, 7]], [1], [[1, 2, 2]])
    np.testing.assert_allclose(even.errors, [[0.5, -0.5]])


def test_last_layer_equals_automatic_differentiation():
    logits, labels, features = draw(0)
    weights, bias = np.random.default_rng(1).normal(size=(4, 3)), np.arange(3.0)

    def loss(params, feature, label):
        weights, bias = params
        return -jax.nn.log_softmax(feature @ weights + bias)[label]

    gradient = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))
    by_weights, by_bias = jax.jit(gradient)(
        (jnp.asarray(weights), jnp.asarray(bias)), jnp.asarray(features), labels
    )
    expected = np.concatenate([by_weights, by_bias[:, None]], axis=1).reshape(9, -1)
    found = LastLayer.from_logits(features @ weights + bias, labels, features)
    np.testing.assert_allclose(dense(found), expected, atol=1e-5)
    norms = found.norms()
    assert norms.dtype == np.float32 and norms.shape == (9,)
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_last_layer_equals_outer_products(seed, dtype):
    logits, labels, features = draw(seed)
    gradients = LastLayer.from_logits(logits, labels, features.astype(dtype))
    full = dense(gradients)
    rows, columns = np.array([4, 0, 4]), np.array([8, 2])
    np.testing.assert_allclose(
        gradients.products(rows, columns), full[rows] @ full[columns].T, rtol=1e-12
    )
    np.testing.assert_allclose(
        gradients.products(slice(None), [3])[:, 0], full @ full[3], rtol=1e-12
    )
    np.testing.assert_allclose(gradients.squares(), (full**2).sum(1), rtol=1e-6)
    np.testing.assert_allclose(gradients.mean().ravel(), full.mean(axis=0))
    direction = np.random.default_rng(9).normal(size=(5, 3))
    np.testing.assert_allclose(gradients.along(direction), full @ direction.ravel())
    np.testing.assert_array_equal(dense(gradients.take(rows)), full[rows])
    assert gradients.num_examples == 9 and gradients.num_classes == 3


def test_softmax_errors_keep_what_cancellation_would_lose():
    errors = softmax_errors([[50.0, 0.0, -np.inf], [0.0, 800.0, 0.0]], [0, 1])
    np.testing.assert_allclose(errors[0], [-np.exp(-50), np.exp(-50), 0], rtol=1e-12)
    np.testing.assert_array_equal(errors[1], [0, 0, 0])
    shifted = softmax_errors([[-50.0, -100.0]], [0])
    np.testing.assert_allclose(shifted, [[-np.exp(-50), np.exp(-50)]], rtol=1e-12)


@pytest.mark.parametrize(
    "errors, features, message",
    [
        (np.ones((3, 2)), np.ones((4, 2)), "LastLayer.features: 4 examples, .* has 3"),
        (np.ones(3), np.ones((3, 2)), r"LastLayer.errors: shape \(3,\), expected \[N"),
        (np.ones((3, 2)), np.ones((3, 0)), r"LastLayer.features: shape \(3, 0\)"),
        (
            np.ones((3, 2)),
            [[1.0], [np.inf], [np.nan]],
            "LastLayer.features: 2 of 3 .* the first at example 1",
        ),
        ([[np.nan]], [[1.0]], "LastLayer.errors: 1 of 1 .* not finite"),
    ],
)
def test_last_layer_refuses_bad_arrays(errors, features, message):
    with pytest.raises(InputError, match=message):
        LastLayer(errors, features)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1], r"labels: shape \(2,\) of int.*, expected 9 integers"),
        (np.zeros(9), r"labels: shape \(9,\) of float64, expected 9 integers"),
        ([0] * 8 + [3], r"labels: classes 0 to 3, .* outputs 0\.\.2"),
        ([0] * 8 + [-1], "labels: classes -1 to 0"),
    ],
)
def test_from_logits_refuses_bad_labels(labels, message):
    logits, _, features = draw(0)
    with pytest.raises(InputError, match=message):
        LastLayer.from_logits(logits, labels, features)


def test_from_logits_refuses_bad_logits():
    logits, labels, features = draw(0)
    logits[2, 1] = np.inf
    with pytest.raises(InputError, match="logits: 1 of 9 .* example 2"):
        LastLayer.from_logits(logits, labels, features)
    with pytest.raises(InputError, match="LastLayer.features: 8 examples"):
        LastLayer.from_logits(np.zeros((9, 3)), labels, features[:8])
