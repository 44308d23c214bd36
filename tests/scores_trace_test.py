"""The trace's checks, and the per-example kernel that fills it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.scores import Trace, snapshot, step_kl

FIELDS = tuple(field.name for field in dataclasses.fields(Trace))


def draw(seed, num_examples=17, num_classes=5, scale=4.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_examples, num_classes)) * scale
    labels = rng.integers(0, num_classes, num_examples)
    return logits.astype(np.float32), labels.astype(np.int32)


def slow_snapshot(logits, labels):
    """One example and one class at a time, in float64."""
    rows = {name: [] for name in FIELDS if name not in ("step_kl", "el2n_sl")}
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        total = sum(np.exp(z - max(row)) for z in row)
        probs = [np.exp(z - max(row)) / total for z in row]
        others = [z for j, z in enumerate(row) if j != label]
        squares = [(p - (j == label)) ** 2 for j, p in enumerate(probs)]
        rows["true_prob"].append(probs[label])
        rows["el2n"].append(np.sqrt(sum(squares)))
        rows["margin"].append(row[label] - max(others))
        rows["correct"].append(row[label] > max(others))
        rows["entropy"].append(-sum(p * np.log(p) for p in probs))
        first, second = sorted(probs, reverse=True)[:2]
        rows["least_confidence"].append(1 - first)
        rows["second_prob"].append(second)
    return rows


def test_snapshot_hand_worked():
    # Softmax of (ln 2, 0, 0) is (1/2, 1/4, 1/4).
    logits = jnp.array([[np.log(2.0), 0.0, 0.0]] * 2)
    result = snapshot(logits, jnp.array([0, 1]))
    np.testing.assert_allclose(result["true_prob"], [0.5, 0.25], rtol=1e-6)
    expected = [np.sqrt(0.25 + 2 / 16), np.sqrt(0.25 + 9 / 16 + 1 / 16)]
    np.testing.assert_allclose(result["el2n"], expected, rtol=1e-6)
    np.testing.assert_allclose(result["margin"], [np.log(2), -np.log(2)], rtol=1e-6)
    np.testing.assert_array_equal(result["correct"], [True, False])
    np.testing.assert_allclose(result["entropy"], [1.5 * np.log(2)] * 2, rtol=1e-6)
    np.testing.assert_allclose(result["least_confidence"], [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(result["second_prob"], [0.25, 0.25], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_classes", [2, 5])
def test_snapshot_equals_slow_reference(seed, num_classes):
    logits, labels = draw(seed, num_classes=num_classes)
    result = snapshot(jnp.asarray(logits), jnp.asarray(labels))
    for name, expected in slow_snapshot(logits, labels).items():
        np.testing.assert_allclose(result[name], expected, rtol=2e-5, err_msg=name)


def test_snapshot_returns_float32_and_bool_for_bfloat16_logits():
    logits, labels = draw(0)
    result = snapshot(jnp.asarray(logits, jnp.bfloat16), jnp.asarray(labels))
    for name, values in result.items():
        assert values.dtype == (bool if name == "correct" else np.float32), name
        assert values.shape == labels.shape, name


def test_snapshot_ignores_constants_added_to_the_logits():
    logits, labels = draw(1)
    logits = np.round(logits * 64) / 64  # so that adding is exact
    shifts = np.arange(len(labels), dtype=np.float32)[:, None] * 100 - 800
    plain = snapshot(jnp.asarray(logits), jnp.asarray(labels))
    shifted = snapshot(jnp.asarray(logits + shifts), jnp.asarray(labels))
    for name in plain:
        np.testing.assert_array_equal(plain[name], shifted[name], err_msg=name)


def test_snapshot_permutes_with_examples_and_ignores_the_order_of_classes():
    logits, labels = draw(2)
    plain = snapshot(jnp.asarray(logits), jnp.asarray(labels))
    order = np.random.default_rng(0).permutation(len(labels))
    classes = np.array([3, 0, 4, 1, 2])  # new position -> old class
    moved = snapshot(
        jnp.asarray(logits[order][:, classes]),
        jnp.asarray(np.argsort(classes)[labels[order]]),
    )
    for name in plain:
        np.testing.assert_allclose(
            moved[name], plain[name][order], rtol=1e-5, err_msg=name
        )


def test_snapshot_under_jit_equals_eager():
    logits, labels = draw(3)
    eager = snapshot(jnp.asarray(logits), jnp.asarray(labels))
    jitted = jax.jit(snapshot)(jnp.asarray(logits), jnp.asarray(labels))
    for name in eager:
        np.testing.assert_allclose(jitted[name], eager[name], rtol=1e-6, err_msg=name)


def test_snapshot_survives_huge_logits():
    logits = jnp.array([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4], [3e38, 0.0, -1.0]])
    result = snapshot(logits, jnp.array([0, 1, 1]))
    np.testing.assert_array_equal(result["true_prob"], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(result["el2n"], [0.0, np.sqrt(2), np.sqrt(2)], rtol=1e-6)
    np.testing.assert_array_equal(result["entropy"], [0.0, 0.0, 0.0])


def test_snapshot_keeps_confident_examples_apart():
    # 1 - p_y is e^-z here: far below the resolution of a float32 near 1.
    logits = jnp.array([[20.0, 0.0], [25.0, 0.0], [60.0, 0.0]])
    result = snapshot(logits, jnp.zeros(3, jnp.int32))
    expected = np.sqrt(2) * np.exp([-20.0, -25.0, -60.0])
    np.testing.assert_allclose(result["el2n"], expected, rtol=1e-5)
    entropy = np.array([21.0, 26.0, 61.0]) * np.exp([-20.0, -25.0, -60.0])
    np.testing.assert_allclose(result["entropy"], entropy, rtol=1e-5)
    doubt = np.exp([-20.0, -25.0, -60.0])
    np.testing.assert_allclose(result["least_confidence"], doubt, rtol=1e-5)


def test_step_kl_hand_worked():
    # From (1/2, 1/2) to (1/4, 3/4): |log 1/2| / 4 + 3 |log 3/2| / 4.
    now, before = np.log([[0.25, 0.75]]), np.log([[0.5, 0.5]])
    expected = np.log(2) / 4 + 0.75 * np.log(1.5)
    np.testing.assert_allclose(step_kl(now, before), [expected], rtol=1e-6)
    assert step_kl(now, now) == 0


@pytest.mark.parametrize("seed", range(3))
def test_step_kl_equals_slow_reference_and_is_at_least_the_divergence(seed):
    logits, _ = draw(seed)
    logits = logits.astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = step_kl(logs[1:].astype(np.float32), logs[:-1].astype(np.float32))
    assert found.dtype == np.float32
    for value, now, before in zip(found, logs[1:], logs[:-1], strict=True):
        terms = [np.exp(a) * (a - b) for a, b in zip(now, before, strict=True)]
        assert value == pytest.approx(sum(map(abs, terms)), rel=1e-4)
        assert value >= sum(terms) - 1e-6


def test_snapshot_gives_a_tie_to_the_first_class():
    result = snapshot(jnp.zeros((2, 3)), jnp.array([0, 1]))
    np.testing.assert_array_equal(result["correct"], [True, False])


@pytest.mark.parametrize(
    "logits_shape, labels_shape, message",
    [
        ((4, 1), (4,), r"logits: shape \(4, 1\), expected \[N, C\] with C of at least"),
        ((4,), (4,), r"logits: shape \(4,\)"),
        ((4, 3), (5,), r"labels: shape \(5,\), expected \(4,\)"),
        ((4, 3), (4, 1), r"labels: shape \(4, 1\), expected \(4,\)"),
    ],
)
def test_snapshot_refuses_shapes_that_do_not_fit(logits_shape, labels_shape, message):
    with pytest.raises(InputError, match=message):
        snapshot(jnp.zeros(logits_shape), jnp.zeros(labels_shape, jnp.int32))


@pytest.mark.parametrize("field", FIELDS)
def test_trace_keeps_numpy_of_the_right_dtype(field):
    trace = Trace(**{field: jnp.ones((3, 4), jnp.int32)})
    values = getattr(trace, field)
    assert isinstance(values, np.ndarray)
    assert values.dtype == (bool if field == "correct" else np.float32)
    assert (trace.num_snapshots, trace.num_examples) == (3, 4)
    assert trace.require(field) is values
    assert all(getattr(trace, other) is None for other in FIELDS if other != field)


def test_trace_is_frozen_and_built_by_keyword():
    trace = Trace(margin=np.zeros((1, 1)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.margin = None
    with pytest.raises(TypeError):
        Trace(np.zeros((1, 1)))


def test_trace_takes_what_snapshot_returns():
    logits, labels = draw(5)
    steps = [snapshot(jnp.asarray(logits * k), jnp.asarray(labels)) for k in (1, 2)]
    trace = Trace(**{name: jnp.stack([s[name] for s in steps]) for name in steps[0]})
    np.testing.assert_array_equal(trace.margin[1], steps[1]["margin"])
    assert trace.step_kl is None


@pytest.mark.parametrize("field", FIELDS)
def test_trace_require_names_the_missing_field(field):
    present = "margin" if field != "margin" else "el2n"
    with pytest.raises(InputError, match=rf"trace\.{field}: not recorded"):
        Trace(**{present: np.zeros((2, 3))}).require(field)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_trace_refuses_values_that_are_not_finite(bad):
    values = np.zeros((3, 5))
    values[2, 1] = values[2, 4] = bad
    message = r"trace\.el2n: 2 of 15 .*the first at snapshot 2, example 1"
    with pytest.raises(InputError, match=message):
        Trace(el2n=values)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({}, "every field is None"),
        ({"margin": np.zeros(3)}, r"trace\.margin: shape \(3,\)"),
        ({"margin": np.zeros((0, 3))}, r"trace\.margin: shape \(0, 3\)"),
        ({"margin": np.zeros((3, 0))}, r"trace\.margin: shape \(3, 0\)"),
        (
            {"true_prob": np.zeros((3, 2)), "entropy": np.zeros((2, 3))},
            r"trace\.entropy: shape \(2, 3\) differs from that of trace\.true_prob",
        ),
        ({"correct": np.full((2, 2), 0.5)}, r"trace\.correct: expected only 0 and 1"),
    ],
)
def test_trace_refuses_bad_fields(fields, message):
    with pytest.raises(InputError, match=message):
        Trace(**fields)
