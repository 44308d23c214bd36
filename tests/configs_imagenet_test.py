"""ImageNet's configs: valid, planned without data, and lowered for accelerators."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import pytest

from ddjax import plan as plans
from ddjax.errors import InputError
from ddjax.settings import from_config
from ddjax.stages import students, teacher
from ddjax.train import programs

pytestmark = pytest.mark.slow

FOLDER = pathlib.Path(__file__).parents[1] / "configs" / "imagenet"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
PLATFORMS = ("cuda", "tpu")
# Configs with a variant `imagenet`; those with other teachers than ResNet-18, or many
# students, and all but one of those that share their programs take seconds each.
QUICK = ("protocols/d4m", "protocols/rd3_resnet18", "methods/rded", "teacher")
CHIPS = ("TPU v5p", "H100", "H200")


@functools.cache
def load(name):
    path = FOLDER.parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def has_imagenet(name):
    try:
        load(name).get_config("imagenet")
    except InputError:
        return False
    return True


EVERY = [
    name
    for name in sorted(
        path.relative_to(FOLDER.parent).with_suffix("").as_posix()
        for path in FOLDER.parent.rglob("*.py")
    )
    if has_imagenet(name)
]


@functools.cache
def plan(name, variant="imagenet"):
    config = load(f"imagenet/{name}").get_config(variant)
    return plans.open_plan(from_config(config))


@functools.cache
def total(name):
    return plans.total(plan(name))


def lowers(traceable, *names):
    for platform in PLATFORMS:
        module = traceable.lower(platform).as_text()
        assert all(f"stablehlo.{name}" in module for name in names)


@pytest.mark.parametrize("name", NAMES)
def test_is_planned_without_data(name):
    problem = plan(name)
    settings = problem.settings
    assert settings.data.stream and settings.regimes == ("hard", "soft", "soft_kd")
    assert problem.source.shape == (224, 224, 3) and settings.select.ipcs[-1] == 100
    assert len(problem.pool) + len(problem.validation) == 1_281_167
    found = {each.name: each for each in total(name).trainings}
    taught = found["teacher, resnet18"]
    # 90 epochs of batch 256; the compute-aligned run has a student's steps.
    assert (taught.steps, taught.images) == (-(-90 * 1_255_167 // 256), 1_255_167)
    scoring = found["scoring runs, hard, IPC 100"]
    assert scoring.steps == 300 * 100_000 // 200 and scoring.driver == "loop"
    assert len(found) == 1 + 3 + 9


@pytest.mark.parametrize("name", EVERY)
def test_no_variant_holds_all_of_imagenet(name):
    found = from_config(load(name).get_config("imagenet"))
    assert found.data.stream and found.data.image_size == 224
    assert found.data.source.startswith("tfds:imagenet2012")
    assert not found.regimes or found.sweep.driver == "loop"


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in EVERY],
)
def test_every_plan_fits_a_chip(name):
    problem = plans.open_plan(from_config(load(name).get_config("imagenet")))
    room = min(plans.ACCELERATORS[chip][1] for chip in CHIPS) * plans.ROOM
    for each in plans.trainings(problem):
        for chips in (1, 8):
            assert plans.per_device(problem, each, chips).total < room, each.name


def test_subsets_are_held_and_the_pool_is_streamed():
    problem = plan("cad_prune")
    whole = total("cad_prune")
    found = {each.name: each for each in whole.trainings}
    pixels = 224 * 224 * 3
    held = plans.per_device(problem, found["students, resnet18, hard, IPC 100"], 1)
    assert held.images == 100_000 * pixels
    streamed = plans.per_device(problem, found["scoring runs, hard, IPC 10"], 8)
    assert streamed.images == 2 * 200 / 8 * pixels
    assert streamed.total < held.total < 24 * 2**30
    # Log-probabilities of three runs, twice; records of 9 snapshots beside them.
    predictions = found["scoring runs, hard, IPC 100"].predictions
    assert predictions == 4 * 3 * 1_255_167 * 1000
    name, size = plans.checkpoint(whole)
    assert name == "scoring runs, hard, IPC 100"
    assert size > 2 * predictions


def test_small_variant_needs_no_stream_and_less_work():
    small, large = plan("cad_prune", "imagenet_small"), plan("cad_prune")
    assert not small.settings.data.stream
    network = programs.native(small.student_network)
    ratio = programs.forward_flops(programs.native(large.student_network))
    ratio /= programs.forward_flops(network)
    assert 10 < ratio < 20
    patches = plan("ca2d", "imagenet_small").settings.distill["ca2d"].patches
    assert patches.factor == 1 and patches.candidates >= 100


def test_patches_are_there_for_the_largest_budget():
    problem = plan("ca2d")
    for entry in problem.settings.distill.values():
        needed = max(problem.settings.select.ipcs) * entry.patches.factor**2
        assert entry.patches.candidates >= needed
    assert problem.settings.distill["ca2d"].ca2d.pool >= needed


def test_training_steps_have_the_right_shapes():
    problem = plan("cad_prune")
    for program in (
        teacher.planned_program(problem, "teacher"),
        students.planned_program(problem, "soft_kd"),
    ):
        step = programs.training_step(program, 1000)
        state, pool, plan_of_step, _ = step.arguments
        assert pool.images.shape == (program.batch_size, 224, 224, 3)
        assert plan_of_step.positions.shape == (program.batch_size,)
        assert step.shapes() == jax.eval_shape(lambda state=state: state)
        head = state["variables"]["params"]
        sizes = [leaf.shape for leaf in jax.tree.leaves(head)]
        assert (512, 1000) in sizes


def test_predictions_lower():
    problem = plan("cad_prune")  # of a teacher about views, and of students
    traceable = programs.forward(teacher.planned_network(problem, "teacher"), 256)
    lowers(traceable, "convolution", "dot_general")
    logits, _ = traceable.shapes()
    assert logits.shape == (256, 1000) and logits.dtype == jnp.float32


@pytest.mark.parametrize(
    "regime",
    [
        pytest.param("hard", marks=pytest.mark.slow),
        pytest.param("soft", marks=pytest.mark.slow),
        "soft_kd",  # which has the teacher in it
    ],
)
def test_student_steps_lower(regime):
    problem = plan("cad_prune")
    program = students.planned_program(problem, regime)
    lowers(programs.training_step(program, 1000), "convolution", "dot_general")


def test_teacher_step_lowers():
    program = teacher.planned_program(plan("cad_prune"), "teacher")
    lowers(programs.training_step(program, 1000), "convolution", "dot_general")
