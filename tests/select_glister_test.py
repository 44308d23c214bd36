"""GLISTER against a dense greedy loop, and the loss it is there to lower."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores.gradients import LastLayer
from ddjax.select.glister import glister

SIZES, HELD_OUT_SIZES = (9, 6, 12), (5, 2, 4)


class Layer:
    """A random last layer with data to train on and held-out data."""

    def __init__(self, seed, sizes=SIZES, held_out_sizes=HELD_OUT_SIZES):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(size=(4, 3))
        self.labels, self.features = self._draw(rng, sizes)
        self.held_labels, self.held_features = self._draw(rng, held_out_sizes)
        self.gradients = self.at(self.features, self.labels)
        self.held_out = self.at(self.held_features, self.held_labels)
        self.args = (self.gradients, self.labels)
        self.held_args = (self.held_out, self.held_labels)

    def _draw(self, rng, sizes):
        labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
        return labels, rng.normal(size=(len(labels), 3))

    def at(self, features, labels):
        logits = features @ self.weights[:-1] + self.weights[-1]
        return LastLayer.from_logits(logits, labels, features)


def softmax(weights, features):
    powers = np.exp(features @ weights[:-1] + weights[-1])
    return powers / powers.sum(axis=1, keepdims=True)


def mean_loss(weights, features, label):
    return -np.log(softmax(weights, features)[:, label]).mean()


def gradient(weights, feature, label):
    error = softmax(weights, feature[None])[0] - np.eye(3)[label]
    return np.outer(np.append(feature, 1), error)


def slow_greedy(layer, label, per_class, step):
    pool = np.flatnonzero(layer.labels == label).tolist()
    held = layer.held_features[layer.held_labels == label]
    of = {i: gradient(layer.weights, layer.features[i], label) for i in pool}
    chosen = []
    for _ in range(per_class):
        weights = layer.weights - step * sum(of[j] for j in chosen)
        towards = sum(gradient(weights, h, label) for h in held) / len(held)
        gains = [-np.inf if i in chosen else np.sum(of[i] * towards) for i in pool]
        chosen.append(pool[int(np.argmax(gains))])
    return chosen


def test_glister_hand_worked():
    # Two classes at even logits: errors (-1/2, 1/2) for class 0. The held-out input is
    # [1, 0, 1], so the gains are (h_1 + 1) / 2: example 1, then 2, then 0.
    features = np.array([[-2.0, 5], [2, 0], [1, 9], [0, 0], [0, 0]])
    labels = np.array([0, 0, 0, 1, 1])
    gradients = LastLayer.from_logits(np.zeros((5, 2)), labels, features)
    held_out = LastLayer.from_logits(np.zeros((2, 2)), [0, 1], [[1, 0], [1, 0]])
    for per_class, expected in ((1, [1, 3]), (2, [1, 2, 3, 4])):
        found = glister(gradients, labels, per_class, held_out, [0, 1])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("step", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_glister_equals_slow_greedy(seed, step):
    layer = Layer(seed)
    expected = sum((slow_greedy(layer, label, 4, step) for label in range(3)), [])
    found = glister(*layer.args, 4, *layer.held_args, step)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, sorted(expected))


def test_glister_of_one_class():
    layer = Layer(1, sizes=(12,), held_out_sizes=(4,))
    found = glister(*layer.args, 5, *layer.held_args)
    np.testing.assert_array_equal(found, sorted(slow_greedy(layer, 0, 5, 0.01)))


def test_glister_depends_on_the_step():
    """The held-out gradient is refreshed: otherwise every step would choose alike."""
    layer = Layer(0)
    chosen = [glister(*layer.args, 4, *layer.held_args, step) for step in (0, 1)]
    assert not np.array_equal(*chosen)


@pytest.mark.parametrize("seed", range(3))
def test_glister_of_one_lowers_the_held_out_loss_most(seed):
    layer = Layer(seed)
    step = 1e-4  # small enough for the first order to decide
    for found in glister(*layer.args, 1, *layer.held_args, step):
        label = layer.labels[found]
        held = layer.held_features[layer.held_labels == label]
        losses = {}
        for i in np.flatnonzero(layer.labels == label):
            moved = gradient(layer.weights, layer.features[i], label)
            losses[i] = mean_loss(layer.weights - step * moved, held, label)
        assert min(losses, key=losses.get) == found


def test_glister_moves_with_the_examples():
    layer = Layer(2)
    expected = glister(*layer.args, 4, *layer.held_args)
    rng = np.random.default_rng(1)
    order, held = rng.permutation(27), rng.permutation(11)
    moved = glister(
        layer.gradients.take(order),
        layer.labels[order],
        4,
        layer.held_out.take(held),
        layer.held_labels[held],
    )
    np.testing.assert_array_equal(np.sort(order[moved]), expected)


def test_glister_gives_copies_to_the_lower_id():
    layer = Layer(3)
    twice = np.repeat(np.arange(27), 2)
    found = glister(
        layer.gradients.take(twice), layer.labels[twice], 1, *layer.held_args
    )
    expected = glister(*layer.args, 1, *layer.held_args)
    np.testing.assert_array_equal(found, 2 * expected)


def test_glister_of_certain_held_out_examples_takes_the_lowest_ids():
    # Nothing is left to gain: the errors are 0 to the last bit.
    layer = Layer(4, sizes=(5, 5, 5), held_out_sizes=(2, 2, 2))
    certain = LastLayer(np.zeros((6, 3)), layer.held_features)
    found = glister(*layer.args, 2, certain, layer.held_labels)
    expected = [np.flatnonzero(layer.labels == label)[:2] for label in range(3)]
    np.testing.assert_array_equal(found, np.sort(np.concatenate(expected)))


def test_glister_takes_float32_errors():
    layer = Layer(5)
    single = LastLayer(layer.held_out.errors.astype(np.float32), layer.held_features)
    np.testing.assert_array_equal(
        glister(*layer.args, 4, single, layer.held_labels),
        glister(*layer.args, 4, *layer.held_args),
    )


def test_glister_forgives_the_rounding_of_certain_errors():
    # The label of the first held-out example has probability 0, or a little less.
    layer = Layer(6)
    expected, label = layer.held_out.errors, layer.held_labels[0]
    expected[0] = 0.5
    expected[0, label] = -1
    rounded = expected.copy()
    rounded[0, label] -= 1e-7
    rest = layer.held_features, layer.held_labels
    np.testing.assert_array_equal(
        glister(*layer.args, 4, LastLayer(rounded, rest[0]), rest[1]),
        glister(*layer.args, 4, LastLayer(expected, rest[0]), rest[1]),
    )


def test_glister_refuses_bad_held_out_examples():
    layer = Layer(0)
    gradients, held_labels = layer.args, layer.held_labels
    errors, features = layer.held_out.errors, layer.held_features
    wrong = np.roll(held_labels, 1)
    first = np.flatnonzero(wrong != held_labels)[0]
    for held_out, labels, message in (
        (layer.held_out, held_labels[1:], r"held_out_labels: shape \(10,\) .* 11"),
        (layer.held_out, held_labels + 1, r"held_out_labels: classes 1 to 3, .*\.2"),
        (layer.held_out, wrong, f"held_out_labels: .* the first at example {first}"),
        (LastLayer(errors + 0.1, features), held_labels, "held_out_labels: 11 of 11"),
        (
            layer.held_out.take(held_labels != 1),
            held_labels[held_labels != 1],
            "held_out_labels: class 1 has no examples",
        ),
        (
            LastLayer(errors, features[:, 1:]),
            held_labels,
            "held_out.features: 2 columns, but the gradients have 3",
        ),
        (
            LastLayer(errors[:, :2], features),
            held_labels,
            "held_out.errors: 2 columns, but the gradients have 3",
        ),
    ):
        with pytest.raises(InputError, match=message):
            glister(*gradients, 2, held_out, labels)


@pytest.mark.parametrize("step", [-0.1, np.inf, np.nan])
def test_glister_refuses_bad_steps(step):
    layer = Layer(0)
    with pytest.raises(InputError, match=f"step: {step}, expected a finite number"):
        glister(*layer.args, 2, *layer.held_args, step)


def test_glister_refuses_labels_and_budgets_that_do_not_fit():
    layer = Layer(0)
    with pytest.raises(InputError, match="per_class: 7, but class 1 has only 6"):
        glister(*layer.args, 7, *layer.held_args)
    with pytest.raises(InputError, match=r"labels: shape \(26,\) .* expected 27"):
        glister(layer.gradients, layer.labels[1:], 2, *layer.held_args)
