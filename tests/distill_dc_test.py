"""DC and DSA: an iteration against a plain loop; training on the set; refusals.

Letters: C classes, B real and I synthetic images of a class, M synthetic images.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from distill_match_test import COUNTS, SIDE, task_of

from ddjax import distill, models
from ddjax.distill.dc import Dc, Dsa
from ddjax.distill.match.inner import Trainer
from ddjax.distill.match.real import real_images
from ddjax.distill.match.siamese import augmented, siamese
from ddjax.errors import InputError
from ddjax.process import ending
from ddjax.train.flops import flops

CLASSES, IPC = len(COUNTS), 2
SMALL = {"iterations": 3, "real": 4, "outer": 3, "inner": 2, "train_batch": 4}


@dataclasses.dataclass(frozen=True)
class Entry:
    dc: Dc = Dc(**SMALL)
    dsa: Dsa = Dsa(**SMALL)
    teachers: tuple = ()


def step_of(task, name="dsa", entry=None):
    return distill.METHODS[name].step(task.outline(), entry or Entry(), task.ipc)


def cross_entropy(network, variables, params, images, labels, train=False):
    logits, new = network.apply(variables | {"params": params}, images, train=train)
    own = jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]
    return -own.mean(), new


def plain_iteration(step, images, real, key):
    """An iteration as DC's main.py has it, gradients by reverse over reverse mode."""
    options, network = step.options, step.network

    @jax.jit
    def of_class(variables, key, known, own, label):
        def gradient(images):
            labels = jnp.full(len(images), label)
            return jax.grad(
                lambda params: cross_entropy(
                    network, variables, params, images, labels
                )[0]
            )(variables["params"])

        def distance(own):
            shown, seen = siamese(options.augment, key, own, known)
            total = 0.0
            leaves = jax.tree.leaves(gradient(jax.lax.stop_gradient(seen)))
            for a, b in zip(leaves, jax.tree.leaves(gradient(shown)), strict=True):
                for row in range(a.shape[-1] if a.ndim > 1 else 0):
                    x, y = a[..., row].ravel(), b[..., row].ravel()
                    lengths = jnp.sqrt(x @ x) * jnp.sqrt(y @ y)
                    total += 1 - x @ y / (lengths + 1e-6)
            return total

        return jax.value_and_grad(distance)(own)

    @jax.jit
    def sgd(variables, images, labels):
        def loss(params):
            return cross_entropy(network, variables, params, images, labels, True)

        gradient, new = jax.grad(loss, has_aux=True)(variables["params"])
        moved = jax.tree.map(
            lambda w, g: w - options.train_rate * g, variables["params"], gradient
        )
        return new | {"params": moved}

    init_key, key = jax.random.split(key)
    variables = network.init(init_key)
    velocity, losses = np.zeros(images.shape), []
    labels = np.repeat(np.arange(CLASSES), IPC)
    for number, outer_key in enumerate(jax.random.split(key, options.outer)):
        match_key, train_key = jax.random.split(outer_key)
        moments_key, real_key, class_key = jax.random.split(match_key, 3)
        if "batch_stats" in variables:
            few = real.draw(moments_key, options.real)
            few = few.reshape(-1, *few.shape[2:])
            variables = network.apply(variables, few, train=True)[1]
        drawn, gradient, total = real.draw(real_key, options.real), [], 0.0
        for label, one in enumerate(jax.random.split(class_key, CLASSES)):
            own = images[IPC * label : IPC * (label + 1)]
            loss, slope = of_class(variables, one, drawn[label], own, label)
            gradient.append(slope)
            total += loss
        losses.append(total)
        velocity = options.momentum * velocity + np.concatenate(gradient)
        images = images - options.learning_rate * velocity
        if number + 1 < options.outer:
            for epoch_key in jax.random.split(train_key, options.inner):
                order_key, batch_key = jax.random.split(epoch_key)
                order = jax.random.permutation(order_key, len(labels))
                last_key, batch_key = jax.random.split(batch_key)
                keys = [*jax.random.split(batch_key, len(labels) // 4), last_key]
                for first, one in zip(range(0, len(labels), 4), keys, strict=True):
                    rows = order[first : first + 4]
                    shown = augmented(options.augment, one, images[rows])
                    variables = sgd(variables, shown, labels[rows])
    return images, np.mean(losses)


@pytest.mark.parametrize(
    ("name", "norm", "operations", "outer"),
    [
        ("dc", "instance", (), 1),
        pytest.param("dsa", "none", ("rotate", "color"), 3, marks=pytest.mark.slow),
        pytest.param("dc", "batch", (), 3, marks=pytest.mark.slow),
    ],
)
def test_an_iteration_is_that_of_a_plain_loop(name, norm, operations, outer):
    network = models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1), width=3, norm=norm)
    task, entry = task_of(student=network), Entry()
    options = getattr(entry, name)
    options = dataclasses.replace(options, augment=operations, outer=outer)
    entry = dataclasses.replace(entry, **{name: options})
    step, real = step_of(task, name, entry), real_images(task)
    shape = (CLASSES * IPC, SIDE, SIDE, 1)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    state = step.begin(jax.random.key(0), images, None)
    state, loss = jax.jit(step)(state, real, jax.random.key(7))
    expected, mean = plain_iteration(step, images, real, jax.random.key(7))
    np.testing.assert_allclose(loss, mean, rtol=1e-3)
    moved = np.abs(expected - images)
    apart = np.abs(state["images"] - expected)
    # Masks of ReLU may switch by rounding, so that single pixels differ.
    assert np.median(apart) < 1e-4 * moved.max() and moved.max() > 1e-4
    assert (apart < 0.02 * moved.max()).mean() > 0.95


def test_repetitions_are_counted_as_often_as_they_are_done():
    task = task_of(student=models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1)))
    step, real = step_of(task, "dc"), real_images(task)
    images = jnp.zeros((CLASSES * IPC, SIDE, SIDE, 1))
    state = step.begin(jax.random.key(0), images, None)
    trainer = Trainer(step.network, 0.01)
    labels = jnp.repeat(jnp.arange(CLASSES), IPC)

    def unrolled(variables, key):
        trained, total = trainer.begin(variables), 0.0
        for _ in range(3):
            places = real.choose(jax.random.fold_in(key, 0), 4)
            for label in range(CLASSES):
                own = images[:IPC]
                one = jax.random.fold_in(key, 1)
                found = step._class(variables, real, label, places[label], own, one)
                total += found[0] + found[1].sum()
        for _ in range(2 * 2):
            trained = trainer.step(trained, images[:4], labels[:4])
            trained = trainer.step(trained, images[4:], labels[4:])
        return trained, total

    expected = flops(unrolled, step.network.init(jax.random.key(0)), jax.random.key(1))
    counted = flops(jax.jit(step), state, real, jax.random.key(1))
    found = step.flops(counted, state, real)
    assert found == pytest.approx(expected, rel=0.03)
    assert counted < 0.4 * expected


@pytest.mark.slow
def test_a_set_is_resumed_and_costs_what_was_planned(tmp_path, monkeypatch):
    network = models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1), width=4)
    task, method = task_of(student=network), distill.METHODS["dsa"]
    whole = method.synthesise(task_of(student=network), Entry())
    planned = method.work(task.outline(), Entry(), IPC)
    passes = 3 * (3 * CLASSES * (4 + 2 * IPC) + 2 * 2 * CLASSES * IPC)
    assert whole.cost.train_passes == planned.train_passes == passes
    assert whole.cost.flops == pytest.approx(planned.flops, rel=0.2)
    calls = []

    def stop():
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ending, "stop_if_requested", stop)
    halved = {"student": network, "folder": tmp_path / "set"}
    with pytest.raises(KeyboardInterrupt):
        method.synthesise(task_of(**halved), Entry())
    monkeypatch.undo()
    resumed = method.synthesise(task_of(**halved), Entry())
    np.testing.assert_array_equal(resumed.images, whole.images)
    assert resumed.cost.flops == whole.cost.flops


@pytest.mark.parametrize(
    ("options", "ipc", "message"),
    [
        ({}, 2, r"distill\.a\.dc\.outer: found 0, allowed is at least 1 for IPC 2"),
        ({"outer": 2}, 2, r"dc\.inner: found 0, allowed is at least 1 for IPC 2"),
        ({"outer": 1}, 2, None),
        ({}, 10, None),
    ],
)
def test_loops_are_the_authors_or_set(options, ipc, message):
    entry = Entry(dc=Dc(real=4, **options))
    check = distill.METHODS["dc"].check
    arguments = task_of().outline(), entry, "distill.a", (ipc,)
    if message is None:
        check(*arguments)
        return
    with pytest.raises(InputError, match=message):
        check(*arguments)


def test_the_authors_loops_are_taken_for_their_budgets():
    step = step_of(task_of(ipc=10), "dc", Entry(dc=Dc()))
    assert step.rounds() == (10, 50)
    assert step_of(task_of(ipc=1), "dc", Entry(dc=Dc(inner=7))).rounds() == (1, 7)
