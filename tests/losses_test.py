"""Cross-entropy and KL divergence by hand, in NumPy float64, and their gradients."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ddjax.errors import InputError
from ddjax.losses import cross_entropy, kl_divergence

LOG_2, LOG_3 = math.log(2), math.log(3)


def _logits(seed, shape=(3, 4, 5), scale=3.0):
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return values.astype(np.float32)


def _log_softmax(row):
    row = [float(v) for v in row]
    top = max(row)
    total = math.log(sum(math.exp(v - top) for v in row)) + top
    return [v - total for v in row]


def _cross_entropy(logits, targets, smoothing):
    """One example; targets are probabilities."""
    classes = len(logits)
    log_probs = _log_softmax(logits)
    return -sum(
        ((1 - smoothing) * float(target) + smoothing / classes) * log_prob
        for target, log_prob in zip(targets, log_probs, strict=True)
    )


def _kl(student, teacher, temperature):
    """One example, without the squared temperature."""
    student = _log_softmax(np.asarray(student, np.float64) / temperature)
    teacher = _log_softmax(np.asarray(teacher, np.float64) / temperature)
    return sum(math.exp(t) * (t - s) for s, t in zip(student, teacher, strict=True))


def _close(actual, expected):
    # A few float32 roundings of sums of terms near 10.
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def _check_gradient(loss, logits):
    # The step is wide because T**2 = 400 magnifies the rounding of the values.
    check_grads(loss, (logits,), order=1, eps=3e-2, rtol=1e-2, atol=1e-2)


def test_cross_entropy_hand_worked():
    logits = jnp.array([[0.0, LOG_3], [LOG_3, 0.0]])  # probabilities 1/4 and 3/4
    labels = jnp.array([1, 1])
    expected = np.array([math.log(4 / 3), math.log(4)])
    _close(cross_entropy(logits, labels), expected)
    _close(cross_entropy(logits, jnp.array([[0.5, 0.5]] * 2)), [expected.mean()] * 2)
    # Smoothing 1/2 makes the target (1/4, 3/4).
    smoothed = [0.75 * expected[0] + 0.25 * expected[1]]
    _close(cross_entropy(logits[:1], labels[:1], label_smoothing=0.5), smoothed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_cross_entropy_equals_slow_reference(seed, smoothing):
    logits = _logits(seed)
    generator = np.random.default_rng(seed + 10)
    labels = generator.integers(0, 5, (3, 4))
    probabilities = generator.dirichlet(np.ones(5), (3, 4)).astype(np.float32)
    by_class = cross_entropy(logits, labels, smoothing)
    by_probability = cross_entropy(logits, probabilities, smoothing)
    assert by_class.shape == by_probability.shape == (3, 4)
    for index in np.ndindex(3, 4):
        one_hot = np.eye(5)[labels[index]]
        _close(by_class[index], _cross_entropy(logits[index], one_hot, smoothing))
        expected = _cross_entropy(logits[index], probabilities[index], smoothing)
        _close(by_probability[index], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_cross_entropy_of_classes_equals_one_hot(dtype):
    logits, labels = _logits(0), np.arange(12).reshape(3, 4) % 5
    one_hot = np.eye(5, dtype=np.float32)[labels]
    result = cross_entropy(logits, labels.astype(dtype), 0.1)
    _close(result, cross_entropy(logits, one_hot, 0.1))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_gradient_is_probability_minus_target(smoothing):
    logits, labels = _logits(1, (6, 5)), np.arange(6) % 5
    target = np.eye(5, dtype=np.float32)[labels]
    smoothed = (1 - smoothing) * target + smoothing / 5
    for label in (labels, target):
        found = jax.grad(lambda z, y=label: cross_entropy(z, y, smoothing).sum())(
            logits
        )
        _close(found, jax.nn.softmax(logits) - smoothed)
    _check_gradient(lambda z: cross_entropy(z, labels, smoothing), logits)


def test_cross_entropy_labels_receive_no_gradient():
    gradient = jax.grad(lambda y: cross_entropy(_logits(0), y).sum())
    assert not gradient(jax.nn.softmax(_logits(1))).any()


def test_kl_divergence_hand_worked():
    student, teacher = jnp.zeros(2), jnp.array([0.0, 2 * LOG_3])
    # At T = 2 the teacher says 1/4 and 3/4, the student 1/2 and 1/2.
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    _close(kl_divergence(student, teacher, 2.0, scale_by_t2=False), expected)
    _close(kl_divergence(student, teacher, 2.0), 4 * expected)
    _close(kl_divergence(student, teacher / 2), expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
def test_kl_divergence_equals_slow_reference(seed, temperature):
    student, teacher = _logits(seed), _logits(seed + 10)
    scaled = kl_divergence(student, teacher, temperature)
    plain = kl_divergence(student, teacher, temperature, scale_by_t2=False)
    assert scaled.shape == plain.shape == (3, 4)
    for index in np.ndindex(3, 4):
        expected = _kl(student[index], teacher[index], temperature)
        _close(plain[index], expected)
        np.testing.assert_allclose(
            scaled[index], expected * temperature**2, rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kl_divergence_gradient_is_temperature_times_difference(temperature):
    student, teacher = _logits(0, (6, 5)), _logits(1, (6, 5))
    difference = jax.nn.softmax(student / temperature)
    difference -= jax.nn.softmax(teacher / temperature)
    for scale, factor in ((True, temperature), (False, 1 / temperature)):
        found = jax.grad(
            lambda z, s=scale: kl_divergence(z, teacher, temperature, s).sum()
        )(student)
        _close(found, factor * difference)
    _check_gradient(lambda z: kl_divergence(z, teacher, temperature), student)


def test_kl_divergence_teacher_receives_no_gradient():
    gradient = jax.grad(lambda t: kl_divergence(_logits(0), t, 4.0).sum())
    assert not gradient(_logits(1)).any()


def test_kl_divergence_of_equal_logits_is_zero():
    logits = _logits(0)
    for temperature in (0.1, 1.0, 20.0):
        assert not kl_divergence(logits, logits, temperature).any()
        # A constant added to one side's logits changes nothing.
        shifted = kl_divergence(logits + 2, logits, temperature, scale_by_t2=False)
        np.testing.assert_allclose(shifted, 0, atol=1e-5)


def test_kl_divergence_of_a_one_hot_teacher_is_cross_entropy():
    logits, labels = _logits(0), np.arange(12).reshape(3, 4) % 5
    teacher = 1e4 * np.eye(5, dtype=np.float32)[labels]
    _close(kl_divergence(logits, teacher), cross_entropy(logits, labels))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_losses_at_extreme_logits_are_finite_with_finite_gradients(temperature):
    extremes = jnp.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.0, -1e4]])
    student, teacher = jnp.repeat(extremes, 4, axis=0), jnp.tile(extremes, (4, 1))
    losses = (
        lambda z: kl_divergence(z, teacher, temperature),
        lambda z: cross_entropy(z, jax.nn.softmax(teacher), 0.1),
        lambda z: cross_entropy(z, jnp.argmax(teacher, axis=-1), 0.1),
    )
    for loss in losses:
        value, back = jax.jit(lambda z, f=loss: jax.vjp(f, z))(student)
        (gradient,) = back(jnp.ones_like(value))
        assert jnp.isfinite(value).all() and (value >= 0).all()
        assert jnp.isfinite(gradient).all()
    # Wholly wrong and wholly right: the difference of the logits, and nothing.
    divergence = losses[0](student).reshape(4, 4)
    _close(divergence[0, 1], 2e4 * temperature)
    assert float(divergence[0, 0]) == float(divergence[1, 1]) == 0.0


def test_kl_divergence_of_very_negative_teacher_logits_is_finite():
    teacher = jnp.array([[0.0, -1e5, 0.0], [-1e5, -1e5, 3.0], [-1e5, -1e5, -1e5]])
    for student in (jnp.zeros((3, 3)), teacher[::-1]):
        gradient = jax.grad(lambda z: kl_divergence(z, teacher).sum())(student)
        assert jnp.isfinite(gradient).all()
        for found, s, t in zip(
            kl_divergence(student, teacher), student, teacher, strict=True
        ):
            _close(found, _kl(s, t, 1.0))


def test_losses_accumulate_bfloat16_in_float32():
    classes = 1000
    student = jnp.asarray(_logits(0, (4, classes)), jnp.bfloat16)
    teacher = jnp.asarray(_logits(1, (4, classes)), jnp.bfloat16)
    labels = jnp.array([0, 7, 500, 999])
    uniform = jnp.full((4, classes), 2**-10, jnp.bfloat16)
    wide_student, wide_teacher = (v.astype(jnp.float32) for v in (student, teacher))
    pairs = (
        (kl_divergence(student, teacher, 20.0), (wide_student, wide_teacher, 20.0)),
        (cross_entropy(student, labels, 0.1), (wide_student, labels, 0.1)),
        (cross_entropy(student, uniform), (wide_student, uniform.astype(jnp.float32))),
    )
    for function, (found, wide) in zip(
        (kl_divergence, cross_entropy, cross_entropy), pairs, strict=True
    ):
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, function(*wide))
    gradient = jax.grad(lambda z: kl_divergence(z, teacher).sum())(student)
    assert gradient.dtype == jnp.bfloat16 and jnp.isfinite(gradient).all()


def test_losses_vmap_and_jit_equal_an_eager_loop():
    student, teacher = _logits(0, (4, 5)), _logits(1, (4, 5))
    labels, probabilities = jnp.arange(4), jax.nn.softmax(teacher)
    # Traced settings, one a member, as in a sweep.
    numbers = jnp.array([0.5, 0.9, 0.2, 1.0])
    calls = (
        (cross_entropy, student, labels),
        (cross_entropy, student, probabilities),
        (kl_divergence, student, teacher),
    )
    for loss, *arrays in calls:
        lifted = jax.jit(jax.vmap(loss))(*arrays, numbers)
        batched = loss(*arrays, float(numbers[0]))
        for k in range(4):
            alone = loss(*(v[k] for v in arrays), float(numbers[k]))
            _close(lifted[k], alone)
        _close(batched[0], lifted[0])


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, np.float32(0)])
def test_kl_divergence_refuses_a_temperature(value):
    with pytest.raises(
        InputError, match=r"temperature: found .*, allowed is a number in \(0"
    ):
        kl_divergence(jnp.zeros(3), jnp.zeros(3), value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_cross_entropy_refuses_a_smoothing(value):
    with pytest.raises(InputError, match=f"label_smoothing: found {value}, allowed"):
        cross_entropy(jnp.zeros(3), jnp.int32(0), value)


@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 100)), ((4, 10), (10,)), ((), ())]
)
def test_kl_divergence_refuses_shapes_when_traced(student, teacher):
    with pytest.raises(InputError, match="teacher_logits: found shape .*allowed is"):
        jax.eval_shape(kl_divergence, jnp.zeros(student), jnp.zeros(teacher))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ((4, 10), jnp.zeros((4, 10), int)),
        ((4, 10), jnp.zeros(4)),
        ((4, 10), jnp.zeros((4, 1), int)),
        ((4, 10), jnp.zeros((1, 10))),
        ((4, 10), jnp.int32(0)),
        ((), jnp.int32(0)),
    ],
)
def test_cross_entropy_refuses_shapes_when_traced(logits, labels):
    with pytest.raises(InputError, match="labels: found .*, allowed is "):
        jax.eval_shape(cross_entropy, jnp.zeros(logits), labels)


@pytest.mark.parametrize("shape", [(4,), (4, 10)])
def test_cross_entropy_refuses_other_labels(shape):
    with pytest.raises(InputError, match="labels: found dtype bool, allowed is "):
        cross_entropy(jnp.zeros((4, 10)), jnp.zeros(shape, bool))
