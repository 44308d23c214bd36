"""What methods share that learn images: real images, DSA of a batch, the loop; and DM.

Letters: C classes, B real and I synthetic images of a class, H W image, K channels.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddjax import distill, models
from ddjax.data.augment import DSA_OPERATIONS
from ddjax.data.augment.dsa import apply_dsa, drawn_dsa
from ddjax.data.augment.recipe import Dsa, to_integer
from ddjax.distill.dm import Dm, DmStep
from ddjax.distill.match.distances import mean_distance
from ddjax.distill.match.options import Options, again
from ddjax.distill.match.real import real_images
from ddjax.distill.match.siamese import augmented, siamese
from ddjax.distill.task import Task
from ddjax.errors import InputError
from ddjax.process import ending

SIDE, COUNTS = 8, (9, 7, 12)
NETWORK = models.network("convnet_d2", len(COUNTS), (SIDE, SIDE, 1), width=4)
SMALL = Dm(iterations=6, real=5, learning_rate=0.5)


shown_by = jax.jit(siamese, static_argnums=0)
augmented_by = jax.jit(augmented, static_argnums=0)


@dataclasses.dataclass(frozen=True)
class Entry:
    dm: Options = SMALL
    teachers: tuple = ()


def task_of(**changes):
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
    count = len(labels)
    made = {
        "images": generator.integers(0, 256, (count, SIDE, SIDE, 1)).astype(np.uint8),
        "labels": labels.astype(np.int32),
        "ids": generator.permutation(100)[:count].astype(np.int32),
        "num_classes": len(COUNTS),
        "mean": np.array([0.4], np.float32),
        "std": np.array([0.2], np.float32),
        "teachers": (),
        "ipc": 2,
        "key": jax.random.key(3),
        "student": NETWORK,
    }
    return Task(**made | changes)


def make(task, options=SMALL):
    return distill.METHODS["dm"].synthesise(task, Entry(options))


def places_of(task, images):
    """Returns which images of the pool normalised ones [n,H,W,K] are."""
    normal = ((task.images / 255 - task.mean) / task.std).astype(np.float32)
    apart = np.abs(normal[None] - np.asarray(images)[:, None]).max((2, 3, 4))
    assert apart.min(1).max() < 1e-4
    return apart.argmin(1)


def test_real_images_are_distinct_and_of_their_class():
    task = task_of()
    real, seen = real_images(task), set()
    for draw in range(30):
        images = real.draw(jax.random.key(draw), min(COUNTS))
        for label, drawn in enumerate(images):
            places = places_of(task, drawn)
            assert len({*places}) == len(places), "an image came twice"
            assert {*task.labels[places]} == {label}
            seen |= {*places}
    assert len(seen) == sum(COUNTS), "some never came"


def test_samples_have_their_labels():
    task = task_of()
    real = real_images(task)
    images, labels = real.sample(jax.random.key(0), 200)
    places = places_of(task, images)
    np.testing.assert_array_equal(task.labels[places], labels)
    assert len(set(places)) > 20


@pytest.mark.parametrize("operation", DSA_OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_siamese_is_dsa_with_one_draw_for_all(operation, channels):
    generator = np.random.default_rng(1)
    real = generator.normal(size=(2, 3, 9, 9, channels)).astype(np.float32)
    learned = generator.normal(size=(4, 9, 9, channels)).astype(np.float32)
    dsa = Dsa((operation,), (0.0,) * channels, (1 / 255,) * channels)
    changed = False
    for seed in range(8):
        shown = shown_by((operation,), jax.random.key(seed), real, learned)
        numbers = jax.random.uniform(jax.random.key(seed), (4,))
        drawn = drawn_dsa(dsa, jnp.zeros((), int), numbers[1:], 9, 9)
        for stack, found in zip((real, learned), shown, strict=True):
            flat = stack.reshape(-1, 9, 9, channels)
            expected = jax.vmap(apply_dsa, (None, None, 0))(dsa, drawn, flat)
            np.testing.assert_allclose(
                found, expected.reshape(stack.shape), rtol=1e-4, atol=2e-5
            )
            changed |= not np.allclose(found, stack, atol=1e-3)
    assert changed


def test_siamese_draws_every_operation():
    image = np.random.default_rng(2).normal(size=(1, 8, 8, 1)).astype(np.float32)
    found = set()
    for seed in range(30):
        number = jax.random.uniform(jax.random.key(seed), (4,))[0]
        chosen = int(to_integer(number, len(DSA_OPERATIONS)))
        (shown,) = shown_by(DSA_OPERATIONS, jax.random.key(seed), image)
        (alone,) = shown_by((DSA_OPERATIONS[chosen],), jax.random.key(seed), image)
        np.testing.assert_allclose(shown, alone, atol=1e-6)
        found.add(chosen)
    assert found == set(range(len(DSA_OPERATIONS)))
    (same,) = siamese((), jax.random.key(0), image)
    np.testing.assert_array_equal(same, image)


def test_gradients_flow_through_siamese():
    image = np.random.default_rng(2).normal(size=(2, 8, 8, 1)).astype(np.float32)
    for operation in DSA_OPERATIONS:

        def total(x, operation=operation):
            return jnp.square(siamese((operation,), jax.random.key(1), x)[0]).sum()

        step = np.random.default_rng(3).normal(size=image.shape).astype(np.float32)
        exact = (jax.jit(jax.grad(total))(image) * step).sum()
        both = [jax.jit(total)(image + sign * 1e-2 * step) for sign in (1, -1)]
        numeric = (both[0] - both[1]) / 2e-2
        np.testing.assert_allclose(exact, numeric, rtol=2e-2, atol=1e-2)


def test_a_training_batch_has_one_operation_and_parameters_of_each_image():
    one = np.random.default_rng(4).normal(size=(8, 8, 1)).astype(np.float32)
    batch = np.repeat(one[None], 12, 0)
    for operation in ("crop", "scale", "rotate", "cutout", "color", "flip"):
        shown = np.asarray(augmented_by((operation,), jax.random.key(5), batch))
        assert len(np.unique(shown.reshape(12, -1), axis=0)) > 1, operation
    kinds = set()
    for seed in range(20):  # whether all images of a batch lost a box of equal size
        shown = np.asarray(augmented_by(("flip", "color"), jax.random.key(seed), batch))
        flipped = [np.allclose(x, one) or np.allclose(x, one[:, ::-1]) for x in shown]
        assert all(flipped) or not any(flipped)
        kinds.add(all(flipped))
    assert kinds == {True, False}
    np.testing.assert_array_equal(augmented((), jax.random.key(0), batch), batch)


def test_the_distance_of_means_hand_worked():
    real = jnp.array([[[1.0, 2.0], [3.0, 2.0]], [[0.0, 0.0], [0.0, 4.0]]])
    learned = jnp.array([[[1.0, 1.0]], [[0.0, 2.0]]])
    assert float(mean_distance(real, learned)) == 1 + 1


def test_dm_is_its_formula():
    """An iteration by the authors' loop over classes, with the same draws."""
    task = task_of()
    step = distill.METHODS["dm"].step(task.outline(), Entry(), task.ipc)
    real = real_images(task)
    images = jax.random.normal(jax.random.key(1), (6, SIDE, SIDE, 1))
    begun = step.begin(jax.random.key(0), images, None)
    state, loss = jax.jit(step)(begun, real, jax.random.key(9))

    init_key, real_key, view_key = jax.random.split(jax.random.key(9), 3)
    variables = NETWORK.init(init_key)
    drawn = real.draw(real_key, SMALL.real)

    def slow(images):
        total = 0.0
        for label in range(len(COUNTS)):
            own = images[2 * label : 2 * label + 2]
            view = jax.random.clone(view_key)
            known, learned = siamese(SMALL.augment, view, drawn[label], own)
            apart = NETWORK.features(variables, known).mean(0) - NETWORK.features(
                variables, learned
            ).mean(0)
            total += (apart**2).sum()
        return total

    expected, gradient = jax.jit(jax.value_and_grad(slow))(images)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(
        state["images"], images - SMALL.learning_rate * gradient, rtol=1e-3, atol=1e-4
    )


def test_the_velocity_is_that_of_pytorch():
    options = dataclasses.replace(SMALL, momentum=0.5, learning_rate=0.1)
    step = DmStep(NETWORK, options, 3, 2)
    state = {"images": jnp.zeros(2), "velocity": jnp.zeros(2)}
    for _ in range(3):
        state = step.descend(state, jnp.array([1.0, -2.0]))
    np.testing.assert_allclose(
        state["images"], -0.1 * (1 + 1.5 + 1.75) * np.array([1, -2]), rtol=1e-6
    )


def test_a_set_is_of_its_shape_and_comes_again():
    task = task_of()
    found, again_ = make(task), make(task_of())
    assert found.images.shape == (6, SIDE, SIDE, 1) and found.images.dtype == np.float32
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(found.images, again_.images)
    other = make(dataclasses.replace(task, key=jax.random.key(4)))
    assert not np.allclose(found.images, other.images)
    # Sources are the images that it starts from, some of which have moved.
    label_of = dict(zip(task.ids, task.labels, strict=True))
    assert [label_of[i] for i in found.sources[:, 0]] == found.labels.tolist()
    assert len(found.info["loss"]) == SMALL.iterations
    order = np.random.default_rng(1).permutation(len(task.labels))
    noise = dataclasses.replace(SMALL, init="noise")
    moved = {name: getattr(task, name)[order] for name in ("images", "labels", "ids")}
    np.testing.assert_allclose(
        make(task_of(), noise).images, make(task_of(**moved), noise).images, atol=1e-3
    )


def test_learning_makes_the_distance_smaller():
    options = dataclasses.replace(SMALL, iterations=150, learning_rate=1.0, real=7)
    loss = make(task_of(), options).info["loss"]
    assert np.mean(loss[-10:]) < 0.7 * np.mean(loss[:10])


def test_a_stopped_set_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = make(task_of())
    calls = []

    def stop():
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(ending, "stop_if_requested", stop)
    folder = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        make(task_of(folder=folder))
    monkeypatch.undo()
    steps = []
    found = make(task_of(folder=folder, progress=steps.append))
    assert sum(steps) == SMALL.iterations - 3
    np.testing.assert_array_equal(found.images, whole.images)
    assert found.info["loss"] == whole.info["loss"]
    assert found.cost.train_passes == whole.cost.train_passes
    other = dataclasses.replace(SMALL, momentum=0.0)
    with pytest.raises(InputError, match="belongs to another synthesis"):
        make(task_of(folder=folder), other)


def test_what_is_planned_is_booked():
    task = task_of()
    found = make(task).cost
    planned = distill.METHODS["dm"].work(task.outline(), Entry(), task.ipc)
    assert (found.forward_passes, found.train_passes) == (6 * 3 * 5, 6 * 3 * 2)
    assert planned.forward_passes == found.forward_passes
    assert planned.train_passes == found.train_passes
    assert planned.flops == pytest.approx(found.flops, rel=0.2) and found.flops > 0


def test_a_loss_that_is_not_finite_ends_in_an_error_or_a_note(tmp_path):
    steep = dataclasses.replace(SMALL, learning_rate=1e30, iterations=4)
    found = make(task_of(folder=tmp_path / "set"), steep)
    (note,) = found.notes
    assert "the loss is" in note and "the set is that of iteration" in note
    assert np.isfinite(found.images).all()
    bright = task_of(std=np.array([1e-30], np.float32))
    with pytest.raises(InputError, match="learning_rate: 0.5, but the loss is nan in"):
        make(bright)


@pytest.mark.parametrize(
    ("options", "ipcs", "message"),
    [
        ({"real": 8}, (2,), "distill.a.dm.real: found 8, allowed is at most the 7"),
        ({}, (8,), "distill.a.dm.init: found 'random', allowed is noise, or at most"),
    ],
)
def test_what_the_pool_cannot_give_is_refused(options, ipcs, message):
    entry = Entry(dataclasses.replace(SMALL, **options))
    with pytest.raises(InputError, match=message):
        distill.METHODS["dm"].check(task_of().outline(), entry, "distill.a", ipcs)
    noise = Entry(dataclasses.replace(SMALL, init="noise"))
    distill.METHODS["dm"].check(task_of().outline(), noise, "distill.a", (8,))


def test_settings_are_declared_anew_with_their_range():
    (field,) = (f for f in dataclasses.fields(Dm) if f.name == "iterations")
    assert field.default == 20_000 and again("momentum", 0.1).default == 0.1
