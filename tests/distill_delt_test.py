"""DELT: its rounds, its start images, and its descent against a plain loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import mesh
from ddjax.distill import METHODS, patches, recover, synthesis
from ddjax.distill.delt import Delt, by_index, rounds_of
from ddjax.distill.recovery import form_of
from ddjax.distill.sre2l import curriculum
from ddjax.errors import InputError

TOTAL, ROUNDS = 6, 2
ENTRY = recovering.entry("delt", delt=Delt(ROUNDS), iterations=TOTAL)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 2)


def make(entry=ENTRY, **changes):
    return METHODS["delt"].synthesise(recovering.task(**changes), entry)


@functools.cache
def usual():
    return make()


def test_the_images_that_join_first_are_the_first_of_a_batch():
    first, last = by_index(3, 4, 8)
    assert first.slots.tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert first.labels.tolist() == [0, 1] * 4
    assert last.slots.tolist() == [8, 9, 10, 11]
    # A class that does not fit is divided, and each part has all rounds.
    parts = by_index(2, 5, 3)
    assert [batch.slots.tolist() for batch in parts[:2]] == [[0, 1, 2], [3, 4]]


def rounds(rounds, iterations, classes, ipc):
    entry = recovering.entry("delt", delt=Delt(rounds), iterations=iterations)
    (batch,) = by_index(classes, ipc, classes * ipc)
    return [(stage.stop, stage.rows) for stage in rounds_of(entry, batch)]


def test_rounds_are_those_of_the_published_code():
    # 4,000 iterations in rounds of 500: at IPC 10 groups of 2, 2, 1, 1, 1, 1, 1, 1.
    joined = [2, 4, 5, 6, 7, 8, 9, 10]
    expected = [(500 * (r + 1), 10 * n) for r, n in enumerate(joined)]
    assert rounds(8, 4000, 10, 10) == expected
    # No image joins after the third round, which therefore lasts to the end.
    assert rounds(8, 4000, 2, 3) == [(500, 2), (1000, 4), (4000, 6)]
    assert rounds(8, 4000, 5, 1) == [(4000, 5)]
    assert rounds(3, 7, 1, 3) == [(2, 1), (4, 2), (7, 3)]


def probabilities(task):
    teacher = task.teachers[0]
    shown = (task.images / 255 - task.mean) / task.std
    logits, _ = jax.jit(teacher.network.apply)(teacher.variables, np.float32(shown))
    powers = np.exp(np.asarray(logits, np.float64))
    return (powers / powers.sum(1, keepdims=True))[np.arange(12), task.labels]


@pytest.mark.parametrize("ipc, ranks", [(2, [2, 3]), (4, [2, 3, 1, 0])])
def test_start_images_are_those_around_the_median(ipc, ranks):
    task = recovering.task(ipc=ipc)
    found, scores = patches.median_images(task), probabilities(task)
    expected = []
    for label in range(3):
        members = np.flatnonzero(task.labels == label)
        expected += members[np.argsort(scores[members])][ranks].tolist()
    np.testing.assert_array_equal(found.sources[:, 0], task.ids[expected])
    np.testing.assert_array_equal(found.images, task.images[expected])


def slow_descent():
    """All images in one array; those that have not joined get no gradient."""
    task, form = recovering.task(), form_of(ENTRY.recover)
    (batch,) = by_index(3, 2, 100)
    target = synthesis.target_of(task.teachers[0])
    start = patches.median_images(task)
    edges = [np.float32((x - recovering.MEAN) / recovering.STD) for x in (0, 1)]
    zero, options = np.float32(0), ENTRY.recover
    numbers = recover.Numbers(
        *(np.float32(x) for x in (0.1, 0.5, 0.9, options.bn_weight, 10, 1)),
        *[zero] * 5,
        roll=np.int32([-1, 1]),
        areas=jnp.float32(curriculum(ENTRY)),
        low=edges[0],
        high=edges[1],
        seed=jax.random.randint(jax.random.split(task.key)[0], (), 0, 2**31 - 1),
    )

    @jax.jit
    def gradient(images, rows, t):
        def loss(images):
            state = recover.begin(form, images, (target,))
            arguments = (target,), numbers, state, rows, t
            return recover.synthesis_loss(form, (recovering.NETWORK,), *arguments)[0]

        return jax.grad(loss)(images)

    images = (start.images[batch.slots] / 255 - recovering.MEAN) / recovering.STD
    first = second = np.zeros(images.shape)
    for t in range(TOTAL):
        count = 3 if t < TOTAL // ROUNDS else 6
        grads, rows = np.zeros(images.shape), jax.tree.map(lambda a: a[:count], batch)  # noqa: B023
        grads[:count] = gradient(jnp.float32(images[:count]), rows, np.int32(t))
        first, second = 0.5 * first + 0.5 * grads, 0.9 * second + 0.1 * grads**2
        step = first / (1 - 0.5 ** (t + 1))
        step = step / (np.sqrt(second / (1 - 0.9 ** (t + 1))) + 1e-8)
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * t / TOTAL))
        images = np.clip(images - rate * step, *edges)
    pixels = np.rint((images * recovering.STD + recovering.MEAN) * 255)
    return pixels[np.argsort(batch.slots)]


def test_the_descent_equals_a_plain_loop():
    off = np.abs(usual().images - slow_descent())
    assert np.mean(off > 1) < 0.02
    start = patches.median_images(recovering.task()).images.astype(int)
    moved = np.abs(usual().images - start).mean((1, 2, 3))
    # Slots of one class stand together, the second joins half way.
    assert np.all(moved[::2] > 1.3 * moved[1::2]) and moved.min() > 1


@pytest.mark.parametrize("calls", [1, 2, 3])  # in a round, at its end, in the next
def test_resumed_equals_uninterrupted(calls, tmp_path):
    class Stopped(Exception):
        pass

    steps = []

    def stop(count):
        steps.append(count)
        if len(steps) == 1 + calls:
            raise Stopped

    with pytest.raises(Stopped):
        make(folder=tmp_path, progress=stop)
    resumed = make(folder=tmp_path, progress=steps.append)
    # Each call predicts the 12 images of the pool first.
    assert [count for count in steps if count != 12] == [2, 1, 2, 1]
    np.testing.assert_array_equal(resumed.images, usual().images)
    assert resumed.info == usual().info
    assert resumed.cost.flops == usual().cost.flops
    other = recovering.entry("delt", delt=Delt(3), iterations=TOTAL)
    with pytest.raises(InputError, match="belongs to another synthesis"):
        make(other, folder=tmp_path)


def test_equal_seeds_give_equal_images_and_cost_what_was_planned():
    found, other = make(), make(seed=1)
    np.testing.assert_array_equal(found.images, usual().images)
    assert np.mean(found.images != other.images) > 0.5
    # 3 images of the first round, 6 of the second; the pool is scored once.
    assert found.cost.train_passes == 3 * 3 + 3 * 6
    assert found.cost.forward_passes == 12
    planned = METHODS["delt"].work(recovering.task().outline(), ENTRY, 2)
    assert planned.train_passes == found.cost.train_passes
    assert planned.forward_passes == found.cost.forward_passes
    assert planned.flops == pytest.approx(found.cost.flops)


def test_one_round_is_cda():
    one = recovering.entry("delt", delt=Delt(1), iterations=TOTAL, batch=3)
    cda = recovering.entry("cda", init="median", iterations=TOTAL, batch=3)
    # Slots of one image a class, in the same batches.
    found, expected = (
        METHODS[entry.method].synthesise(recovering.task(ipc=1), entry)
        for entry in (one, cda)
    )
    np.testing.assert_array_equal(found.images, expected.images)


def test_what_cannot_be_synthesised_is_refused():
    def refuse(message, ipc=2, shape=None, **options):
        entry = recovering.entry("delt", **{"iterations": TOTAL, **options})
        changes = {} if shape is None else {"images": np.zeros(shape, np.uint8)}
        with pytest.raises(InputError, match=message):
            make(entry, ipc=ipc, **changes)

    refuse("delt.rounds: found 7, .* the 6 iterations", delt=Delt(7))
    refuse("recover.area: found 1.0", delt=Delt(2), area=1.0)
    few = "recover.init: found 'median', .* 4 real images"
    refuse(few, ipc=5, delt=Delt(2))
    refuse("found images of 8 x 6 pixels", shape=(12, 8, 6, 1), delt=Delt(2))


@pytest.mark.slow
def test_several_devices_give_the_images_of_one(monkeypatch):
    alone, onto = usual(), mesh.mesh_of(1, 3, jax.devices()[:3])
    monkeypatch.setattr(mesh, "grid", lambda batch: onto)
    off = np.abs(make().images.astype(int) - alone.images)
    assert np.mean(off > 1) < 0.02
