"""FADRM: its stages, its merges and its sizes against a plain loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering
from flax import linen as nn

from ddjax import models
from ddjax.distill import METHODS, Teacher, recover, synthesis
from ddjax.distill.fadrm import Fadrm, stages_of
from ddjax.distill.recover import Stage
from ddjax.distill.recovery import across_classes, form_of
from ddjax.errors import InputError
from ddjax.models.norm import BatchNorm

TOTAL = 5
RATE = 0.5  # so that what an Adam remembers is a matter of whole pixel values
OPTIONS = {"init": "random", "iterations": TOTAL, "batch": 3, "learning_rate": RATE}
ENTRY = recovering.entry("fadrm", fadrm=Fadrm(2, 0.3, (6, 8)), **OPTIONS)


class Pooled(nn.Module):
    """A network for images of all sizes."""

    @nn.compact
    def __call__(self, images, train=False, features=False):
        x = nn.relu(BatchNorm(train, name="norm")(nn.Conv(4, (3, 3))(images)))
        return nn.Dense(3)(x.mean((1, 2)))


@functools.cache
def teachers():
    network = models.Network(Pooled(), (8, 8, 1))
    shown = np.float32((recovering.images()[0] / 255 - recovering.MEAN) / 0.2)

    def made(seed):
        @jax.jit
        def trained(key):
            variables = network.init(key)
            return network.apply(variables, shown, train=True)[1]

        return Teacher(str(seed), network, trained(jax.random.key(seed)))

    return made(0), made(1)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(synthesis, "SEGMENT", 2)


def make(entry=ENTRY, **changes):
    task = recovering.task(**{"teachers": teachers()} | changes)
    return METHODS[entry.method].synthesise(task, entry)


@functools.cache
def usual():
    return make()


def test_stages_are_equally_long_and_merge_but_for_the_first():
    (batch,) = across_classes(10, 1, 100)
    sizes = (200, 224, 200, 224)
    entry = recovering.entry("fadrm", fadrm=Fadrm(4, 0.5, sizes), iterations=2000)
    keeps = (None, 0.5, 0.5, 0.5)
    assert stages_of(entry, batch) == tuple(
        Stage(500 * (i + 1), 10, sizes[i], keeps[i]) for i in range(4)
    )
    assert [stage.stop for stage in stages_of(ENTRY, batch)] == [2, 5]
    assert recover.lengths(stages_of(ENTRY, batch)) == [2, 3]


def bilinear(images, side):
    """PyTorch's, with align_corners=False: weights by distance, edges repeated."""
    height = images.shape[1]
    at = np.clip((np.arange(side) + 0.5) * height / side - 0.5, 0, height - 1)
    low = np.minimum(at.astype(int), height - 2)
    share = (at - low)[:, None, None]
    rows = (1 - share) * images[:, low] + share * images[:, low + 1]
    share = share[:, 0]
    return (1 - share) * rows[:, :, low] + share * rows[:, :, low + 1]


@pytest.mark.parametrize("side", [4, 6, 8, 13])
def test_images_are_resized_as_pytorch_does(side):
    images = recovering.noise()
    found = recover.resized(jnp.asarray(images), side)
    np.testing.assert_allclose(found, bilinear(images, side), atol=1e-5)


def slow_descent(start):
    """The published loop: two sizes, a merge, a new Adam, one cosine, turns."""
    task, form = recovering.task(), form_of(ENTRY.recover)
    targets = [synthesis.target_of(teacher) for teacher in teachers()]
    edges = [np.float32((x - recovering.MEAN) / recovering.STD) for x in (0, 1)]
    zero, options = np.float32(0), ENTRY.recover
    numbers = recover.Numbers(
        *(np.float32(x) for x in (RATE, 0.5, 0.9, options.bn_weight, 10, 1)),
        *[zero] * 5,
        roll=np.int32([-1, 1]),
        areas=jnp.full(TOTAL, options.area),
        low=edges[0],
        high=edges[1],
        seed=jax.random.randint(jax.random.split(task.key)[0], (), 0, 2**31 - 1),
    )

    @jax.jit
    def gradient(images, batch, target, t):
        def loss(images):
            state = recover.begin(form, images, (target,))
            given = (target,), numbers, state, batch, t
            return recover.synthesis_loss(form, (teachers()[0].network,), *given)[0]

        return jax.grad(loss)(images)

    found = np.zeros(start.shape)
    for batch in across_classes(3, 2, 3):
        patch = (start[batch.slots] / 255 - recovering.MEAN) / recovering.STD
        images = bilinear(patch, 6)
        for stage in ((0, 1), (2, 3, 4)):
            if stage[0]:
                images = 0.3 * bilinear(images, 8) + 0.7 * patch
            first = second = np.zeros(images.shape)
            for count, t in enumerate(stage, 1):
                given = batch, targets[t % 2], np.int32(t)
                grads = np.asarray(gradient(jnp.float32(images), *given))
                first = 0.5 * first + 0.5 * grads
                second = 0.9 * second + 0.1 * grads**2
                step = first / (1 - 0.5**count)
                step = step / (np.sqrt(second / (1 - 0.9**count)) + 1e-8)
                rate = RATE * 0.5 * (1 + np.cos(np.pi * t / TOTAL))
                images = np.clip(images - rate * step, *edges)
        found[batch.slots] = images
    return np.rint((found * recovering.STD + recovering.MEAN) * 255)


def test_the_descent_equals_a_plain_loop():
    places = np.searchsorted(recovering.task().ids, usual().sources[:, 0])
    off = np.abs(usual().images - slow_descent(recovering.images()[0][places]))
    assert np.mean(off > 1) < 0.02


@pytest.mark.parametrize("calls", [1, 2, 4])  # at the end of a stage, in it, of two
def test_resumed_equals_uninterrupted(calls, tmp_path):
    class Stopped(Exception):
        pass

    steps = []

    def stop(count):
        steps.append(count)
        if len(steps) == calls:
            raise Stopped

    with pytest.raises(Stopped):
        make(folder=tmp_path, progress=stop)
    resumed = make(folder=tmp_path, progress=steps.append)
    assert steps == [2, 2, 1] * 2
    np.testing.assert_array_equal(resumed.images, usual().images)
    assert resumed.info == usual().info
    assert resumed.cost.flops == usual().cost.flops


def test_equal_seeds_give_equal_images_and_cost_what_was_planned():
    found, other = make(), make(seed=1)
    np.testing.assert_array_equal(found.images, usual().images)
    assert np.mean(found.images != other.images) > 0.5
    # Teachers take turns, so that there is one pass of an image an iteration.
    assert found.cost.train_passes == TOTAL * 6 and found.cost.forward_passes == 0
    planned = METHODS["fadrm"].work(
        recovering.task(teachers=teachers()).outline(), ENTRY, 2
    )
    assert planned.train_passes == found.cost.train_passes
    assert planned.flops == pytest.approx(found.cost.flops)


@pytest.mark.slow
def test_one_stage_of_one_teacher_is_sre2l():
    options = OPTIONS | {"iterations": 2}
    one = recovering.entry("fadrm", fadrm=Fadrm(1), **options)
    plain = recovering.entry("sre2l", **options)
    found, expected = (make(entry, teachers=teachers()[:1]) for entry in (one, plain))
    np.testing.assert_array_equal(found.images, expected.images)


def test_what_cannot_be_synthesised_is_refused():
    def refuse(message, several=(), **options):
        entry = recovering.entry("fadrm", **OPTIONS | options)
        with pytest.raises(InputError, match=message):
            make(entry, teachers=several or teachers())

    refuse("recover.init: found 'noise', .* real images", init="noise")
    refuse("fadrm.stages: found 6, .* the 5 iterations", fadrm=Fadrm(6))
    for sizes in ((8,), (8, 6), (6, 8, 8)):
        wrong = r"fadrm.sizes: found \(.*\), .* each of 2 stages, the last being 8"
        refuse(wrong, fadrm=Fadrm(2, sizes=sizes))
    # Its last layer takes all pixels.
    flat = (recovering.teacher(),)
    says = "fadrm.sizes: found .* only 8, since 'teacher' takes images of one size"
    refuse(says, flat, fadrm=Fadrm(2, sizes=(6, 8)))
