"""G-VBSM, EDC and CV-DD: their statistics, averages and likeness against NumPy."""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering
from distill_recover_test import (
    BATCH,
    CROP_AND_FLIP,
    LOOKS,
    NETWORKS,
    noise,
    numbers,
)

from ddjax import mesh, models
from ddjax.distill import batches, recover, synthesis
from ddjax.distill.cv_dd import cv_dd
from ddjax.distill.edc import edc
from ddjax.distill.g_vbsm import g_vbsm
from ddjax.distill.likeness import likeness
from ddjax.distill.matching import moments_with_patches, smoothed
from ddjax.distill.statistics import measures_of, mixture, statistics_of

# One class a batch, or one image of all, so that there is one program a method.
SETTINGS = dataclasses.replace(
    recovering.SETTINGS, iterations=10, init="random", batch=3, flatness=1.0
)
METHODS = {"g_vbsm": g_vbsm, "edc": edc, "cv_dd": cv_dd}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 4)  # of 10 iterations


def two_teachers():
    return recovering.teacher(0, "one"), recovering.teacher(1, "two")


def make(name, settings=SETTINGS, start=None, **changes):
    changes = {"teachers": two_teachers()} | changes
    return METHODS[name](recovering.task(**changes), settings, start)


def enlarged(x, patch):
    """Bilinear, in one dimension after the other, with centres aligned."""
    for axis in (1, 2):
        old = x.shape[axis]
        new = -(-old // patch) * patch
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        left = np.floor(place).astype(int)
        right = np.minimum(left + 1, old - 1)
        shape = [1] * 4
        shape[axis] = new
        share = (place - left).reshape(shape)
        x = np.take(x, left, axis) * (1 - share) + np.take(x, right, axis) * share
    return x


@pytest.mark.parametrize("sides", [(8, 8), (7, 5)])
def test_moments_of_patches_equal_numpy(sides):
    x = np.random.default_rng(0).normal(size=(3, *sides, 2)).astype(np.float32)
    mean, var, patch_mean, patch_var = jax.jit(
        functools.partial(moments_with_patches, 4)
    )(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 1, 2)), rtol=1e-5)
    large = enlarged(x.astype(np.float64), 4)
    cells = [
        large[:, y : y + 4, c : c + 4] for y in range(0, 8, 4) for c in range(0, 8, 4)
    ]
    np.testing.assert_allclose(patch_mean, [c.mean() for c in cells], atol=1e-5)
    np.testing.assert_allclose(patch_var, [c.var() for c in cells], rtol=1e-4)


def test_average_of_statistics_by_hand_and_its_gradient():
    old = {"b": (jnp.array([4.0]), jnp.array([8.0]))}

    def seen(x, first):
        found = {"b": (x * jnp.ones(1), x * 2 * jnp.ones(1))}
        return smoothed(found, old, jnp.float32(0.75), first)

    now, kept = seen(1.0, False)
    # 0.75 * 4 + 0.25 * 1, and 0.75 * 8 + 0.25 * 2.
    assert (
        [float(a[0]) for a in now["b"]]
        == [3.25, 6.5]
        == [float(a[0]) for a in kept["b"]]
    )
    assert [float(a[0]) for a in seen(1.0, True)[0]["b"]] == [1.0, 2.0]
    slopes = jax.jacfwd(lambda x: seen(x, False))(1.0)
    assert [float(a[0]) for a in slopes[0]["b"]] == [1.0, 2.0]
    assert [float(a[0]) for a in slopes[1]["b"]] == [0.0, 0.0]


def eigenvalues(images, classes):
    """Of each class, [k,m]: 8 x 8 pooled to 32 x 32 repeats a pixel four times."""
    large = images.astype(np.float64).repeat(4, axis=1).repeat(4, axis=2)
    rows = large.reshape(classes, len(images) // classes, -1)
    return np.linalg.svd(rows, compute_uv=False) ** 2


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_likeness_equals_numpy_and_its_gradient_finite_differences():
    images = 0.1 * noise(3, size=6)
    value, gradient = jax.jit(jax.value_and_grad(likeness), static_argnums=1)(images, 2)
    wanted = log_softmax(eigenvalues(images, 2) / 4)

    def slow(moved):  # what is wanted is held still
        return np.sum(np.exp(wanted) * (wanted - log_softmax(eigenvalues(moved, 2))))

    np.testing.assert_allclose(value, slow(images), rtol=1e-3)
    direction, step = noise(4, size=6), 1e-5
    ways = (np.float64(images) + s * direction for s in (step, -step))
    up, down = map(slow, ways)
    slope = np.sum(np.float64(gradient) * direction)
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=1e-3)
    assert abs(slope) > 0.1


def test_likeness_of_one_image_a_class_is_nothing():
    value, gradient = jax.jit(jax.value_and_grad(likeness), static_argnums=1)(
        noise(), 3
    )
    assert float(value) == 0 and not np.any(gradient)


def pooled(rows, patch=4):
    """Statistics of some images of the pool, by the program and in one go."""
    teacher = recovering.teacher()
    arguments = (teacher.network, teacher.variables)
    pool = recovering.images()[0][rows]
    found = statistics_of(
        *arguments, pool, recovering.MEAN, recovering.STD, patch, chunk=5
    )
    shown = ((pool / 255 - recovering.MEAN) / recovering.STD).astype(np.float32)
    run = jax.jit(
        lambda x: teacher.network.inspect(teacher.variables, x, measures_of(patch))[1]
    )
    return found, run(shown)


def test_statistics_with_patches_are_those_of_all_images_together():
    found, expected = pooled(np.arange(12))
    assert found.keys() == expected.keys() and len(found) == 2
    for layer, rows in expected.items():
        for a, b in zip(found[layer], rows, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_mixture_of_classes_is_the_whole():
    rows = np.arange(12)
    parts = [pooled(rows[rows % 3 == c])[0] for c in range(2)] + [pooled([2])[0]]
    few = np.concatenate([rows[rows % 3 != 2], [2]])
    mixed = mixture(parts, [4, 4, 1])
    for layer, expected in pooled(np.sort(few))[0].items():
        for a, b in zip(mixed[layer], expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def with_conv_targets(look, seed):
    """A look that also remembers numbers of the convolution's input."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda x: NETWORKS[0].inspect(look.variables, x, measures_of(4))[1], noise()
    )
    drawn = {
        layer: tuple(rng.random(a.shape).astype(np.float32) for a in rows)
        for layer, rows in shapes.items()
    }
    return look._replace(statistics=(drawn | look.statistics[0], drawn))


FULL = recover.Form(
    CROP_AND_FLIP, patch=4, rotate=True, smooth=True, classes=3, flat=True
)
FULL_LOOKS = tuple(map(with_conv_targets, LOOKS, (0, 1)))


@functools.partial(jax.jit, static_argnums=0)
def full_loss(form, images, iteration, averages, slow, drop_rate=0.0):
    state = recover.begin(form, images, FULL_LOOKS)._replace(
        averages=averages, slow=slow
    )
    given = numbers(drop_rate=drop_rate)
    return recover.synthesis_loss(
        form, NETWORKS, FULL_LOOKS, given, state, BATCH, iteration
    )


def averages_of(value):
    looks = jax.tree.map(lambda a: np.full_like(a, value), FULL_LOOKS)
    return tuple(look.statistics[0] for look in looks)


@pytest.mark.parametrize("iteration", [1, 5])
def test_whole_loss_of_one_teacher_in_turn_equals_numpy(iteration):
    images, slow = noise(6), noise(7)
    total, (parts, kept) = full_loss(FULL, images, iteration, averages_of(0.5), slow)
    shown, shown_slow = (
        jax.jit(recover.views, static_argnums=0)(
            CROP_AND_FLIP, numbers(), x, BATCH.slots, iteration
        )
        for x in (images, slow)
    )
    look = FULL_LOOKS[1]  # of two, odd iterations
    ask = jax.jit(lambda x: NETWORKS[1].inspect(look.variables, x, measures_of(4)))
    (logits, measured), (slow_logits, _) = ask(shown), ask(shown_slow)
    momentum = 0.0 if iteration == 1 else 0.8  # its first turn, or a later one
    logs, slow_logs = (np.asarray(jax.nn.log_softmax(x)) for x in (logits, slow_logits))
    entropy = -np.mean(logs[np.arange(3), BATCH.labels])
    distance = 0.0
    # The convolution runs first.
    for weight, layer in zip((10, 1), ("features.0", "features.1"), strict=True):
        for wanted in look.statistics:
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


def test_gradient_of_the_whole_loss_equals_finite_differences():
    # At the first turn, where the average is what was measured.
    images, averages, slow = noise(8), averages_of(0.5), noise(9)
    slope_of = jax.jit(jax.grad(lambda x: full_loss(FULL, x, 0, averages, slow)[0]))
    gradient = np.asarray(slope_of(images))
    direction = noise(10) + 2 * gradient / gradient.std()
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
    given = noise(8), averages_of(0.5), ()
    every = [
        float(full_loss(form, given[0], t, *given[1:], drop_rate=rate)[1][0][1])
        for rate in (0.0, 0.5)
        for t in range(1, 9)
    ]
    kept = np.array(every[8:]) / every[:8]
    # There is one convolution: it is there, or only the batch norm is.
    assert 0 < np.sum(kept == 1) < 8 and np.all(kept[kept < 1] < 0.5)


def test_batches_of_whole_classes():
    found = batches.whole_classes(5, 3, 7)
    assert [b.labels.tolist() for b in found] == [
        [0] * 3 + [1] * 3,
        [2] * 3 + [3] * 3,
        [4] * 3,
    ]
    slots = np.concatenate([batch.slots for batch in found])
    np.testing.assert_array_equal(slots, np.arange(15))
    small = batches.whole_classes(5, 3, 2)
    assert [b.labels.tolist() for b in small[:3]] == [[0, 0], [0], [1, 1]]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_balanced_set_and_makes_it_again(name):
    made, again = make(name), make(name)
    assert made.images.shape == (6, 8, 8, 1) and made.images.dtype == np.uint8
    np.testing.assert_array_equal(made.labels, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(made.images, again.images)
    asked = 2 if name == "cv_dd" else 1
    assert made.cost.train_passes == 10 * 6 * asked
    assert made.cost.forward_passes == (0 if name == "cv_dd" else 12 * 2)
    own = {"g_vbsm": ["likeness"], "edc": ["flatness"], "cv_dd": []}[name]
    assert list(made.info) == ["cross_entropy", "statistics", *own]
    # Three images a batch in a forward and a backward pass are at least this much.
    assert made.cost.flops > made.cost.train_passes * 2 * 8 * 8 * 9 * 4 * 2


@pytest.mark.parametrize("name", ["g_vbsm", "edc"])
def test_resumed_equals_uninterrupted(name, tmp_path):
    class Stopped(Exception):
        pass

    def stop(steps):
        raise Stopped

    whole = make(name)
    for _ in range(5):  # the last in the second batch
        with pytest.raises(Stopped):
            make(name, folder=tmp_path, progress=stop)
    resumed = make(name, folder=tmp_path)
    np.testing.assert_array_equal(resumed.images, whole.images)
    assert resumed.info == whole.info
    assert resumed.cost.flops == whole.cost.flops > 0
    assert resumed.cost.train_passes == whole.cost.train_passes


class Recorded(Exception):
    """What `record` raises where images would be made."""


def record(monkeypatch, name, settings, **changes):
    """Returns the batches that a method would make, and its looks at each."""
    seen = []

    def recorded(task, settings, looks, every, *rest):
        seen.extend((batch, looks(batch, None)[1]) for batch in every)
        raise Recorded

    # The functions hide their modules.
    module = sys.modules[METHODS[name].__module__]
    monkeypatch.setattr(module, "synthesise", recorded)
    with pytest.raises(Recorded):
        make(name, settings, **changes)
    return seen


def test_edc_matches_the_classes_of_each_batch(monkeypatch):
    settings = dataclasses.replace(SETTINGS, batch=4)
    teacher = recovering.teacher()
    seen = record(monkeypatch, "edc", settings, teachers=(teacher,))
    (first, (look,)), (last, (last_look,)) = seen
    assert [b.labels.tolist() for b in (first, last)] == [[0, 0, 1, 1], [2, 2]]
    every = pooled(np.arange(12))[0] | models.running_moments(teacher.variables)
    classes = np.arange(12) % 3
    for found, members in ((look, classes < 2), (last_look, classes == 2)):
        whole, part = found.statistics
        for expected, target in (
            (every, whole),
            (pooled(np.flatnonzero(members))[0], part),
        ):
            for layer, rows in expected.items():
                for a, b in zip(target[layer], rows, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_cv_dd_draws_other_teachers_for_each_image_index(monkeypatch):
    def name(statistics):
        return float(statistics["features.1"][0][0])

    teachers = tuple(recovering.teacher(seed, str(seed)) for seed in range(3))
    own = [name(models.running_moments(teacher.variables)) for teacher in teachers]
    prior = dataclasses.replace(SETTINGS, prior=(50.0, 55.0, 60.0))
    seen = record(monkeypatch, "cv_dd", prior, teachers=teachers, ipc=4)
    pairs = []
    for batch, looks in seen:
        assert np.ptp(batch.slots % 4) == 0
        first, second = (own.index(name(look.statistics[0])) for look in looks)
        assert first < second
        pairs.append((first, second))
        ratio = float(looks[1].weight / looks[0].weight)
        np.testing.assert_allclose(ratio, np.exp(second - first), rtol=1e-4)
    assert len(pairs) == 4 and len(set(pairs)) > 1


@pytest.mark.slow
def test_several_devices_make_the_images_of_one(monkeypatch):
    settings = dataclasses.replace(SETTINGS, iterations=4)
    alone = make("cv_dd", settings)
    # Three of a CPU's devices share a batch of three, as accelerators do.
    onto = mesh.mesh_of(1, 3, jax.devices()[:3])
    monkeypatch.setattr(mesh, "grid", lambda batch: onto)
    spread = make("cv_dd", settings)
    # But for rounding, to which Adam's first steps answer where a gradient is nothing.
    off = np.abs(spread.images.astype(int) - alone.images)
    assert np.mean(off > 1) < 0.02
    for name, curve in spread.info.items():
        np.testing.assert_allclose(curve, alone.info[name], rtol=1e-3)
