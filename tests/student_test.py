"""The training kernel: against a plain NumPy loop, and cut anywhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ddjax.data import augment
from ddjax.data.augment import Recipe
from ddjax.labels import Objective
from ddjax.models import Network, network
from ddjax.models.layers import Dropout
from ddjax.train import batches, order, student, sweep
from ddjax.train.members import Members

N, CLASSES, BATCH, STEPS = 12, 3, 4, 7
SHAPE = (4, 4, 1)


presentations = jax.jit(order.presentations, static_argnums=4)
plan_of = jax.jit(batches.make_plan, static_argnums=(0, 1))
batch_of = jax.jit(batches.make_batch, static_argnums=(0, 3))
view_of = jax.jit(augment.view, static_argnums=0)
start_of = jax.jit(student.init_student, static_argnums=0)


def make_program(**changes):
    # Without a hidden layer the model is softmax regression, whose gradient is known.
    base = student.Program(
        network=network("mlp", CLASSES, SHAPE, hidden=()),
        objective=Objective("hard"),
        recipe=Recipe(),
        batch_size=BATCH,
        optimizer="sgd",
        schedule="constant",
    )
    return dataclasses.replace(base, **changes)


def make_pool(seed=0, **teacher):
    rng = np.random.default_rng(seed)
    return batches.Pool(
        jnp.asarray(rng.integers(0, 256, (N, *SHAPE), np.uint8)),
        jnp.asarray(np.arange(N, dtype=np.int32) % CLASSES),
        jnp.arange(100, 100 + N, dtype=jnp.int32),
        jnp.full(1, 0.4, jnp.float32),
        jnp.full(1, 0.3, jnp.float32),
        **teacher,
    )


def make_order(pool, steps=STEPS, seed=0):
    positions = jnp.arange(8, dtype=jnp.int32)
    first = jnp.int32(0)
    return presentations(
        jnp.int32(seed), positions, pool.ids[positions], first, steps * BATCH
    )


def make_plan(recipe, pool, seed=0):
    presented = make_order(pool, seed=seed)
    return plan_of(recipe, SHAPE, pool.ids, jnp.int32(seed), presented)


def make_hparams(**changes):
    values = {"learning_rate": 0.1, "total_steps": STEPS} | changes
    defaults = student.HParams(0.0, 1.0)._asdict()
    return student.HParams(
        **{name: jnp.float32(value) for name, value in (defaults | values).items()}
    )


def trained(program, pool, hparams, cuts=(0, STEPS), seed=0):
    plan = make_plan(program.recipe, pool, seed)
    state = start_of(program, jnp.int32(seed))
    step = jax.jit(student.advance, static_argnums=0)
    for first, stop in zip(cuts, cuts[1:], strict=False):
        bounds = jnp.int32(first), jnp.int32(stop)
        state = step(program, state, pool, plan, hparams, *bounds)
    return state


def dense(state):
    (layer,) = state["variables"]["params"].values()
    return np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float)


def reference(pool, hparams, optimizer):
    """Softmax regression in float64, one step after the other."""
    images = (np.asarray(pool.images, float) / 255 - 0.4) / 0.3
    inputs, classes = images.reshape(N, -1), np.eye(CLASSES)[np.asarray(pool.labels)]
    presented = np.asarray(make_order(pool).positions).reshape(STEPS, BATCH)
    kernel, bias = dense(start_of(make_program(), jnp.int32(0)))
    params, first, second = [kernel, bias], [0.0, 0.0], [0.0, 0.0]
    rate, decay = float(hparams.learning_rate), float(hparams.weight_decay)
    for step, rows in enumerate(presented, 1):
        logits = inputs[rows] @ params[0] + params[1]
        exps = np.exp(logits - logits.max(1, keepdims=True))
        error = (exps / exps.sum(1, keepdims=True) - classes[rows]) / BATCH
        grads = [inputs[rows].T @ error, error.sum(0)]
        for i, grad in enumerate(grads):
            wd = decay * params[i] * (i == 0)
            if optimizer == "sgd":
                first[i] = float(hparams.momentum) * first[i] + grad + wd
                params[i] = params[i] - rate * first[i]
            else:
                first[i] = 0.9 * first[i] + 0.1 * grad
                second[i] = 0.999 * second[i] + 0.001 * grad**2
                mean = first[i] / (1 - 0.9**step)
                root = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
                params[i] = params[i] - rate * (mean / root + wd)
    return params


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_advance_equals_numpy(optimizer):
    pool = make_pool()
    hparams = make_hparams(weight_decay=0.05, momentum=0.8)
    state = trained(make_program(optimizer=optimizer), pool, hparams)
    kernel, bias = reference(pool, hparams, optimizer)
    np.testing.assert_allclose(dense(state)[0], kernel, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(dense(state)[1], bias, rtol=2e-4, atol=2e-5)


def test_advance_may_be_cut_anywhere():
    program, pool, hparams = make_program(), make_pool(), make_hparams()
    whole = trained(program, pool, hparams)
    cut = trained(program, pool, hparams, cuts=(0, 1, 1, 5, STEPS))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_micro_batches_change_rounding_only(optimizer):
    pool, hparams = make_pool(), make_hparams(weight_decay=0.05)
    whole = trained(make_program(optimizer=optimizer), pool, hparams)
    parts = trained(make_program(optimizer=optimizer, micro_batch=2), pool, hparams)
    for a, b in zip(dense(whole), dense(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole["curve"], parts["curve"], rtol=1e-5)


def test_curve_counts_every_step():
    state = trained(make_program(), make_pool(), make_hparams())
    assert float(state["curve"][1].sum()) == STEPS
    assert int(state["step"]) == STEPS


def test_clip_bounds_the_update():
    pool = make_pool()
    program = make_program(clip=True)
    start = dense(start_of(program, jnp.int32(0)))
    hparams = make_hparams(clip=1e-3, momentum=0.0, learning_rate=1.0)
    end = dense(trained(program, pool, hparams, cuts=(0, 1)))
    norm = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(start, end, strict=True)))
    np.testing.assert_allclose(norm, 1e-3, rtol=1e-3)


def test_ema_averages_the_path():
    pool, hparams = make_pool(), make_hparams(ema=0.5)
    program = make_program(ema=True)
    path = [dense(trained(program, pool, hparams, cuts=(0, s)))[0] for s in range(4)]
    average = path[0]
    for step, kernel in enumerate(path[1:]):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * kernel
    state = trained(program, pool, hparams, cuts=(0, 3))
    evaluated = student.evaluated_variables(program, state)
    (layer,) = evaluated["params"].values()
    np.testing.assert_allclose(layer["kernel"], average, rtol=1e-4, atol=1e-6)


def test_init_is_the_same_for_a_seed_and_differs_between_seeds():
    program = make_program()
    first, again, other = (
        dense(start_of(program, jnp.int32(seed)))[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_normalise_by_hand():
    images = jnp.array([[[[0, 255]]]], jnp.uint8)
    mean, std = jnp.array([0.5, 0.25]), jnp.array([0.5, 0.75])
    np.testing.assert_allclose(
        batches.normalise(images, mean, std).ravel(), [-1.0, 1.0], rtol=1e-6
    )


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_weak_views_are_the_images_mixed_alike(cutmix):
    pool, recipe = make_pool(), Recipe(pad=1, flip=True, cutmix=cutmix)
    plan = make_plan(recipe, pool)
    batch = batch_of(recipe, pool, plan, True)
    own = batches.normalise(pool.images[plan.positions], pool.mean, pool.std)
    other = batches.normalise(pool.images[plan.partners], pool.mean, pool.std)
    for row in range(len(plan.positions)):
        inside = np.zeros((*SHAPE[:2], 1), bool)
        if cutmix:
            y0, y1, x0, x1, _ = (int(edge[row]) for edge in plan.draws.box)
            inside[y0:y1, x0:x1] = True
        expected = np.where(inside, other[row], own[row])
        np.testing.assert_allclose(batch.weak[row], expected, rtol=1e-5)
    np.testing.assert_array_equal(batch.shown[: len(own)], batch.inputs)
    np.testing.assert_array_equal(batch.shown[len(own) :], batch.weak)


def test_two_views_train_on_both():
    # Without augmentation the two are the same image: the loss is that of one, halved.
    def halves(logits, batch, pool, hparams):
        one, other = jnp.split(logits, 2)
        return sum(Objective("hard")(z, batch, pool, hparams) for z in (one, other)) / 2

    pool, hparams = make_pool(), make_hparams()
    program = make_program(objective=halves, two_views=True)
    assert program.passes == 2 * make_program().passes
    expected = dense(trained(make_program(), pool, hparams))
    for two in (program, dataclasses.replace(program, micro_batch=2)):
        for a, b in zip(dense(trained(two, pool, hparams)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_make_batch_shows_the_views_of_the_example_ids():
    pool, recipe = make_pool(), Recipe(pad=1, flip=True)
    presented, plan = make_order(pool), make_plan(recipe, pool)
    batch = batch_of(recipe, pool, plan)
    for row in range(0, len(plan.positions), 5):
        position = int(presented.positions[row])
        number = jnp.int32(100 + position)
        view = view_of(
            recipe, jnp.int32(0), presented.epochs[row], number, pool.images[position]
        )
        expected = batches.normalise(view, pool.mean, pool.std)
        np.testing.assert_allclose(batch.inputs[row], expected, rtol=1e-5)


def test_cutmix_pastes_the_partner_s_own_view():
    pool, recipe = make_pool(), Recipe(pad=1, flip=True, cutmix=1.0)
    presented, plan = make_order(pool), make_plan(recipe, pool)
    batch = batch_of(recipe, pool, plan)
    for row in range(0, len(plan.positions), 5):
        own, pasted = (
            view_of(
                dataclasses.replace(recipe, cutmix=0.0),
                jnp.int32(0),
                presented.epochs[row],
                jnp.int32(100 + int(positions[row])),
                pool.images[int(positions[row])],
            )
            for positions in (presented.positions, presented.partners)
        )
        box = jax.tree.map(lambda a, row=row: a[row], plan.draws.box)
        expected = augment.cutmix(box, own, pasted)
        expected = batches.normalise(expected, pool.mean, pool.std)
        np.testing.assert_allclose(batch.inputs[row], expected, rtol=1e-5)
        assert batch.keep[row] == box.keep
    assert (np.asarray(batch.keep) < 1).any()


class Dropped(nn.Module):
    """Softmax regression on pixels of which half are dropped."""

    num_classes: int = CLASSES
    rate: float = 0.5

    @nn.compact
    def __call__(self, images_BHWC, train=False, features=False):
        x_BD = images_BHWC.reshape(len(images_BHWC), -1)
        return nn.Dense(self.num_classes)(Dropout(self.rate, train)(x_BD))


def dropping(rate=0.5):
    return make_program(network=Network(Dropped(rate=rate), SHAPE))


def test_dropout_is_drawn_by_seed_and_step():
    pool, hparams, program = make_pool(), make_hparams(), dropping()
    whole = dense(trained(program, pool, hparams))
    again = dense(trained(program, pool, hparams, cuts=(0, 1, 4, STEPS)))
    np.testing.assert_array_equal(whole[0], again[0])
    without = dense(trained(dropping(rate=0.0), pool, hparams))
    assert not np.allclose(whole[0], without[0], atol=1e-3)
    # The same weights, order and views, at another seed and at another step.
    plan, start = make_plan(Recipe(), pool), start_of(program, jnp.int32(0))
    batch = jax.tree.map(lambda a: a[:BATCH], plan)
    step = jax.jit(student.train_step, static_argnums=0)
    kernels = [
        dense(step(program, start | changes, pool, batch, hparams))[0]
        for changes in ({}, {"seed": jnp.int32(1)}, {"step": jnp.int32(1)})
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(kernels[one], kernels[other], atol=1e-4)


def test_dropout_is_the_same_with_every_driver():
    hparams = jax.tree.map(lambda value: np.full(2, value, np.float32), make_hparams())
    subsets = [np.arange(8, dtype=np.int32), np.arange(4, 12, dtype=np.int32)]
    members = Members(np.array([0, 1], np.int32), subsets, hparams)
    found = {}
    for driver in ("loop", "vmap"):
        runner = sweep.Runner(dropping(), make_pool(), driver)
        states, _ = runner.train(members, STEPS)
        parts = [state["variables"]["params"]["Dense_0"]["kernel"] for state in states]
        found[driver] = np.concatenate([np.asarray(part) for part in parts])
    np.testing.assert_allclose(found["vmap"], found["loop"], rtol=1e-4, atol=1e-5)
    assert not np.allclose(*found["loop"], atol=1e-3)
