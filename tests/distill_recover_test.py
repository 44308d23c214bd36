"""The synthesis kernel: its views, its loss and its steps, against plain versions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import models
from ddjax.data.augment import Recipe
from ddjax.distill import recover
from ddjax.distill.synthesis import look_at

NETWORK = recovering.NETWORK
BATCH = recover.Batch(np.array([4, 1, 2], np.int32), np.array([2, 0, 1], np.int32))
PLAIN, CROP_AND_FLIP = Recipe(), Recipe(resized_crop=(0.5, 1.0), flip=True)
TOTAL = 6


def numbers(**changes):
    low, high = ((x - recovering.MEAN) / recovering.STD for x in (0.0, 1.0))
    found = {
        "learning_rate": 0.3,
        "beta1": 0.5,
        "beta2": 0.9,
        "bn_weight": 0.1,
        "first_bn": 10.0,
        "var_weight": 2.0,
        "momentum": 0.8,
        "drop_rate": 0.0,
        "likeness": 3.0,
        "flatness": 5.0,
        "flatness_momentum": 0.9,
        "roll": np.array([-1, 1], np.int32),
        "areas": jnp.full(TOTAL, 0.3),
        "low": low.astype(np.float32),
        "high": high.astype(np.float32),
        "seed": np.int32(7),
    }
    return recover.Numbers(**found | changes)


def noise(seed=0, size=3):
    shape = (size, *NETWORK.image_shape)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


views = jax.jit(recover.views, static_argnums=0)
LOOKS = (look_at(recovering.teacher(0), 0.75), look_at(recovering.teacher(1), 0.25))
NETWORKS = (NETWORK, NETWORK)


STILL = recover.Form(PLAIN)
CROPPED = recover.Form(CROP_AND_FLIP)


@functools.partial(jax.jit, static_argnums=0)
def loss(form, images, iteration=0, slow=()):
    """The loss, its parts and the new averages, from averages of ones."""
    begun = recover.begin(form, images, LOOKS)
    averages = jax.tree.map(jnp.ones_like, begun.averages)
    begun = begun._replace(averages=averages, slow=slow if form.flat else ())
    given = numbers(roll=np.zeros(2, np.int32))
    return recover.synthesis_loss(form, NETWORKS, LOOKS, given, begun, BATCH, iteration)


def slow_loss(images):
    """By hand: what the network says, the moments of what enters its norm."""
    entropy = distance = 0.0
    for look, weight in zip(LOOKS, (0.75, 0.25), strict=True):
        logits, inputs = jax.jit(
            lambda v: NETWORK.inspect(v, images, {"norm": lambda x: x})  # noqa: B023
        )(look.variables)
        logits = np.asarray(logits, np.float64)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        entropy -= weight * np.mean([logs[i, c] for i, c in enumerate(BATCH.labels)])
        (name,) = inputs
        flat = np.asarray(inputs[name], np.float64).reshape(-1, 4)
        mean, var = models.running_moments(look.variables)[name]
        gaps = flat.mean(0) - mean, flat.var(0) - var
        lengths = [np.linalg.norm(gap) for gap in gaps]
        distance += weight * 10.0 * (lengths[0] + 2.0 * lengths[1])
    return entropy, distance


def test_loss_of_a_committee_equals_numpy():
    total, (parts, _) = loss(STILL, noise())
    entropy, distance = slow_loss(noise())
    np.testing.assert_allclose(parts, [entropy, distance, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(total, entropy + 0.1 * distance, rtol=1e-4)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def whole(images, iteration):
    """The loss of what teachers see of images, its parts, and the gradient."""
    begun = recover.begin(CROPPED, images, LOOKS)
    total, (parts, _) = recover.synthesis_loss(
        CROPPED, NETWORKS, LOOKS, numbers(), begun, BATCH, iteration
    )
    return total, parts


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_whole_loss_equals_finite_differences(seed):
    # In single precision, in which batch norms are measured.
    images = noise(seed + 1)
    gradient = np.asarray(whole(images, seed)[1])
    # A direction that is not the gradient's but goes up.
    direction = noise(seed + 20) + 2 * gradient / gradient.std()
    step = np.float32(2e-3)
    up, down = (whole(images + s * direction, seed)[0][0] for s in (step, -step))
    slope = np.sum(gradient * direction, dtype=np.float64)
    assert slope > 0.1
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0.01)


def test_views_without_crop_and_roll_are_the_images():
    still = numbers(roll=np.zeros(2, np.int32))
    shown = views(PLAIN, still, noise(size=300), np.arange(300), 0)
    np.testing.assert_array_equal(shown, noise(size=300))
    whole = still._replace(areas=jnp.ones(TOTAL))
    crop = Recipe(resized_crop=(0.5, 1.0))
    np.testing.assert_array_equal(views(crop, whole, noise(), BATCH.slots, 0), noise())


def test_views_hang_on_the_slot_and_the_iteration_not_on_the_batch():
    same = np.tile(noise(size=1), (3, 1, 1, 1))
    shown = np.asarray(views(CROP_AND_FLIP, numbers(), same, BATCH.slots, 3))
    turned = views(CROP_AND_FLIP, numbers(), same, BATCH.slots[[2, 0, 1]], 3)
    np.testing.assert_array_equal(turned, shown[[2, 0, 1]])
    assert all(np.abs(shown[i] - shown[j]).max() > 0.1 for i, j in ((0, 1), (1, 2)))
    later = views(CROP_AND_FLIP, numbers(), same, BATCH.slots, 4)
    assert np.abs(later - shown).max((1, 2, 3)).min() > 0.1


def test_views_take_the_area_of_their_iteration():
    areas = jnp.ones(TOTAL).at[2].set(0.1)
    given = numbers(roll=np.zeros(2, np.int32), areas=areas)
    crop = Recipe(resized_crop=(0.5, 1.0))
    for iteration in range(TOTAL):
        shown = views(crop, given, noise(), BATCH.slots, iteration)
        assert np.array_equal(shown, noise()) == (iteration != 2)


@pytest.mark.parametrize("lowest", [-1, 0])
def test_views_roll_evenly_over_their_range(lowest):
    point = np.zeros((1, *NETWORK.image_shape), np.float32)
    point[0, 3, 3, 0] = 1
    given = numbers(roll=np.array([lowest, 1], np.int32))
    shown = views(PLAIN, given, np.tile(point, (300, 1, 1, 1)), np.arange(300), 0)
    places = np.argwhere(np.asarray(shown)[..., 0])[:, 1:] - 3
    counts = np.unique(places, axis=0, return_counts=True)[1]
    assert len(places) == 300 and set(places.ravel()) == set(range(lowest, 2))
    assert len(counts) == (2 - lowest) ** 2
    assert counts.min() > 0.5 * 300 / len(counts)


def slow_advance(images, stop):
    """Adam by its definition, with a cosine, and clipped."""
    first = second = np.zeros_like(images, np.float64)
    every = []
    for t in range(stop):
        (_, parts), grads = whole(images.astype(np.float32), t)
        every.append(np.asarray(parts))
        grads = np.asarray(grads, np.float64)
        first = 0.5 * first + 0.5 * grads
        second = 0.9 * second + 0.1 * grads**2
        steps = first / (1 - 0.5 ** (t + 1))
        steps = steps / (np.sqrt(second / (1 - 0.9 ** (t + 1))) + 1e-8)
        rate = 0.3 * 0.5 * (1 + np.cos(np.pi * t / TOTAL))
        images = np.clip(images - rate * steps, numbers().low, numbers().high)
    return images, np.mean(every, axis=0)


def begun(seed):
    return recover.begin(CROPPED, noise(seed), LOOKS)


def run(state, stop, given):
    return recover.advance(
        NETWORKS, CROPPED, state, BATCH, LOOKS, given, np.int32(stop)
    )


def test_advance_equals_adam_by_hand():
    state, parts = run(begun(5), 4, numbers())
    expected, expected_parts = slow_advance(noise(5), 4)
    np.testing.assert_allclose(parts, expected_parts, rtol=1e-3)
    # Adam's first steps hardly see the size of a gradient, so rounding may turn some.
    off = np.abs(np.asarray(state.images) - expected)
    assert np.median(off) < 1e-5 and np.mean(off > 1e-3) < 0.01
    assert int(state.adam.count) == 4


def test_advance_stays_among_pixels():
    state, _ = run(begun(5), 4, numbers(learning_rate=5.0))
    pixels = np.asarray(state.images) * recovering.STD + recovering.MEAN
    np.testing.assert_allclose([pixels.min(), pixels.max()], [0, 1], atol=1e-6)


def test_advance_in_parts_is_the_same_to_the_bit():
    given = numbers()
    whole, _ = run(begun(6), TOTAL, given)
    parts = begun(6)
    for stop in (0, 1, 4, 4, TOTAL):
        parts, _ = run(parts, stop, given)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)
