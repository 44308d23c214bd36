"""GraNd and last-layer gradients against automatic differentiation and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.models import network
from ddjax.scores.gradients import LastLayer, grand, softmax_errors

CONVNET = network("convnet_d1", 3, (8, 8, 1), width=3)
SOFTMAX = {"w": np.zeros((4, 3), np.float32), "b": np.zeros(3, np.float32)}


def linear_loss(variables, image, label):
    """Cross-entropy of a linear classifier of four pixels."""
    logits = image.astype(jnp.float32) @ variables["w"] + variables["b"]
    return jax.nn.logsumexp(logits) - logits[label]


def convnet_loss(variables, image, label):
    image = image[None].astype(jnp.float32) / 255.0
    return -jax.nn.log_softmax(CONVNET.apply(variables, image)[0][0])[label]


def slow_grand(variables, images, labels):
    """Softmax regression in float64, whose gradient is the product (x, 1)(p - y)."""
    norms = []
    for image, label in zip(images, labels, strict=True):
        logits = image.astype(np.float64) @ variables["w"] + variables["b"]
        error = np.exp(logits - logits.max())
        error /= error.sum()
        error[label] -= 1
        weight = np.outer(image.astype(np.float64), error)
        norms.append(np.sqrt((weight**2).sum() + (error**2).sum()))
    return norms


def test_grand_hand_worked():
    # p = 1/3 each: the bias's gradient (1/3, 1/3, -2/3) has square 2/3, the weight's
    # is that times 3^2 + 4^2. Against a mean loss it would be a third of that.
    images = np.array([[3, 0, 4, 0], [0, 0, 0, 0], [0, 5, 0, 0]], np.float32)
    expected = np.sqrt([26 * 2 / 3, 2 / 3, 26 * 2 / 3])
    found = grand(linear_loss, SOFTMAX, images, [2, 0, 1])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_grand_equals_slow_reference(seed):
    rng = np.random.default_rng(seed)
    variables = {
        "w": rng.normal(size=(4, 3)).astype(np.float32),
        "b": rng.normal(size=3).astype(np.float32),
    }
    images = rng.normal(size=(21, 4)).astype(np.float32)
    labels = np.full(21, 1) if seed == 0 else rng.integers(0, 3, 21)
    found = grand(linear_loss, variables, images, labels, batch_size=8)
    # The absolute tolerance is for examples whose p is nearly y in float32.
    expected = slow_grand(variables, images, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_convnet_equals_one_gradient_after_another():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, 8, 8, 1), np.uint8)
    labels = rng.integers(0, 3, 11)
    variables = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
        jax.eval_shape(CONVNET.init, jax.random.key(0)),
    )
    gradient = jax.jit(jax.grad(convnet_loss))
    expected = []
    for image, label in zip(images, labels, strict=True):
        grads = jax.tree.leaves(gradient(variables, image, label))
        squares = [np.sum(np.asarray(g, np.float64) ** 2) for g in grads]
        expected.append(np.sqrt(sum(squares)))
    found = grand(convnet_loss, variables, images, labels, batch_size=4)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    # The last block is partly new, and a device array is as good as one on the host.
    order = rng.permutation(11)[:6]
    device = jnp.asarray(images[order]), jnp.asarray(labels[order])
    some = grand(convnet_loss, variables, *device, batch_size=4)
    np.testing.assert_allclose(some, found[order], rtol=1e-5)


@pytest.mark.parametrize("count", [1, 7])
def test_batch_size_and_number_of_examples_change_nothing(count):
    rng = np.random.default_rng(0)
    variables = {"w": rng.normal(size=(4, 3)).astype(np.float32), "b": SOFTMAX["b"]}
    images = rng.integers(0, 4, (count, 4), np.uint8)
    labels = np.arange(count) % 3
    expected = slow_grand(variables, images, labels)
    for batch_size in (1, 3, 7, 100):
        found = grand(linear_loss, variables, images, labels, batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_is_linear_in_the_loss_and_compiled_once():
    traces = []

    def doubled(variables, image, label):
        traces.append(image.shape)
        return 2 * linear_loss(variables, image, label)

    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(11, 4)).astype(np.float32), np.arange(11) % 3
    once = grand(linear_loss, SOFTMAX, images, labels, batch_size=4)
    twice = grand(doubled, SOFTMAX, images, labels, batch_size=4)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    grand(doubled, SOFTMAX, images[:9], labels[:9], batch_size=4)
    assert traces == [(4,)]


def test_matrix_products_are_exact():
    seen = []

    def watched(variables, image, label):
        seen.append(jax.config.jax_default_matmul_precision)
        return linear_loss(variables, image, label)

    grand(watched, SOFTMAX, np.ones((2, 4), np.float32), [0, 1])
    assert seen == ["highest"]


@pytest.mark.parametrize("bad", [3, 10])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_gradient_that_is_not_finite_names_the_first_example(bad, value):
    images = np.ones((12, 4), np.float32)
    images[[bad, 11]] = value
    with pytest.raises(InputError, match=f"norm is (nan|inf) at example {bad},"):
        grand(linear_loss, SOFTMAX, images, np.zeros(12, int), batch_size=5)


def two_losses(variables, image, label):
    return linear_loss(variables, image, label) * jnp.ones(2)


def with_aux(variables, image, label):
    return linear_loss(variables, image, label), image


def integer(variables, image, label):
    return label


@pytest.mark.parametrize(
    "change, message",
    [
        ({"variables": {}}, "variables: found no array"),
        (
            {"variables": {"w": SOFTMAX["w"], "step": np.int32(3)}},
            r"variables: \['step'\] is int32\[\], expected float",
        ),
        ({"labels": np.zeros(5)}, r"labels: shape \(5,\) of float64, expected \[N\]"),
        ({"labels": np.zeros((5, 1), int)}, r"labels: shape \(5, 1\) of int64"),
        ({"labels": np.zeros(0, int)}, "labels: there are no examples"),
        ({"labels": [0, 1, -1, 0, 0]}, "labels: class -1, expected 0 or more"),
        ({"labels": [0, 1]}, r"images: shape \(5, 4\), expected .* N = 2 to fit"),
        ({"images": np.float32(0)}, r"images: shape \(\), expected .* N = 5 to fit"),
        ({"batch_size": 0}, "batch_size: 0, expected an integer of at least 1"),
        ({"batch_size": 2.0}, "batch_size: 2.0, expected an integer"),
        ({"apply_loss": two_losses}, r"apply_loss: returned float32\[2\], expected"),
        ({"apply_loss": with_aux}, r"apply_loss: returned \(.*float32\[4\].*one float"),
        (
            {"apply_loss": integer},
            r"apply_loss: returned int32\[\], expected one float",
        ),
    ],
)
def test_grand_refuses_bad_input(change, message):
    given = {
        "apply_loss": linear_loss,
        "variables": SOFTMAX,
        "images": np.zeros((5, 4), np.float32),
        "labels": np.zeros(5, int),
    }
    with pytest.raises(InputError, match=message):
        grand(**(given | change))


def test_variables_that_are_closed_over_do_not_count():
    def biased(bias, variables, image, label):
        return linear_loss({"w": variables, "b": bias}, image, label)

    loss = functools.partial(biased, SOFTMAX["b"])
    images = np.array([[3, 0, 4, 0]], np.float32)
    found = grand(loss, SOFTMAX["w"], images, [2])
    np.testing.assert_allclose(found, np.sqrt([25 * 2 / 3]), rtol=1e-6)


def test_a_stream_is_read_block_by_block():
    class Stream:
        def __init__(self, images):
            self.images, self.shape, self.read = images, images.shape, []

        def __getitem__(self, block):
            self.read.append(len(self.images[block]))
            return self.images[block]

    images = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    labels = np.arange(10) % 3
    stream = Stream(images)
    found = grand(linear_loss, SOFTMAX, stream, labels, batch_size=4)
    np.testing.assert_array_equal(found, grand(linear_loss, SOFTMAX, images, labels, 4))
    assert stream.read == [4, 4, 4]


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
