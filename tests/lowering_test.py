"""The programs of every method's config, lowered for accelerators from shapes alone."""

import dataclasses
import functools
import importlib.util
import pathlib

import jax
import pytest

from ddjax import distill, presets
from ddjax.settings import from_config
from ddjax.stations import estimate, needs, programs
from ddjax.train import programs as train_programs

FOLDER = pathlib.Path(__file__).parents[1] / "configs" / "methods"
METHODS = {path.stem for path in FOLDER.glob("*.py")}
METHODS = sorted(METHODS)
VARIANTS = [name for name in presets.JUDGED if name != "smoke"]
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
    return estimate.open_plan(from_config(module.get_config(variant)))


def networks_of(context, entry):
    names = needs.teachers_of_set(entry)
    return tuple(programs.teacher_network(context, name) for name in names)


def synthesis_of(context, change=lambda entry: entry):
    """The descent of a config's image set on its largest batch, or None."""
    ((entry, ipc),) = zip(
        context.settings.distill.values(), context.settings.select.ipcs, strict=True
    )
    entry = change(entry)
    if distill.METHODS[entry.method].section != "recover":
        return None
    networks = networks_of(context, entry)
    return programs.synthesis(entry, networks, context.source.num_classes, ipc)


def crops_of(context, entry):
    return programs.crop_scoring(networks_of(context, entry)[0], entry.patches, 3)


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
    context = plan("sre2l", variant)
    batch = min(100, context.source.num_classes)
    assert state.images.shape == (batch, *context.source.shape) and parts.shape == (4,)


@pytest.mark.parametrize("variant", CASES)
def test_choice_of_crops_lowers(variant):
    context = plan("rded", variant)
    traceable = crops_of(context, context.settings.distill["rded"])
    lowers(traceable, "convolution", "dot_general")
    losses, windows = traceable.shapes()
    assert losses.shape == (3,) and windows.shape == (3, 3)


@pytest.mark.parametrize("variant", CASES)
@pytest.mark.parametrize("regime", ["hard", "soft_kd"])
def test_training_step_lowers(variant, regime):
    context = plan("rded", variant)
    program = programs.student_program(context, regime)
    assert len(program.objective.teachers) == (regime == "soft_kd")
    step = train_programs.training_step(program, context.source.num_classes)
    lowers(step, "convolution", "dot_general")
    state = jax.eval_shape(lambda: step.arguments[0])
    assert step.shapes() == state


# Of up to eight teachers, which take half a minute to trace: all of them are traced at
# the variants that differ most, two of them at the others.
MANY, WHOLE = ("cv_dd", "g_vbsm", "edc"), ("digits", "cifar100", "imagenet")


def of_two_teachers(entry):
    recover = dataclasses.replace(entry.recover, prior=entry.recover.prior[:2])
    return dataclasses.replace(entry, teachers=entry.teachers[:2], recover=recover)


def configs():
    for method in METHODS:
        for variant in VARIANTS:
            quick = variant == "digits" or (variant in QUICK and method not in MANY)
            marks = () if quick else pytest.mark.slow
            yield pytest.param(method, variant, marks=marks)


@pytest.mark.parametrize("method, variant", list(configs()))
def test_every_config_has_a_program(method, variant):
    context = plan(method, variant)
    (entry,) = context.settings.distill.values()
    assert set(needs.teachers_of_set(entry)) <= set(needs.asked_teachers(context))
    few = method in MANY and variant not in WHOLE
    traceable = synthesis_of(context, of_two_teachers if few else lambda entry: entry)
    if traceable is not None:
        state, _ = traceable.shapes()
        assert state.images.shape[1:] == context.source.shape
    if traceable is None and networks_of(context, entry):
        losses, _ = crops_of(context, entry).shapes()
        assert losses.shape == (3,)
