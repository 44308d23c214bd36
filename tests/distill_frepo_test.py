"""FRePo: its regression, its pool of networks, its iteration, and what students have.

Letters: T real images, M images of the set, D features, C classes.
"""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from ddjax import distill, models, pipeline, settings
from ddjax.distill.frepo import Frepo
from ddjax.distill.match.pool import OnlinePool
from ddjax.distill.match.real import real_images
from ddjax.distill.match.regression import (
    centred,
    lost_margin,
    regression_loss,
    ridge_predictions,
)
from ddjax.distill.task import Task
from ddjax.errors import InputError
from ddjax.losses import mse_gt
from ddjax.process import ending
from ddjax.protocols import PROTOCOLS
from ddjax.stages import labels as labels_stage

SIDE, COUNTS, IPC = 8, (9, 7, 12), 2
CLASSES = len(COUNTS)
FREPO = {"width": 4, "doubling": True, "norm_first": True, "start": "lecun"}


def network_of(depth, norm):
    name, shape = f"convnet_d{depth}", (SIDE, SIDE, 1)
    return models.network(name, CLASSES, shape, norm=norm, **FREPO)


NETWORK = network_of(1, "none")
SMALL = Frepo(iterations=5, real=16, networks=3, updates=1, learning_rate=0.01)


@dataclasses.dataclass(frozen=True)
class Entry:
    frepo: Frepo = SMALL
    teachers: tuple = ()


def task_of(**changes):
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(CLASSES), COUNTS))
    count = len(labels)
    made = {
        "images": generator.integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.uint8),
        "labels": labels.astype(np.int32),
        "ids": generator.permutation(100)[:count].astype(np.int32),
        "num_classes": CLASSES,
        "mean": np.array([0.4], np.float32),
        "std": np.array([0.2], np.float32),
        "teachers": (),
        "ipc": IPC,
        "key": jax.random.key(3),
        "student": NETWORK,
    }
    return Task(**made | changes)


def make(task, **changes):
    entry = Entry(dataclasses.replace(SMALL, **changes))
    return distill.METHODS["frepo"].synthesise(task, entry)


def plain_predictions(features_TD, features_MD, labels_MC, ridge):
    """The authors' formula, by an inverse, in float64."""
    kernel = features_MD @ features_MD.T
    kernel += ridge * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    return features_TD @ features_MD.T @ np.linalg.inv(kernel) @ labels_MC


@pytest.mark.parametrize(("images", "features"), [(6, 20), (6, 6), (20, 6)])
@pytest.mark.parametrize("ridge", [1e-3, 0.5])
def test_predictions_are_those_of_the_formula(images, features, ridge):
    generator = np.random.default_rng(0)
    shapes = (7, features), (images, features), (images, 4)
    given = [generator.normal(size=shape) for shape in shapes]
    expected = plain_predictions(*given, ridge)
    with jax.enable_x64(True):
        found = ridge_predictions(*map(jnp.asarray, given), ridge)
        assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    single = [np.asarray(array, np.float32) for array in given]
    np.testing.assert_allclose(
        ridge_predictions(*single, ridge), expected, rtol=2e-3, atol=2e-3
    )


def test_without_a_ridge_the_set_predicts_its_own_labels():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(5, 30)).astype(np.float32)
    labels = generator.normal(size=(5, 3)).astype(np.float32)
    found = ridge_predictions(features, features, labels, 1e-6)
    np.testing.assert_allclose(found, labels, atol=1e-4)


def test_a_kernel_without_full_rank_is_regressed_in_float32():
    generator = np.random.default_rng(6)
    features = generator.normal(size=(200, 8)) @ generator.normal(size=(8, 210)) + 5
    labels = generator.normal(size=(200, 3))
    kernel = np.asarray(features @ features.T, np.float32)
    kernel += 1e-7 * np.trace(kernel) / 200 * np.eye(200, dtype=np.float32)
    assert not np.isfinite(jnp.linalg.cholesky(kernel)).all()
    single = [np.asarray(array, np.float32) for array in (features, features, labels)]
    expected = plain_predictions(features, features, labels, 1e-7)
    found, slope = jax.value_and_grad(
        lambda given: (ridge_predictions(single[0], given, single[2], 1e-7) ** 2).sum()
    )(single[1])
    np.testing.assert_allclose(found, (expected**2).sum(), rtol=0.01)
    assert np.isfinite(slope).all()


def test_labels_are_centred_and_margins_above_one_class_count_alike():
    np.testing.assert_allclose(
        centred(jnp.array([1]), 4), [[-0.25, 0.75, -0.25, -0.25]]
    )
    # Margins .1, 0 and .5, of which 1 / 4 counts.
    labels = jnp.array([[0.3, 0.2, 0, -1], [0.1, 0.1, 0, 0], [0.0, 0.5, 0, -0.1]])
    np.testing.assert_allclose(lost_margin(labels), -(0.1 + 0 + 0.25) / 3, rtol=1e-6)
    slope = jax.grad(lost_margin)(labels)
    np.testing.assert_allclose(slope[0], [-1 / 3, 1 / 3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(slope[2], 0, atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(mirrored):
    generator = np.random.default_rng(2)
    shapes = (6, 3, 3, 1), (6, 4), (8, 10), (8, 4), (9, 10)
    images, labels, features, targets, weights = (
        generator.normal(size=shape) for shape in shapes
    )
    change = {
        "images": generator.normal(size=images.shape),
        "labels": generator.normal(size=labels.shape),
    }

    def loss_of(learned):
        return regression_loss(
            lambda shown: jnp.tanh(shown.reshape(len(shown), -1) @ weights),
            learned["images"],
            learned["labels"],
            features,
            targets,
            1e-2,
            mirrored,
        )

    with jax.enable_x64(True):
        learned = {"images": jnp.asarray(images), "labels": jnp.asarray(labels)}
        slopes = jax.grad(loss_of)(learned)
        for name, step in change.items():
            exact = (slopes[name] * step).sum()
            ends = [
                loss_of(learned | {name: learned[name] + sign * 1e-6 * step})
                for sign in (1, -1)
            ]
            np.testing.assert_allclose(exact, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_the_pool_is_a_list_of_networks():
    """Against a loop in Python over separate networks, each with Adam written out."""
    pool = OnlinePool(NETWORK, size=3, limit=4, learning_rate=0.01)
    generator = np.random.default_rng(3)
    images = generator.normal(size=(5, SIDE, SIDE, 1)).astype(np.float32)
    labels = generator.normal(size=(5, CLASSES)).astype(np.float32)
    state = jax.jit(pool.begin)(jax.random.key(0))
    assert state.updates.tolist() == [0, 1, 2]

    @jax.jit
    def slope(params):
        def loss(params):
            logits, _ = NETWORK.apply({"params": params}, images, train=True)
            return (0.5 * (logits - labels) ** 2).sum(1).mean()

        return jax.grad(loss)(params)

    def fresh(params, updates):
        zeros = jax.tree.map(np.zeros_like, params)
        return {"params": params, "m": zeros, "v": zeros, "steps": 0, "age": updates}

    slow = [
        fresh(jax.tree.map(lambda a, i=i: a[i], state.variables["params"]), age)
        for i, age in enumerate((0, 1, 2))
    ]
    draw, advance = jax.jit(NETWORK.init), jax.jit(pool.advance)
    drawn = 0
    for step in range(25):
        place, seed = int(generator.integers(3)), 100 + step
        state = advance(state, np.int32(place), jax.random.key(seed), images, labels)
        if slow[place]["age"] > 4:
            slow[place] = fresh(draw(jax.random.key(seed))["params"], 0)
            drawn += 1
            continue
        one = slow[place]
        one["age"], one["steps"] = one["age"] + 1, one["steps"] + 1
        found = slope(one["params"])
        one["m"] = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, one["m"], found)
        one["v"] = jax.tree.map(lambda v, g: 0.999 * v + 1e-3 * g**2, one["v"], found)
        first, second = 1 - 0.9 ** one["steps"], 1 - 0.999 ** one["steps"]
        one["params"] = jax.tree.map(
            lambda p, m, v, a=first, b=second: (
                p - 0.01 * (m / a) / (np.sqrt(v / b) + 1e-8)
            ),
            one["params"],
            one["m"],
            one["v"],
        )
    assert drawn >= 3
    assert state.updates.tolist() == [one["age"] for one in slow]
    for i, one in enumerate(slow):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=2e-3, atol=1e-4),
            state.variables["params"],
            one["params"],
        )


@pytest.mark.slow
def test_an_iteration_is_its_formula():
    """Features by the plain network, the loss by the formula, LAMB written out."""
    ridge = 0.1
    task, network = task_of(student=network_of(2, "none")), network_of(2, "batch")
    options = dataclasses.replace(SMALL, ridge=ridge)
    step = distill.METHODS["frepo"].step(task.outline(), Entry(options), IPC)
    real = real_images(task)
    images = jax.random.normal(jax.random.key(1), (IPC * CLASSES, SIDE, SIDE, 1))
    begun = jax.jit(step.begin)(jax.random.key(0), images, None)
    state, loss = jax.jit(step)(begun, real, jax.random.key(9))

    real_key, place_key, _, _ = jax.random.split(jax.random.key(9), 4)
    place = int(jax.random.randint(place_key, (), 0, 3))
    variables = jax.tree.map(lambda leaf: leaf[place], begun["pool"].variables)
    shown, classes = real.sample(real_key, options.real)
    known = network.features(variables, shown)
    labels = np.eye(CLASSES)[np.repeat(np.arange(CLASSES), IPC)] - 1 / CLASSES
    labels = labels / np.sqrt(CLASSES / 10)
    np.testing.assert_allclose(begun["labels"], labels, rtol=1e-6)
    targets = np.eye(CLASSES)[classes] - 1 / CLASSES

    def slow(images, labels):
        features = network.features(variables, images)
        kernel = features @ features.T
        kernel += ridge * jnp.trace(kernel) / len(images) * jnp.eye(len(images))
        found = known @ features.T @ jnp.linalg.solve(kernel, labels)
        ordered = jnp.sort(labels, 1)
        margin = jnp.minimum(ordered[:, -1] - ordered[:, -2], 1 / CLASSES)
        return (0.5 * (found - targets) ** 2).sum(1).mean() - margin.mean()

    value = jax.jit(jax.value_and_grad(slow, (0, 1)))
    expected, slopes = value(images, jnp.asarray(labels, jnp.float32))
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)
    for name, before, slope in zip(
        ("images", "labels"), (images, labels), map(np.asarray, slopes), strict=True
    ):
        change = slope / (np.abs(slope) + 1e-6)  # Adam's first
        trust = np.linalg.norm(before) / np.linalg.norm(change)
        moved = np.asarray(state[name] - before)
        apart = np.abs(moved + options.learning_rate * trust * change)
        assert np.median(apart) < 1e-3 * np.median(np.abs(moved)), name
    updates = np.array([0, 0, 0])
    updates[place] += 1
    assert state["pool"].updates.tolist() == updates.tolist()
    changed = [
        bool((a != b).any())
        for a, b in zip(
            state["pool"].variables["params"]["classifier"]["kernel"],
            begun["pool"].variables["params"]["classifier"]["kernel"],
            strict=True,
        )
    ]
    assert changed == [i == place for i in range(3)]


def test_the_rate_falls_to_a_tenth():
    task = task_of()
    step = distill.METHODS["frepo"].step(task.outline(), Entry(), IPC)
    # Constant gradients: LAMB moves by its rate times the norm.
    lamb, learned = step._lamb(), {"images": jnp.ones(4)}
    state, moved = lamb.init(learned), []
    for _ in range(SMALL.iterations + 1):
        change, state = lamb.update({"images": jnp.ones(4)}, state, learned)
        moved.append(-float(change["images"][0]))
    assert isinstance(state, tuple) and optax.tree.norm(change) > 0
    np.testing.assert_allclose(moved[0], SMALL.learning_rate, rtol=1e-4)
    np.testing.assert_allclose(moved[-1], 0.1 * SMALL.learning_rate, rtol=1e-4)


def test_a_set_has_images_and_labels_and_comes_again():
    found, again = make(task_of()), make(task_of())
    size = IPC * CLASSES
    assert found.images.shape == (size, SIDE, SIDE, 1)
    assert found.images.dtype == found.soft_labels.dtype == np.float32
    np.testing.assert_allclose(found.soft_labels.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.soft_labels.argmax(1), found.labels)
    np.testing.assert_array_equal(found.images, again.images)
    np.testing.assert_array_equal(found.soft_labels, again.soft_labels)
    other = make(task_of(key=jax.random.key(4)))
    assert not np.allclose(found.images, other.images)
    sharp = make(task_of(), label_temperature=0.1)
    assert (sharp.soft_labels.max(1) > found.soft_labels.max(1)).all()


def test_labels_may_stay_those_of_the_class():
    task = task_of()
    entry = Entry(dataclasses.replace(SMALL, learn_labels=False, networks=1))
    step = distill.METHODS["frepo"].step(task.outline(), entry, IPC)
    images = jax.random.normal(jax.random.key(1), (IPC * CLASSES, SIDE, SIDE, 1))
    begun = jax.jit(step.begin)(jax.random.key(0), images, None)
    state, _ = jax.jit(step)(begun, real_images(task), jax.random.key(9))
    np.testing.assert_array_equal(state["labels"], begun["labels"])
    assert (state["images"] != images).any() and step.learned(state) == {}


@pytest.mark.slow
def test_learning_makes_the_loss_smaller():
    loss = make(task_of(), iterations=150, updates=20).info["loss"]
    assert np.mean(loss[-20:]) < np.mean(loss[:20]) - 0.05


def test_a_stopped_set_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = make(task_of())
    calls = []

    def stop():
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(ending, "stop_if_requested", stop)
    with pytest.raises(KeyboardInterrupt):
        make(task_of(folder=tmp_path / "set"))
    monkeypatch.undo()
    steps = []
    found = make(task_of(folder=tmp_path / "set", progress=steps.append))
    assert sum(steps) == SMALL.iterations - 3
    np.testing.assert_array_equal(found.images, whole.images)
    np.testing.assert_array_equal(found.soft_labels, whole.soft_labels)
    with pytest.raises(InputError, match="belongs to another synthesis"):
        make(task_of(folder=tmp_path / "set"), ridge=0.1)


def test_what_is_planned_is_booked():
    task = task_of()
    found = make(task, batch=4, mirrored=True).cost
    entry = Entry(dataclasses.replace(SMALL, batch=4, mirrored=True))
    planned = distill.METHODS["frepo"].work(task.outline(), entry, IPC)
    assert found.forward_passes == planned.forward_passes == 5 * 16
    assert found.train_passes == planned.train_passes == 5 * (2 * 6 + 4)
    assert planned.flops == pytest.approx(found.flops, rel=0.2) and found.flops > 0


def test_more_images_than_the_class_are_refused():
    check = distill.METHODS["frepo"].check
    with pytest.raises(InputError, match="distill.a.frepo.init: found 'random', allow"):
        check(task_of().outline(), Entry(), "distill.a", (8,))
    noise = Entry(dataclasses.replace(SMALL, init="noise", real=10_000))
    check(task_of().outline(), noise, "distill.a", (8,))


def test_students_can_fit_the_learned_labels():
    """At temperature 1 the error to the fixed labels is that to the centred ones."""
    learned = np.random.default_rng(5).normal(size=(6, CLASSES)).astype(np.float32)
    learned -= learned.mean(1, keepdims=True)
    problem = types.SimpleNamespace(
        soft_labels=np.asarray(jax.nn.softmax(learned)),
        pool=types.SimpleNamespace(ids=np.arange(6)),
        source=types.SimpleNamespace(classes=("a", "b", "c")),
        data_digest="",
    )
    run = types.SimpleNamespace(artifact=lambda *given: given[-1](None))
    fixed = labels_stage._own_labels(run, problem, "fixed labels").arrays["logits"]
    np.testing.assert_allclose(fixed, learned, atol=1e-5)
    logits = np.zeros((6, CLASSES), np.float32)
    classes = np.zeros(6, np.int32)
    np.testing.assert_allclose(
        mse_gt(logits, fixed, classes, 0.0), (learned**2).mean(1), rtol=1e-4
    )


@pytest.mark.slow
def test_students_have_what_a_run_learned(tmp_path):
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"))
    PROTOCOLS["frepo"].apply(config, 3, True, 2)
    config.student.epochs, config.regimes = 4, ("hard", "soft")
    config.select.ipcs, config.select.methods = (2,), ("random",)
    settings.add_distillation(config, "frepo")
    config.distill.frepo.sets = 1
    config.distill.frepo.frepo.iterations = 3
    config.distill.frepo.frepo.real = 12
    summary = pipeline.run(settings.from_config(config), tmp_path / "run")
    made = summary[summary["method"] == "frepo"]
    assert set(made["regime"]) == {"hard", "soft"} and made["gap"].notna().all()
    (path,) = (tmp_path / "run" / "artifacts").glob("synthetic-*/arrays.npz")
    learned = np.log(np.load(path)["soft_labels"])
    learned -= learned.mean(1, keepdims=True)
    kept = [
        np.load(path)["logits"]
        for path in (tmp_path / "run" / "artifacts").glob("labels-*/arrays.npz")
    ]
    assert any(
        logits.shape == learned.shape and np.allclose(logits, learned, atol=1e-5)
        for logits in kept
    )
