"""The programs of every method's config, lowered for accelerators from shapes alone."""

import dataclasses
import functools
import importlib.util
import pathlib

import jax
import pytest

from ddjax import distill, presets
from ddjax import plan as plans
from ddjax.distill import crops
from ddjax.settings import from_config
from ddjax.stages.requirements import required_teachers, teachers_of_set
from ddjax.stages.students import planned_program
from ddjax.stages.synthetic import outline_of
from ddjax.train import programs

pytestmark = pytest.mark.slow

FOLDER = pathlib.Path(__file__).parents[1] / "configs" / "methods"
METHODS = {path.stem for path in FOLDER.glob("*.py")}
METHODS = sorted(METHODS)
VARIANTS = [name for name in presets.DATASETS if name != "smoke"]
QUICK = ("digits", "cifar10")
CASES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in VARIANTS
]


@functools.cache
def plan(method, variant):
    spec = importlib.util.spec_from_file_location(method, FOLDER / f"{method}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return plans.open_plan(from_config(module.get_config(variant)))


def synthesis_of(problem, change=lambda entry: entry):
    """The descent of a config's synthetic set on its largest batch, or None."""
    ((entry, ipc),) = zip(
        problem.settings.distill.values(), problem.settings.select.ipcs, strict=True
    )
    entry = change(entry)
    method = distill.METHODS[entry.method]
    if not hasattr(method, "program"):
        return None
    (name,) = problem.settings.distill
    outline = outline_of(problem, name)
    chosen = {who: outline.teachers[who] for who in entry.teachers}
    outline = dataclasses.replace(outline, teachers=chosen)
    return method.program(outline, entry, ipc)


def crops_of(problem, entry):
    (name,) = problem.settings.distill
    (network,) = outline_of(problem, name).networks(1)
    size = network.image_shape[0] // entry.patches.factor
    return crops.program(network, entry.patches.crops, size, 3)


def lowers(traceable, *names):
    """Asserts that a program with these operations comes out for each platform."""
    for platform in ("tpu", "cuda"):
        module = traceable.lower(platform).as_text()
        assert all(f"stablehlo.{name}" in module for name in names)


@pytest.mark.parametrize("variant", CASES)
def test_descent_on_images_lowers(variant):
    traceable = synthesis_of(plan("sre2l", variant))
    lowers(traceable, "convolution", "while")
    state, parts = traceable.shapes()
    problem = plan("sre2l", variant)
    batch = min(100, problem.source.num_classes)
    assert state.images.shape == (batch, *problem.source.shape) and parts.shape == (4,)


@pytest.mark.parametrize("variant", CASES)
def test_choice_of_crops_lowers(variant):
    problem = plan("rded", variant)
    traceable = crops_of(problem, problem.settings.distill["rded"])
    lowers(traceable, "convolution", "dot_general")
    losses, windows = traceable.shapes()
    assert losses.shape == (3,) and windows.shape == (3, 3)


@pytest.mark.parametrize("variant", CASES)
@pytest.mark.parametrize("regime", ["hard", "soft_kd"])
def test_training_step_lowers(variant, regime):
    problem = plan("rded", variant)
    program = planned_program(problem, regime)
    assert len(program.objective.teachers) == (regime == "soft_kd")
    step = programs.training_step(program, problem.source.num_classes)
    lowers(step, "convolution", "dot_general")
    state = jax.eval_shape(lambda: step.arguments[0])
    assert step.shapes() == state


# Of up to eight teachers, which take half a minute to trace: all of them are traced at
# the variants that differ most, two of them at the others.
MANY, WHOLE = ("cv_dd", "g_vbsm", "edc", "fadrm"), ("digits", "cifar100", "imagenet")


def of_two_teachers(entry):
    cv_dd = dataclasses.replace(entry.cv_dd, prior=entry.cv_dd.prior[:2])
    return dataclasses.replace(entry, teachers=entry.teachers[:2], cv_dd=cv_dd)


def configs():
    for method in METHODS:
        for variant in VARIANTS:
            quick = variant == "digits" or (variant in QUICK and method not in MANY)
            marks = () if quick else pytest.mark.slow
            yield pytest.param(method, variant, marks=marks)


@pytest.mark.parametrize("method, variant", list(configs()))
def test_every_config_has_a_program(method, variant):
    problem = plan(method, variant)
    (entry,) = problem.settings.distill.values()
    assert set(teachers_of_set(entry)) <= set(required_teachers(problem))
    few = method in MANY and variant not in WHOLE
    change = of_two_teachers if few else lambda entry: entry
    traceable = synthesis_of(problem, change)
    if traceable is not None:
        state, _ = traceable.shapes()
        assert state.images.shape[1:] == problem.source.shape
    if traceable is None and teachers_of_set(entry):
        losses, _ = crops_of(problem, entry).shapes()
        assert losses.shape == (3,)
