"""IDC: an iteration against a plain loop; mosaics, from files to students.

Letters: C classes, B real and I synthetic images of a class.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tiny
from distill_match_test import COUNTS, SIDE, task_of

from ddjax import distill, models, pipeline, plan, settings
from ddjax.data.mosaics import decoded, mosaic
from ddjax.distill.idc import Idc, _mixed
from ddjax.distill.match.real import real_images
from ddjax.distill.match.siamese import siamese
from ddjax.errors import InputError

CLASSES = len(COUNTS)
SMALL = {
    **{"iterations": 2, "real": 4, "rounds": 2, "train_images": 6, "train_batch": 4},
    **{"learning_rate": 1.0, "most": 6},
}


@dataclasses.dataclass(frozen=True)
class Entry:
    idc: Idc = Idc(**SMALL)
    teachers: tuple = ()


def network(norm="instance"):
    return models.network("convnet_d1", CLASSES, (SIDE, SIDE, 1), width=3, norm=norm)


def step_of(task, **options):
    entry = Entry(Idc(**SMALL | options))
    return distill.METHODS["idc"].step(task.outline(), entry, task.ipc)


def plain_iteration(step, images, real, key):
    """An iteration as IDC's condense.py has it, by reverse over reverse mode."""
    options, mean, std = step.options, 0.4, 0.2

    def loss(variables, params, images, label):
        logits, _ = step.network.apply(
            variables | {"params": params}, images, train=True
        )
        return -jax.nn.log_softmax(logits)[:, label].mean()

    @jax.jit
    def of_class(variables, key, known, pixels, label):
        def gradient(images):
            params = variables["params"]
            return jax.grad(lambda w: loss(variables, w, images, label))(params)

        def distance(pixels):
            view_key, few_key = jax.random.split(key)
            own = jax.lax.dynamic_slice_in_dim(pixels, label * step.ipc, step.ipc)
            own = decoded(own, options.factor, 0.5)
            if len(own) > options.most:
                few = jax.random.permutation(few_key, len(own))[: options.most]
                own = own[few]
            stacks = (own - mean) / std, known
            # Colour, then a shift, then a box that is cut out.
            for number, operation in enumerate(("color", "crop", "cutout")):
                one = jax.random.fold_in(view_key, number)
                stacks = siamese((operation,), one, *stacks)
            apart = jax.tree.map(jnp.subtract, *map(gradient, stacks))
            kernels = [x for x in jax.tree.leaves(apart) if x.ndim == 4]
            return sum(jnp.abs(x).sum() for x in kernels)

        return jax.value_and_grad(distance)(pixels)

    init_key, key = jax.random.split(key)
    trained = step._trainer().begin(step.network.init(init_key))
    pixels, velocity = np.clip(images * std + mean, 0, 1), 0.0
    rate = options.learning_rate * step.ipc / 10 * (SIDE / 32) ** 2
    train = jax.jit(step._train)
    losses = []
    for round_key in jax.random.split(key, options.rounds):
        real_key, class_key, train_key = jax.random.split(round_key, 3)
        drawn = real.draw(real_key, options.real)
        for label, one in enumerate(jax.random.split(class_key, CLASSES)):
            value, slope = of_class(trained.variables, one, drawn[label], pixels, label)
            velocity = options.momentum * velocity + slope
            pixels = pixels - rate * velocity
            losses.append(value)
        for one in jax.random.split(train_key, 2):
            trained = train(trained, real, one)
    return (np.clip(pixels, 0, 1) - mean) / std, CLASSES * np.mean(losses)


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "norm"), [(1, "instance"), (2, "batch")])
def test_an_iteration_is_that_of_a_plain_loop(factor, norm):
    task = task_of(student=network(norm))
    step, real = step_of(task, factor=factor, metric="l1"), real_images(task)
    shape = (CLASSES * task.ipc, SIDE, SIDE, 1)
    images = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    state = step.begin(jax.random.key(0), images, None)
    state, loss = jax.jit(step)(state, real, jax.random.key(7))
    expected, mean = plain_iteration(step, images, real, jax.random.key(7))
    np.testing.assert_allclose(loss, mean, rtol=1e-3)
    moved = np.abs(expected - images)
    apart = np.abs(state["images"] - expected)
    assert np.median(apart) < 1e-3 * np.median(moved) and np.median(moved) > 1e-3
    shown = np.asarray(state["images"]) * 0.2 + 0.4
    assert shown.min() > -1e-6 and shown.max() < 1 + 1e-6


@pytest.mark.slow
def test_a_set_of_mosaics_comes_again_and_costs_what_was_planned():
    options = Entry(Idc(**SMALL | {"factor": 2}))
    method, task = distill.METHODS["idc"], task_of(student=network(), ipc=1)
    found = method.synthesise(task_of(student=network(), ipc=1), options)
    again = method.synthesise(task_of(student=network(), ipc=1), options)
    np.testing.assert_array_equal(found.images, again.images)
    assert found.factor == 2 and found.images.shape == (CLASSES, SIDE, SIDE, 1)
    assert found.sources.shape == (CLASSES, 4)
    label_of = dict(zip(task.ids, task.labels, strict=True))
    labels = [{label_of[one] for one in row} for row in found.sources]
    assert labels == [{0}, {1}, {2}]
    planned = method.work(task.outline(), options, 1)
    # Two iterations of two rounds: real images, four tiles twice, two batches.
    passes = 2 * 2 * (CLASSES * (4 + 2 * 4) + 2 * 4)
    assert found.cost.train_passes == planned.train_passes == passes
    assert found.cost.flops == pytest.approx(planned.flops, rel=0.2)


def test_tiles_are_enlarged_as_pytorch_does():
    line = np.float32([10, 20, 30, 50])
    image = np.broadcast_to(line, (4, 4))[None, :, :, None]
    tiles = np.asarray(decoded(jnp.asarray(image), 2, 0.0))
    assert tiles.shape == (4, 4, 4, 1)
    np.testing.assert_allclose(tiles[0, 1, :, 0], [10, 12.5, 17.5, 20])
    np.testing.assert_allclose(tiles[3, 2, :, 0], [30, 35, 45, 50])
    tall = np.asarray(decoded(jnp.asarray(image.swapaxes(1, 2)), 2, 0.0))
    np.testing.assert_allclose(tall[0, :, 0, 0], [10, 12.5, 17.5, 20])
    np.testing.assert_allclose(tall[2, :, 0, 0], [30, 35, 45, 50])
    np.testing.assert_array_equal(decoded(jnp.asarray(image), 1, 0.0), image)


def test_what_a_factor_does_not_divide_is_padded():
    image = jnp.ones((1, 3, 3, 2))
    tiles = np.asarray(decoded(image, 2, jnp.array([5.0, 7.0])))
    assert (tiles[0] == 1).all()
    np.testing.assert_allclose(tiles[3, 2, 2], [5, 7])
    np.testing.assert_allclose(tiles[3, 0, 0], [1, 1])


def test_a_mosaic_has_its_images():
    images = np.arange(2 * 4 * 25).reshape(2, 4, 5, 5, 1)
    found = mosaic(images, 2)
    assert found.shape == (2, 5, 5, 1)
    # Tiles of 3 and 2 pixels, each pixel the nearest below.
    np.testing.assert_array_equal(
        found[1, :3, :3, 0], images[1, 0][[0, 1, 3]][:, [0, 1, 3], 0]
    )
    np.testing.assert_array_equal(
        found[0, 3:, :3, 0], images[0, 2][[0, 2]][:, [0, 1, 3], 0]
    )
    even = np.arange(4 * 16).reshape(1, 4, 4, 4, 1)
    np.testing.assert_array_equal(
        mosaic(even, 2)[0, 2:, 2:, 0], even[0, 3, ::2, ::2, 0]
    )


def test_cutmix_mixes_labels_as_pixels():
    images = np.broadcast_to(np.arange(4.0)[:, None, None, None], (4, 6, 6, 1))
    targets, mixed = jnp.eye(4), 0
    run = jax.jit(_mixed, static_argnums=3)
    for seed in range(12):
        shown, labels = run(jax.random.key(seed), jnp.asarray(images), targets, 0.5)
        for row in range(4):
            parts = np.bincount(np.asarray(shown[row]).astype(int).ravel(), minlength=4)
            np.testing.assert_allclose(labels[row], parts / 36, atol=1e-6)
        mixed += not np.allclose(labels, targets)
    assert 0 < mixed < 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 5}, r"distill\.a\.idc\.factor: found 5, allowed is at most half"),
        ({"factor": 2}, r"distill\.a\.idc\.init: found 'random', .* not 8"),
    ],
)
def test_mosaics_that_do_not_fit_are_refused(options, message):
    entry, task = Entry(Idc(**SMALL | options)), task_of(student=network())
    with pytest.raises(InputError, match=message):
        distill.METHODS["idc"].check(task.outline(), entry, "distill.a", (2,))


def test_a_network_without_convolutions_is_refused():
    flat = models.network("mlp", CLASSES, (SIDE, SIDE, 1), hidden=(8,))
    with pytest.raises(InputError, match="a network with convolutions"):
        distill.METHODS["idc"].check(
            task_of(student=flat).outline(), Entry(), "distill.a", (2,)
        )


@pytest.mark.parametrize("factor", [1, 2])
def test_a_plan_holds_the_tiles_of_every_set(tmp_path, factor):
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"))
    config.student.network.name = "convnet_d2"
    settings.add_distillation(config, "idc")
    config.distill.idc.idc.update(real=4, factor=factor)
    problem = plan.open_plan(settings.from_config(config))
    stage = next(
        stage
        for stage in pipeline.build(problem)
        if stage.name == "students of idc, hard, IPC 2"
    )
    (trainings,) = stage.plan().trainings
    sets = len(config.protocol.seeds)
    assert trainings.held == sets * 2 * len(tiny.CLASSES) * factor**2


@pytest.mark.slow
def test_students_have_the_tiles_of_a_stored_set(tmp_path):
    """A run whose students have four images a mosaic."""
    config = tiny.config(tiny.write(tmp_path / "tiny.npz"))
    config.student.network.name = "convnet_d2"
    config.student.network.convnet.width = 4
    config.select.methods, config.regimes = ("random",), ("hard",)
    settings.add_distillation(config, "idc")
    config.distill.idc.idc.iterations, config.distill.idc.idc.real = 2, 4
    for name, value in {"rounds": 2, "train_images": 8, "factor": 2}.items():
        config.distill.idc.idc[name] = value
    folder = tmp_path / "run"
    summary = pipeline.run(settings.from_config(config), folder)
    assert set(summary["method"]) == {"random", "idc", "full"}
    rows = [row for row in runs.rows_of(folder) if row["method"] == "idc"]
    assert [row["images"] for row in rows] == [2 * 4 * len(tiny.CLASSES)] * 2
    assert len({row["subset"] for row in rows}) == 2
    steps = {row["steps"] for row in runs.rows_of(folder) if row["method"] != "full"}
    assert len(steps) == 1, "students of mosaics have another budget"
    places = [place for place in folder.glob("images/idc_*") if place.is_dir()]
    (written,) = {len([*place.rglob("*.png")]) for place in places}
    assert written == 2 * 4 * len(tiny.CLASSES)
    for path in folder.glob("artifacts/synthetic-*/manifest.json"):
        info = json.loads(path.read_text())
        stored = np.load(path.with_name("arrays.npz"))["images"]
        assert stored.shape == (6, SIDE, SIDE, 1), info
