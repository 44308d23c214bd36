"""MTT, TESLA and DATM, on a linear classifier that is written out in NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recovering

from ddjax import keys, models
from ddjax.declare.walk import join
from ddjax.distill import METHODS
from ddjax.distill.datm import Datm, DatmStep
from ddjax.distill.match.experts import Experts, flatten, unflatten
from ddjax.distill.mtt import LEAST_RATE, Mtt, MttStep
from ddjax.distill.tesla import Tesla, TeslaStep
from ddjax.errors import InputError
from ddjax.train.unroll import Step as Inner

CLASSES, IPC, PIXELS = 3, 2, 64
NETWORK = models.network("mlp", CLASSES, (8, 8, 1), hidden=())
P = CLASSES + PIXELS * CLASSES
KINDS = {"mtt": (MttStep, Mtt), "tesla": (TeslaStep, Tesla), "datm": (DatmStep, Datm)}
EXPERTS = Experts(batch_size=12)
# Small enough for seconds, and smooth enough for a rate of 1 on images.
SMALL = {
    "iterations": 6,
    "steps": 3,
    "span": 1,
    "max_start": 2,
    "learning_rate": 1.0,
    "augment": (),
}


def slow(name):
    return pytest.param(name, marks=pytest.mark.slow)


@functools.cache
def trajectories(experts=3, epochs=4):
    """Experts trained by a few steps of gradient descent on the small task's pool."""
    images, labels = recovering.images()
    flat = ((images.reshape(-1, PIXELS) / 255 - 0.4) / 0.2).astype(np.float64)
    onehot = np.eye(CLASSES)[labels]
    found = np.zeros((experts, epochs + 1, P), np.float32)
    for row in range(experts):
        weights = 0.05 * np.random.default_rng(row).normal(size=P)
        for epoch in range(epochs + 1):
            found[row, epoch] = weights
            for _ in range(4):
                weights = weights - 0.02 * gradient(weights, flat, onehot)
    return found


def logits(weights, flat):
    """A linear classifier: its bias, then its kernel."""
    return flat @ weights[CLASSES:].reshape(PIXELS, CLASSES) + weights[:CLASSES]


def softmax(values):
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def gradient(weights, flat, labels):
    """Of the mean cross-entropy, worked out by hand."""
    error = (softmax(logits(weights, flat)) - labels) / len(flat)
    return np.concatenate([error.sum(0), (flat.T @ error).reshape(-1)])


def reference(begin, target, rows, images, labels, rate):
    """What all three methods descend, in float64."""
    weights = begin.astype(np.float64)
    flat = images.reshape(-1, PIXELS)
    for row in rows:
        weights = weights - rate * gradient(weights, flat[row], labels[row])
    moved = np.square(begin.astype(np.float64) - target).sum()
    return np.square(weights - target).sum() / moved


def step_of(name, **changes):
    kind, options = KINDS[name]
    return kind(NETWORK, options(**SMALL | changes), CLASSES, IPC)


def task(**changes):
    found = {"teachers": (), "student": NETWORK, "experts": trajectories()}
    return recovering.task(**found | changes)


def entry(name, experts=EXPERTS, **changes):
    options = KINDS[name][1](**SMALL | changes)
    return recovering.entry(
        name, recovering.Recover(), **{name: options, "experts": experts}
    )


def gradients_of(name, learned, **changes):
    """The gradient of a step's loss over three steps, two batches of four images."""
    step = step_of(name, **changes)
    rows = np.array([[0, 1, 2, 3], [4, 5, 0, 1], [2, 5, 3, 4]], np.int32)
    begin, target = trajectories()[0, 0], trajectories()[0, 1]
    inner = Inner(jnp.asarray(rows), jax.random.split(keys.key(1), 3))
    value = jax.jit(jax.value_and_grad(step.loss_of, argnums=3))
    arguments = jnp.asarray(begin), jnp.asarray(target)
    return value(*arguments, inner, learned), (begin, target, rows)


def learned_of(name):
    rng = np.random.default_rng(5)
    found = {
        "images": jnp.asarray(rng.normal(size=(6, 8, 8, 1)), jnp.float32),
        "rate": jnp.float32(0.05),
    }
    if name == "datm":
        found["logits"] = jnp.asarray(rng.normal(size=(6, CLASSES)), jnp.float32)
    return found


@pytest.mark.parametrize("name", [slow("mtt"), slow("tesla"), "datm"])
def test_gradients_are_the_differences_of_the_loss(name):
    learned = learned_of(name)
    (value, grads), (begin, target, rows) = gradients_of(name, learned)
    labels = np.eye(CLASSES)[np.repeat(np.arange(CLASSES), IPC)]
    given = {n: np.asarray(leaf, np.float64) for n, leaf in learned.items()}

    def loss(**changes):
        now = given | changes
        own = softmax(now["logits"]) if "logits" in now else labels
        return reference(begin, target, rows, now["images"], own, now["rate"])

    np.testing.assert_allclose(value, loss(), rtol=1e-5)
    rng = np.random.default_rng(3)
    for leaf in learned:
        along = rng.normal(size=given[leaf].shape)
        pair = (loss(**{leaf: given[leaf] + size * along}) for size in (1e-5, -1e-5))
        difference = np.subtract(*pair) / 2e-5
        found = (np.asarray(grads[leaf], np.float64) * along).sum()
        np.testing.assert_allclose(found, difference, rtol=1e-3)


@pytest.mark.slow
def test_tesla_has_the_gradient_of_mtt_unless_it_takes_the_released_one():
    learned = learned_of("mtt")
    exact, plain, released = (
        gradients_of(name, learned, **changes)[0][1]["images"]
        for name, changes in (
            ("tesla", {}),
            ("mtt", {}),
            ("tesla", {"gradient": "released"}),
        )
    )
    largest = np.abs(plain).max()
    np.testing.assert_allclose(exact, plain, atol=1e-5 * largest)
    assert np.abs(released - plain).max() > 1e-2 * largest


def test_students_take_permutations_of_the_set_in_batches():
    rows = np.asarray(step_of("mtt", batch=4, steps=3).rows(keys.key(0), 6))
    assert rows.shape == (3, 4)
    np.testing.assert_array_equal(np.sort(rows.reshape(2, 6)), [np.arange(6)] * 2)
    whole = np.asarray(step_of("mtt", steps=2).rows(keys.key(0), 6))
    np.testing.assert_array_equal(np.sort(whole), [np.arange(6)] * 2)
    assert (whole[0] != whole[1]).any()


def moved(name, state_changes=None, gradient_of=1.0, loss=0.5, **changes):
    """The state of a step after gradients of one value everywhere."""
    step = step_of(name, **changes)
    given = step.given(task())
    state = jax.jit(step.begin)(keys.key(0), learned_of(name)["images"], given)
    state |= state_changes or {}
    ones = {
        leaf: jnp.full_like(state[leaf], gradient_of) for leaf in step.leaves(state)
    }
    return state, step.move(state, ones, jnp.float32(loss))


def test_momentum_is_that_of_pytorch_for_images_and_rate():
    state, after = moved(
        "mtt",
        {"rate_velocity": jnp.float32(2.0), "rate": jnp.float32(0.5)},
        rate_learning_rate=0.01,
    )
    np.testing.assert_allclose(after["rate_velocity"], 2.0)  # 0.5 * 2 + 1
    np.testing.assert_allclose(after["rate"], 0.5 - 0.02, rtol=1e-6)
    np.testing.assert_allclose(after["images"], state["images"] - 1.0, rtol=1e-6)
    assert after["iteration"] == 1


def test_a_rate_stays_positive():
    _, after = moved("mtt", gradient_of=1e9, rate_learning_rate=1.0)
    np.testing.assert_allclose(after["rate"], LEAST_RATE)


def test_a_loss_above_the_threshold_changes_nothing_but_the_count():
    state, after = moved("datm", loss=1.01)
    for name, value in state.items():
        if name != "iteration":
            np.testing.assert_array_equal(after[name], value)
    assert after["iteration"] == 1
    state, after = moved("datm", loss=0.99, label_learning_rate=0.1)
    np.testing.assert_allclose(after["logits"], state["logits"] - 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("iteration", "before"), [(0, 10), (500, 15), (999, 19), (1000, 20), (9999, 20)]
)
def test_a_window_grows_evenly(iteration, before):
    step = step_of("datm", first_max=10, max_start=20, expansion=1000)
    assert int(step.before(jnp.int32(iteration))) == before
    assert step_of("datm", max_start=20).before(jnp.int32(iteration)) == 20


def test_windows_are_those_of_an_expert_between_the_bounds():
    step = step_of("datm", min_start=1, max_start=3, span=1)
    weights = step.given(task())["weights"]
    assert weights.shape == (3, 3, P)
    numbers = jnp.arange(9.0).reshape(3, 3, 1)  # 3 * expert + epoch - 1
    draw = jax.vmap(lambda key: step.window(key, numbers, jnp.int32(0)))
    begin, end = draw(jax.random.split(keys.key(0), 60))
    np.testing.assert_array_equal(end, begin + 1)
    assert set(begin[:, 0].tolist()) == {0, 1, 3, 4, 6, 7}
    np.testing.assert_array_equal(weights, trajectories()[:, 1:4])


def test_datm_starts_from_images_that_an_expert_has_right():
    pool, labels = recovering.images()
    flat = ((pool.reshape(-1, PIXELS) / 255 - 0.4) / 0.2).astype(np.float64)
    weights = trajectories().copy()
    weights[:, -1, :CLASSES] += [0.0, 0.7, -0.7]  # so that some images are wrong
    predicted = np.stack([logits(last, flat).argmax(1) for last in weights[:, -1]])
    right = predicted == labels
    each = [np.bincount(labels[row], minlength=CLASSES) for row in right]
    assert right.sum() < right.size
    step, given = step_of("datm"), task(experts=weights)
    images, sources = step.start(given, keys.key(2))
    places = sources[:, 0] - given.ids[0]
    np.testing.assert_array_equal(labels[places], given.slot_labels)
    assert len(set(places)) == len(places)
    assert any(
        all(
            row[places[labels[places] == c]].sum() == min(IPC, counts[c])
            for c in range(CLASSES)
        )
        for row, counts in zip(right, each, strict=True)
    )
    np.testing.assert_allclose(
        np.asarray(images).reshape(-1, PIXELS), flat[places], rtol=1e-5, atol=1e-5
    )
    state = jax.jit(step.begin)(keys.key(0), images, step.given(given))
    every = np.stack([logits(last, flat[places]) for last in weights[:, -1]])
    for slot, place in enumerate(places):
        who = right[:, place] if right[:, place].any() else np.ones(3, bool)
        np.testing.assert_allclose(
            state["logits"][slot], every[who, slot].mean(0), rtol=1e-3, atol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_set_is_learned_and_its_loss_falls(name):
    found = METHODS[name].synthesise(task(), entry(name, iterations=60))
    curve = np.array(found.info["loss"])
    assert len(curve) == 60 and curve[-10:].mean() < 0.7 * curve[:10].mean()
    assert found.images.dtype == np.float32 and found.images.shape == (6, 8, 8, 1)
    assert found.learning_rate != np.float32(SMALL.get("student_rate", 0.01))
    assert (found.soft_labels is not None) == (name == "datm")
    if name == "datm":
        np.testing.assert_allclose(found.soft_labels.sum(1), 1, rtol=1e-5)
        np.testing.assert_array_equal(found.soft_labels.argmax(1), found.labels)
    again = METHODS[name].synthesise(task(), entry(name, iterations=60))
    np.testing.assert_array_equal(again.images, found.images)
    other = METHODS[name].synthesise(
        task(key=jax.random.key(8)), entry(name, iterations=60)
    )
    assert (other.images != found.images).any()


@pytest.mark.parametrize("name", ["mtt", slow("datm")])
def test_a_stopped_synthesis_goes_on_where_it_was(tmp_path, name):
    chosen = entry(name, iterations=20)
    whole = METHODS[name].synthesise(task(), chosen)

    class Stop(Exception):
        pass

    calls = []

    def stopping(steps):
        calls.append(steps)
        if len(calls) == 9:
            raise Stop

    with pytest.raises(Stop):
        METHODS[name].synthesise(task(folder=tmp_path, progress=stopping), chosen)
    later = []
    found = METHODS[name].synthesise(
        task(folder=tmp_path, progress=later.append), chosen
    )
    assert sum(later) == 20 - 8
    np.testing.assert_array_equal(found.images, whole.images)
    assert found.learning_rate == whole.learning_rate
    assert found.info["loss"] == whole.info["loss"]
    assert found.cost.train_passes == whole.cost.train_passes


@pytest.mark.parametrize("name", ["mtt", slow("tesla"), slow("datm")])
def test_what_is_planned_is_what_is_booked(name):
    chosen, method = entry(name), METHODS[name]
    planned = method.work(task().outline(), chosen, IPC)
    booked = method.synthesise(task(), chosen).cost
    assert planned.train_passes == booked.train_passes == 6 * 3 * 3 * 6
    # DATM evaluates an expert on the pool and all three on the set.
    forward = 12 + 3 * 6 if name == "datm" else 0
    assert planned.forward_passes == booked.forward_passes == forward
    assert planned.flops == booked.flops > 0


def test_operations_grow_with_the_steps_of_a_student():
    outline, method = task().outline(), METHODS["mtt"]
    network = models.network("mlp", CLASSES, (8, 8, 1), hidden=(256,))
    outline = dataclasses.replace(outline, student=network)
    few, many = (
        method.work(outline, entry("mtt", steps=steps), IPC).flops for steps in (2, 8)
    )
    np.testing.assert_allclose(many, 4 * few, rtol=0.03)
    # One step is a forward and a backward pass; its derivative at least as much.
    least = 6 * 2 * 3 * 6 * 2 * 256 * (PIXELS + CLASSES)
    assert few > least


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mtt", "tesla"])
def test_memory_is_that_of_one_step(name):
    network = models.network("convnet_d1", CLASSES, (16, 16, 1), width=8)
    size = len(flatten(network.init(keys.key(0))["params"]))
    outline = dataclasses.replace(
        task().outline(), image_shape=(16, 16, 1), student=network
    )

    def bytes_of(steps):
        chosen = entry(name, steps=steps)
        program = METHODS[name].program(outline, chosen, 20)
        compiled = program.function.lower(*program.arguments).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    few, many = bytes_of(4), bytes_of(32)
    each = 4 * (size + 60 + 2)  # weights, the batch and the key of a step
    assert many - few <= 1.5 * 28 * each
    assert many < 1.5 * few


def test_parameters_are_one_vector_in_the_order_of_their_names():
    params = NETWORK.init(keys.key(0))["params"]
    flat = flatten(params)
    np.testing.assert_array_equal(flat[:CLASSES], params["fc_1"]["bias"])
    np.testing.assert_array_equal(flat[CLASSES:], params["fc_1"]["kernel"].reshape(-1))
    back = unflatten(NETWORK, flat)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mtt", {"batch": 7}, r"mtt\.batch: found 7, allowed is at most the 6 images"),
        ("mtt", {"span": 5}, r"mtt\.span: found 5, allowed is at most the 4 epochs"),
        (
            "tesla",
            {"max_start": 5},
            r"tesla\.max_start: found 5, allowed is at most 4: experts have 4 epochs",
        ),
        ("datm", {"min_start": 2}, r"datm\.min_start: found 2, allowed is less than"),
        ("datm", {"first_max": 3}, r"datm\.first_max: found 3, allowed is 0, or from"),
        (
            "mtt",
            {"experts": Experts(batch_size=13)},
            r"experts\.batch_size: found 13, allowed is at most the 12 images",
        ),
    ],
)
def test_refuses_before_compute(name, changes, message):
    with pytest.raises(InputError, match=join("distill.x", "") + message):
        METHODS[name].check(
            task().outline(), entry(name, **changes), "distill.x", (IPC,)
        )


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (trajectories()[:, :, 1:], rf"experts: found \(3, 5, {P - 1}\), allowed is"),
        (None, "experts: found None, allowed is trajectories of experts"),
        (np.full_like(trajectories(), np.nan), "experts: found weights that are not"),
    ],
)
def test_refuses_trajectories_of_another_network(experts, message):
    with pytest.raises(InputError, match=message):
        METHODS["mtt"].synthesise(task(experts=experts), entry("mtt"))


def test_a_loss_that_is_not_finite_is_named_and_the_last_good_set_kept():
    chosen = entry("mtt", iterations=40, learning_rate=1e37)
    found = METHODS["mtt"].synthesise(task(), chosen)
    assert np.isfinite(found.images).all() and 0 < len(found.info["loss"]) < 40
    assert f"the set is that of iteration {len(found.info['loss'])}" in found.notes[0]
