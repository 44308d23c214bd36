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
from ddjax.distill.statistics import measures_of
from ddjax.distill.synthesis import target_of

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


views = jax.jit(recover.views, static_argnums=0)
TARGETS = tuple(
    target_of(recovering.teacher(seed))._replace(weight=jnp.float32(weight))
    for seed, weight in enumerate((0.75, 0.25))
)
NETWORKS = (NETWORK, NETWORK)


STILL = recover.Form(PLAIN)
CROPPED = recover.Form(CROP_AND_FLIP)


@functools.partial(jax.jit, static_argnums=0)
def loss(form, images, iteration=0, slow=()):
    """The loss, its parts and the new averages, from averages of ones."""
    begun = recover.begin(form, images, TARGETS)
    averages = jax.tree.map(jnp.ones_like, begun.averages)
    begun = begun._replace(averages=averages, slow=slow if form.flat else ())
    given = numbers(roll=np.zeros(2, np.int32))
    return recover.synthesis_loss(
        form, NETWORKS, TARGETS, given, begun, BATCH, iteration
    )


def slow_loss(images):
    """By hand: what the network says, the moments of what enters its norm."""
    entropy = distance = 0.0
    for target, weight in zip(TARGETS, (0.75, 0.25), strict=True):
        logits, inputs = jax.jit(
            lambda v: NETWORK.inspect(v, images, {"norm": lambda x: x})  # noqa: B023
        )(target.variables)
        logits = np.asarray(logits, np.float64)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        entropy -= weight * np.mean([logs[i, c] for i, c in enumerate(BATCH.labels)])
        (name,) = inputs
        flat = np.asarray(inputs[name], np.float64).reshape(-1, 4)
        mean, var = models.running_moments(target.variables)[name]
        gaps = flat.mean(0) - mean, flat.var(0) - var
        lengths = [np.linalg.norm(gap) for gap in gaps]
        distance += weight * 10.0 * (lengths[0] + 2.0 * lengths[1])
    return entropy, distance


def test_loss_of_an_ensemble_equals_numpy():
    total, (parts, _) = loss(STILL, recovering.noise())
    entropy, distance = slow_loss(recovering.noise())
    np.testing.assert_allclose(parts, [entropy, distance, 0, 0], rtol=1e-4)
    np.testing.assert_allclose(total, entropy + 0.1 * distance, rtol=1e-4)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def whole(images, iteration):
    """The loss of what teachers see of images, its parts, and the gradient."""
    begun = recover.begin(CROPPED, images, TARGETS)
    total, (parts, _) = recover.synthesis_loss(
        CROPPED, NETWORKS, TARGETS, numbers(), begun, BATCH, iteration
    )
    return total, parts


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_whole_loss_equals_finite_differences(seed):
    # In single precision, in which batch norms are measured.
    images = recovering.noise(seed + 1)
    gradient = np.asarray(whole(images, seed)[1])
    # A direction that is not the gradient's but goes up.
    direction = recovering.noise(seed + 20) + 2 * gradient / gradient.std()
    step = np.float32(2e-3)
    up, down = (whole(images + s * direction, seed)[0][0] for s in (step, -step))
    slope = np.sum(gradient * direction, dtype=np.float64)
    assert slope > 0.1
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0.01)


def test_views_without_crop_and_roll_are_the_images():
    still = numbers(roll=np.zeros(2, np.int32))
    shown = views(PLAIN, still, recovering.noise(size=300), np.arange(300), 0)
    np.testing.assert_array_equal(shown, recovering.noise(size=300))
    whole = still._replace(areas=jnp.ones(TOTAL))
    crop = Recipe(resized_crop=(0.5, 1.0))
    np.testing.assert_array_equal(
        views(crop, whole, recovering.noise(), BATCH.slots, 0), recovering.noise()
    )


def test_views_hang_on_the_slot_and_the_iteration_not_on_the_batch():
    same = np.tile(recovering.noise(size=1), (3, 1, 1, 1))
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
        shown = views(crop, given, recovering.noise(), BATCH.slots, iteration)
        assert np.array_equal(shown, recovering.noise()) == (iteration != 2)


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
    return recover.begin(CROPPED, recovering.noise(seed), TARGETS)


def run(state, stop, given):
    return recover.advance(
        NETWORKS, CROPPED, state, BATCH, TARGETS, given, np.int32(stop)
    )


def test_advance_equals_adam_by_hand():
    state, parts = run(begun(5), 4, numbers())
    expected, expected_parts = slow_advance(recovering.noise(5), 4)
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


def with_conv_targets(target, seed):
    """A target that also has numbers of the convolution's input."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda x: NETWORKS[0].inspect(target.variables, x, measures_of(4))[1],
        recovering.noise(),
    )
    drawn = {
        layer: tuple(rng.random(a.shape).astype(np.float32) for a in rows)
        for layer, rows in shapes.items()
    }
    return target._replace(statistics=(drawn | target.statistics[0], drawn))


FULL = recover.Form(
    CROP_AND_FLIP, patch=4, rotate=True, smooth=True, classes=3, flat=True
)
FULL_TARGETS = tuple(map(with_conv_targets, TARGETS, (0, 1)))


@functools.partial(jax.jit, static_argnums=0)
def full_loss(form, images, iteration, averages, slow, drop_rate=0.0):
    state = recover.begin(form, images, FULL_TARGETS)._replace(
        averages=averages, slow=slow
    )
    given = numbers(drop_rate=drop_rate)
    return recover.synthesis_loss(
        form, NETWORKS, FULL_TARGETS, given, state, BATCH, iteration
    )


def averages_of(value):
    targets = jax.tree.map(lambda a: np.full_like(a, value), FULL_TARGETS)
    return tuple(target.statistics[0] for target in targets)


@pytest.mark.parametrize("iteration", [1, 5])
def test_whole_loss_of_one_teacher_in_turn_equals_numpy(iteration):
    images, slow = recovering.noise(6), recovering.noise(7)
    total, (parts, kept) = full_loss(FULL, images, iteration, averages_of(0.5), slow)
    shown, shown_slow = (
        jax.jit(recover.views, static_argnums=0)(
            CROP_AND_FLIP, numbers(), x, BATCH.slots, iteration
        )
        for x in (images, slow)
    )
    target = FULL_TARGETS[1]  # of two, odd iterations
    ask = jax.jit(lambda x: NETWORKS[1].inspect(target.variables, x, measures_of(4)))
    (logits, measured), (slow_logits, _) = ask(shown), ask(shown_slow)
    momentum = 0.0 if iteration == 1 else 0.8  # its first turn, or a later one
    logs, slow_logs = (np.asarray(jax.nn.log_softmax(x)) for x in (logits, slow_logits))
    entropy = -np.mean(logs[np.arange(3), BATCH.labels])
    distance = 0.0
    # The convolution runs first.
    for weight, layer in zip((10, 1), ("features.0", "features.1"), strict=True):
        for wanted in target.statistics:
            for place, now in enumerate(measured[layer]):
                now = momentum * 0.5 + (1 - momentum) * np.asarray(now)
                gap = np.linalg.norm(now - wanted[layer][place])
                distance += 0.5 * weight * (2.0 if place % 2 else 1.0) * gap
    logs, slow_logs = (
        np.asarray(jax.nn.log_softmax(x / 4)) for x in (logits, slow_logits)
    )
    flat = np.mean(np.sum(np.exp(slow_logs) * (slow_logs - logs), axis=1))
    share = np.array([entropy, distance, 0.0, flat])  # one image a class: no likeness
    np.testing.assert_allclose(parts, 0.25 * share, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(total, 0.25 * (share * [1, 0.1, 3, 5]).sum(), rtol=2e-4)
    # The other teacher's average is as it was.
    for leaf in jax.tree.leaves(kept[0]):
        np.testing.assert_array_equal(leaf, np.full_like(leaf, 0.5))
    new = momentum * 0.5 + (1 - momentum) * np.asarray(measured["features.0"][3])
    np.testing.assert_allclose(kept[1]["features.0"][3], new, rtol=1e-4)


def test_gradient_of_all_terms_equals_finite_differences():
    # At the first turn, where the average is what was measured.
    images, averages, slow = recovering.noise(8), averages_of(0.5), recovering.noise(9)
    slope_of = jax.jit(jax.grad(lambda x: full_loss(FULL, x, 0, averages, slow)[0]))
    gradient = np.asarray(slope_of(images))
    direction = recovering.noise(10) + 2 * gradient / gradient.std()
    step = np.float32(2e-3)
    up, down = (
        full_loss(FULL, images + s * direction, 0, averages, slow)[0]
        for s in (step, -step)
    )
    slope = np.sum(gradient * direction, dtype=np.float64)
    assert slope > 0.1
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0.01)


def test_convolutions_are_left_out_at_the_drop_rate():
    form = FULL._replace(flat=False, rotate=False)
    given = recovering.noise(8), averages_of(0.5), ()
    every = [
        float(full_loss(form, given[0], t, *given[1:], drop_rate=rate)[1][0][1])
        for rate in (0.0, 0.5)
        for t in range(1, 9)
    ]
    kept = np.array(every[8:]) / every[:8]
    # There is one convolution: it is there, or only the batch norm is.
    assert 0 < np.sum(kept == 1) < 8 and np.all(kept[kept < 1] < 0.5)
