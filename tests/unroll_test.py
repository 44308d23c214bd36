"""Training that is differentiated: the same steps, and gradients computed four ways."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import keys, losses, models, train
from ddjax.data.augment import Recipe
from ddjax.errors import InputError
from ddjax.labels import Objective
from ddjax.train import batches, order, student
from ddjax.train.unroll import Learned, Step, StudentLoss, unroll, unroll_by_adjoint

N, CLASSES, BATCH = 12, 3, 4
SHAPE = (8, 8, 1)
FORMS = {
    "rematerialised": unroll,
    "adjoint": unroll_by_adjoint,
    "tesla": functools.partial(unroll_by_adjoint, exact=False),
}


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


# The student's own training.


def program_of(optimizer="sgd", regime="hard"):
    network = models.network("mlp", CLASSES, SHAPE, hidden=(8,))
    recipe = Recipe(flip=True)
    return student.Program(network, Objective(regime), recipe, BATCH, optimizer)


@functools.cache
def examples(steps):
    """The pool and a plan of so many steps."""
    rng = np.random.default_rng(0)
    pool = batches.Pool(
        jnp.asarray(rng.integers(0, 256, (N, *SHAPE), np.uint8)),
        jnp.arange(N, dtype=jnp.int32) % CLASSES,
        jnp.arange(N, dtype=jnp.int32),
        jnp.full(1, 0.4, jnp.float32),
        jnp.full(1, 0.3, jnp.float32),
        teacher_logits=jnp.asarray(rng.normal(size=(N, CLASSES)), jnp.float32),
    )

    @jax.jit
    def planned(seed, first):
        positions = jnp.arange(N, dtype=jnp.int32)
        count = steps * BATCH
        presented = order.presentations(seed, positions, pool.ids, first, count)
        recipe = program_of().recipe
        return batches.make_plan(recipe, SHAPE, pool.ids, seed, presented)

    return pool, planned(jnp.int32(5), jnp.int32(0))


def training(program, steps):
    """The arguments of `advance_all` but for the program."""
    state = jax.jit(student.init_student, static_argnums=0)(program, jnp.int32(5))
    values = {"learning_rate": 0.03, "total_steps": 30, "weight_decay": 0.01}
    defaults = student.HParams(0.0, 1.0)._asdict() | values
    hparams = student.HParams(**{k: jnp.float32(v) for k, v in defaults.items()})
    return state, *examples(steps), hparams


@pytest.mark.parametrize(
    ("optimizer", "regime"),
    [
        ("sgd", "hard"),
        ("adamw", "soft"),
        slow("sgd", "soft"),
        slow("adamw", "hard"),
    ],
)
def test_a_static_number_of_steps_equals_a_traced_one(optimizer, regime):
    program = program_of(optimizer, regime)
    arguments = training(program, 30)
    first, stop = jnp.int32(0), jnp.int32(30)
    advance = jax.jit(student.advance, static_argnums=0)
    expected = advance(program, *arguments, first, stop)
    found = jax.jit(student.advance_all, static_argnums=0)(program, *arguments)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(),
        found["variables"]["params"],
        arguments[0]["variables"]["params"],
    )
    assert min(jax.tree.leaves(moved)) > 1e-3
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_training_is_differentiated_through_all_its_steps():
    program = program_of()
    state, pool, plan, hparams = training(program, 2)
    images = pool.images.astype(jnp.float32)

    def loop(program, state, pool, plan, hparams):
        for step in range(2):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            batch = jax.tree.map(lambda a, rows=rows: a[rows], plan)
            state = student.train_step(program, state, pool, batch, hparams)
        return state

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(advance, params, images, hparams, state, plan):
        def objective(params, images, hparams):
            changed = pool._replace(images=images)
            start = state | {"variables": {"params": params}}
            end = advance(program, start, changed, plan, hparams)
            leaves = jax.tree.leaves(end["variables"]["params"])
            return sum(jnp.square(leaf).sum() for leaf in leaves)

        return jax.grad(objective, argnums=(0, 1, 2))(params, images, hparams)

    arguments = state["variables"]["params"], images, hparams, state, plan
    found = gradients(student.advance_all, *arguments)
    expected = gradients(loop, *arguments)
    close(found, expected, 1e-5)
    assert np.abs(found[1]).max() > 0
    assert found[2].learning_rate != 0 and found[2].momentum != 0


# Plain SGD on a synthetic set.


def close(found, expected, tolerance):
    """Compares leaf by leaf, relative to the largest number of each."""
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def loop(loss, params, learned, rate, steps):
    """What `unroll` computes, written out."""
    for i in range(len(jax.tree.leaves(steps)[0])):
        step = jax.tree.map(lambda a, i=i: a[i], steps)
        grads = jax.grad(loss)(params, learned, step)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
    return params


def match(take, loss, params, learned, rate, steps, target):
    """Squared distance of the last weights to a target."""
    last = take(loss, params, learned, rate, steps)
    parts = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), last, target)
    return sum(jax.tree.leaves(parts))


differentiated = jax.jit(
    jax.value_and_grad(match, argnums=(2, 3, 4)), static_argnums=(0, 1)
)


def smooth(params, learned, rows):
    """Cross-entropy of a network with a smooth hidden layer, in plain JAX."""
    images_BD, labels_BC = (a[rows] for a in learned)
    hidden = jax.nn.softplus(images_BD @ params["in"])
    log_probs = jax.nn.log_softmax(hidden @ params["out"])
    return -(labels_BC * log_probs).sum(axis=1).mean()


def problem(steps):
    """The arguments of `match` after the loss, in float64 for `smooth`."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(0.5 * rng.normal(size=shape))  # noqa: E731
    params, target = ({"in": draw(5, 6), "out": draw(6, CLASSES)} for _ in range(2))
    learned = Learned(draw(N, 5), jax.nn.softmax(draw(N, CLASSES)))
    # Some rows are in several steps.
    rows = jnp.asarray(rng.integers(0, N, (steps, BATCH)))
    return params, learned, jnp.asarray(0.3), rows, target


@pytest.mark.parametrize("form", ["rematerialised", "adjoint"])
def test_gradient_is_that_of_the_loop_in_float64(form):
    with jax.enable_x64(True):
        arguments = problem(3)
        value, found = differentiated(FORMS[form], smooth, *arguments)
        expected_value, expected = differentiated(loop, smooth, *arguments)
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected_value, rtol=1e-12)
        close(found, expected, 1e-11)


def test_three_steps_against_finite_differences():
    with jax.enable_x64(True):
        params, learned, rate, rows, target = problem(3)
        _, grads = differentiated(
            unroll_by_adjoint, smooth, params, learned, rate, rows, target
        )
        rng = np.random.default_rng(1)
        inputs = (params, learned, rate)
        value = jax.jit(match, static_argnums=(0, 1))
        for i in range(3):
            along = jax.tree.map(lambda a: rng.normal(size=a.shape), inputs[i])

            def moved(size, i=i, along=along):
                changed = list(inputs)
                changed[i] = jax.tree.map(lambda a, d: a + size * d, inputs[i], along)
                return float(value(loop, smooth, *changed, rows, target))

            difference = (moved(1e-5) - moved(-1e-5)) / 2e-5
            found = jax.tree.map(lambda g, d: (g * d).sum(), grads[i], along)
            np.testing.assert_allclose(
                sum(jax.tree.leaves(found)), difference, rtol=1e-7
            )


def flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


@jax.jit
def tesla(params, learned, rate, rows, target):
    """TESLA's gradient of `match`, every step written out."""

    def gradient(params, learned, row):
        return flat(jax.grad(smooth)(params, learned, row))

    # The weights before each step; from here on they are constants.
    before = [params]
    for row in rows[:-1]:
        before.append(loop(smooth, before[-1], learned, rate, row[None]))
    pairs = list(zip(before, rows, strict=True))
    total = sum(gradient(params, learned, row) for params, row in pairs)
    start = flat(params) - flat(target)
    # ||start - rate * total||^2 expanded: twice the bracket times the gradient of each
    # step, as a function of the synthetic set.
    bracket = rate**2 * total - rate * start

    def products(learned):
        each = (gradient(params, learned, row) for params, row in pairs)
        return 2 * sum(bracket @ found for found in each)

    return jax.grad(products)(learned), -2 * (start - rate * total) @ total


def test_tesla_is_its_formula():
    with jax.enable_x64(True):
        arguments = problem(3)
        _, (_, *found) = differentiated(FORMS["tesla"], smooth, *arguments)
        close(found, tesla(*arguments), 1e-11)
        _, (_, exact, _) = differentiated(unroll_by_adjoint, smooth, *arguments)
        difference = np.abs(exact.images - found[0].images).max()
        assert difference > 0.02 * np.abs(exact.images).max()


def test_one_step_has_no_hessian_to_leave_out():
    arguments = problem(1)
    _, exact = differentiated(unroll_by_adjoint, smooth, *arguments)
    _, found = differentiated(FORMS["tesla"], smooth, *arguments)
    close(found[1:], exact[1:], 1e-6)


def test_members_differ_under_vmap():
    params, learned, rate, rows, target = problem(3)
    rates = jnp.stack([rate, 2 * rate])

    def each(rate):
        return differentiated(
            unroll_by_adjoint, smooth, params, learned, rate, rows, target
        )

    together = jax.vmap(each)(rates)
    for i in range(2):
        close(jax.tree.map(lambda a, i=i: a[i], together), each(rates[i]), 1e-5)


# Networks.


def brightened(key, images_BHWK):
    """An augmentation: contrast and brightness, the same for all images of a batch."""
    contrast, brightness = jax.random.normal(key, (2,))
    return jnp.exp(contrast) * images_BHWK + brightness


def image_problem(loss, steps, batch=BATCH, keyed=True):
    """The arguments of `match` after the loss, for a network."""
    rng = np.random.default_rng(0)
    params, target = (loss.network.init(keys.key(i))["params"] for i in range(2))
    shape = (N, *loss.network.image_shape)
    images = jnp.asarray(rng.normal(size=shape), jnp.float32)
    labels = jax.nn.softmax(jnp.asarray(rng.normal(size=(N, CLASSES)), jnp.float32))
    rows = jnp.asarray(rng.integers(0, N, (steps, batch)), jnp.int32)
    each = jax.random.split(keys.key(7), steps) if keyed else None
    learned = Learned(images, labels)
    return params, learned, jnp.float32(0.1), Step(rows, each), target


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"hidden": (8,)}),
        slow("convnet_d1", {"width": 4, "norm": "instance"}),
        slow("convnet_d1", {"width": 4, "norm": "batch"}),
    ],
)
def test_all_forms_agree_for_a_network_with_augmentation(name, options):
    network = models.network(name, CLASSES, SHAPE, **options)
    loss = StudentLoss(network, brightened)
    expected_value, expected = differentiated(loop, loss, *image_problem(loss, 2))
    for form in ("rematerialised", "adjoint"):
        # With keys of its own, for those of the other are used up.
        value, found = differentiated(FORMS[form], loss, *image_problem(loss, 2))
        np.testing.assert_allclose(value, expected_value, rtol=1e-5)
        close(found, expected, 1e-4)
        for leaf in jax.tree.leaves(found[1:]):
            assert np.abs(leaf).max() > 0


def test_loss_of_a_student_is_the_cross_entropy_of_its_batch():
    network = models.network("mlp", CLASSES, SHAPE, hidden=())
    loss = StudentLoss(network)
    params, learned, *_ = image_problem(loss, 1)
    classes, rows = jnp.arange(N) % CLASSES, jnp.asarray([3, 5, 5])
    hard = learned._replace(labels=jax.nn.one_hot(classes, CLASSES))
    logits, _ = network.apply({"params": params}, learned.images[rows])
    expected = losses.cross_entropy(logits, classes[rows]).mean()
    found = loss(params, hard, Step(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def temporaries(form, steps):
    """Bytes of a compiled gradient beside its arguments and results."""
    network = models.network("convnet_d1", CLASSES, (16, 16, 1), width=8)
    loss = StudentLoss(network)
    arguments = image_problem(loss, steps, batch=64, keyed=False)
    compiled = differentiated.lower(form, loss, *arguments).compile()
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(arguments[0]))
    return compiled.memory_analysis().temp_size_in_bytes, weights


@pytest.mark.parametrize("form", ["adjoint", slow("rematerialised"), slow("tesla")])
def test_memory_grows_by_the_weights_of_a_step_only(form):
    few, weights = temporaries(FORMS[form], 4)
    many, _ = temporaries(FORMS[form], 32)
    assert many - few <= 1.5 * 28 * weights
    assert many < 1.35 * few


# What is refused.


@pytest.mark.parametrize("form", [unroll, unroll_by_adjoint])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": jnp.ones(3)}, r"rate: found shape \(3,\), allowed is a scalar"),
        ({"steps": jnp.zeros((0, 4), int)}, r"steps: found shapes \(0, 4\), allowed"),
        (
            {"steps": (jnp.zeros((2, 4)), jnp.zeros(3))},
            r"steps: found shapes \(2, 4\), ",
        ),
        ({"steps": ()}, "steps: found shapes no array, allowed are arrays"),
    ],
)
def test_refuses_what_is_no_sequence_of_steps(form, changes, message):
    params, learned, rate, rows, _ = problem(2)
    arguments = {"rate": rate, "steps": rows} | changes
    with pytest.raises(InputError, match=message):
        form(smooth, params, learned, **arguments)


def test_refuses_an_augmentation_without_keys():
    loss = StudentLoss(models.network("mlp", CLASSES, SHAPE), brightened)
    params, learned, rate, steps, _ = image_problem(loss, 2, keyed=False)
    with pytest.raises(InputError, match="steps: found no keys"):
        train.unroll(loss, params, learned, rate, steps)
