"""DataDAM and CAFE: an iteration against plain loops over classes and blocks.

Letters: C classes, B real and I synthetic images of a class.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from distill_match_test import COUNTS, SIDE, task_of

from ddjax import distill, models
from ddjax.distill.cafe import Cafe
from ddjax.distill.datadam import Datadam
from ddjax.distill.match.inner import Trainer
from ddjax.distill.match.real import real_images
from ddjax.distill.match.siamese import siamese
from ddjax.errors import InputError

CLASSES, IPC, B = len(COUNTS), 2, 5
NETWORK = models.network("convnet_d2", CLASSES, (SIDE, SIDE, 1), width=3)


@dataclasses.dataclass(frozen=True)
class Entry:
    datadam: Any = Datadam(iterations=4, real=B, power=2.0)
    cafe: Any = Cafe(iterations=4, real=B, outer=2, inner=1, learning_rate=0.02)
    teachers: tuple = ()


def begun(name, key=0):
    task = task_of(student=NETWORK)
    step = distill.METHODS[name].step(task.outline(), Entry(), IPC)
    shape = (CLASSES * IPC, SIDE, SIDE, 1)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return (
        step,
        real_images(task),
        images,
        step.begin(jax.random.key(key), images, None),
    )


def maps_of(variables, images):
    """The blocks of a ConvNet-D2 with instance norm, by hand."""
    params, found, x = variables["params"], [], images
    for name in ("features.0", "features.4"):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + bias[None, None, None]
        x = (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(
            x.var((1, 2), keepdims=True) + 1e-5
        )
        found.append(jax.nn.relu(x))
        size = x.shape[1] // 2
        x = found[-1].reshape(len(x), size, 2, size, 2, -1).mean((2, 4))
    return found, x


def test_maps_are_those_after_each_activation():
    variables = NETWORK.init(jax.random.key(0))
    images = np.random.default_rng(0).normal(size=(3, SIDE, SIDE, 1)).astype(np.float32)
    found, features = jax.jit(NETWORK.maps)(variables, images)
    maps, pooled = maps_of(variables, images)
    for one, expected in zip(found, maps, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-3, atol=1e-4)
    expected = jnp.moveaxis(pooled, 3, 1).reshape(3, -1)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    assert NETWORK.blocks == 2 and sorted(variables) == ["params"]
    assert models.network("mlp", 3, (8, 8, 1), hidden=(8,)).blocks == 0


@pytest.mark.slow
def test_datadam_is_its_formula():
    step, real, images, state = begun("datadam")
    state, loss = jax.jit(step)(state, real, jax.random.key(9))
    init_key, real_key, view_key = jax.random.split(jax.random.key(9), 3)
    variables, drawn = NETWORK.init(init_key), real.draw(real_key, B)

    def attended(images):
        active = (jnp.abs(maps_of(variables, images)[0][0]) ** 2).sum(-1)
        active = active.reshape(len(images), -1)
        return active / jnp.linalg.norm(active, axis=1, keepdims=True)

    def slow(images):
        total = 0.0
        for label in range(CLASSES):
            own = images[IPC * label : IPC * (label + 1)]
            view = jax.random.clone(view_key)
            known, own = siamese(step.options.augment, view, drawn[label], own)
            for weight, of in (
                (1, attended),
                (0.01, lambda x: maps_of(variables, x)[1]),
            ):
                total += weight * ((of(known).mean(0) - of(own).mean(0)) ** 2).sum()
        return 100 * total

    expected, slope = jax.jit(jax.value_and_grad(slow))(images)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
    apart = np.abs(images - slope - state["images"])
    assert np.median(apart) < 1e-3 * np.abs(slope).max()


@pytest.mark.slow
def test_cafe_is_its_formula():
    step, real, images, state = begun("cafe")
    run = jax.jit(step)
    after, loss = run(state, real, jax.random.key(9))
    assert int(after["done"]) == 1
    init_key, key = jax.random.split(jax.random.key(9))
    trainer, losses = Trainer(NETWORK, 0.01), []
    trained, velocity = trainer.begin(NETWORK.init(init_key)), 0.0
    labels = jnp.repeat(jnp.arange(CLASSES), IPC)

    @jax.jit
    def slow(images, variables, drawn):
        total, centres = 0.0, []
        for label in range(CLASSES):
            known, pooled = maps_of(variables, drawn[label])
            own = images[IPC * label : IPC * (label + 1)]
            learned, small = maps_of(variables, own)
            apart = [
                ((a.mean(0) - b.mean(0)) ** 2).sum()
                for a, b in zip([*known, pooled], [*learned, small], strict=True)
            ]
            # Blocks, the last one pooled, and once more as features.
            total += 0.1 * apart[0] + apart[1] + apart[2] + apart[2]
            centres.append(small.mean(0).reshape(-1))
        for label in range(CLASSES):
            _, pooled = maps_of(variables, drawn[label])
            logits = pooled.reshape(B, -1) @ jnp.stack(centres).T
            total -= 0.01 * jax.nn.log_softmax(logits)[:, label].sum()
        return total

    for number, one in enumerate(jax.random.split(key, 2)):
        match_key, train_key = jax.random.split(one)
        real_key, _ = jax.random.split(match_key)
        drawn = real.draw(real_key, B)
        value, slope = jax.value_and_grad(slow)(images, trained.variables, drawn)
        velocity = 0.5 * velocity + slope
        images = images - 0.02 * velocity
        losses.append(value)
        if number == 0:
            trained = trainer.epochs(trained, train_key, images, labels, 1, 256, ())
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-3)
    apart = np.abs(images - after["images"])
    assert np.median(apart) < 1e-2 * np.median(np.abs(velocity)) * 0.02
    # From the fourth of four iterations on, the rate is a quarter of what it was.
    late = step.begin(jax.random.key(0), images, None) | {"done": jnp.asarray(3)}
    slope = jnp.ones_like(images)
    moved = images - step.move(late, slope)["images"]
    np.testing.assert_allclose(moved, 0.02 / 8, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["datadam", "cafe"])
def test_a_set_comes_again_and_costs_what_was_planned(name):
    method, task = distill.METHODS[name], task_of(student=NETWORK)
    found = method.synthesise(task_of(student=NETWORK), Entry())
    again = method.synthesise(task_of(student=NETWORK), Entry())
    np.testing.assert_array_equal(found.images, again.images)
    planned, steps = method.work(task.outline(), Entry(), IPC), 1 + (name == "cafe")
    assert found.cost.forward_passes == planned.forward_passes
    assert planned.forward_passes == 4 * steps * CLASSES * B
    inner = CLASSES * IPC * (name == "cafe")
    assert planned.train_passes == 4 * (steps * CLASSES * IPC + inner)
    assert found.cost.train_passes == planned.train_passes
    assert found.cost.flops == pytest.approx(planned.flops, rel=0.2)


@pytest.mark.parametrize("name", ["datadam", "cafe"])
def test_a_network_without_maps_is_refused(name):
    flat = models.network("mlp", CLASSES, (SIDE, SIDE, 1), hidden=(8,))
    with pytest.raises(
        InputError, match=r"student\.network\.name .*allowed is a ConvNet"
    ):
        distill.METHODS[name].check(
            task_of(student=flat).outline(), Entry(), "distill.a", (IPC,)
        )
