"""The steps of `configs/protocol_steps.py`: each adds one thing, the last is RD3's."""

import dataclasses
import importlib.util
import pathlib

import pytest

from ddjax.settings import from_config
from ddjax.problem import open_problem

FOLDER = pathlib.Path(__file__).parents[1] / "configs"


def config(name, variant):
    spec = importlib.util.spec_from_file_location(
        pathlib.Path(name).stem, FOLDER / name
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return from_config(module.get_config(variant))


@pytest.fixture(scope="module")
def judges():
    first = open_problem(config("protocol_steps.py", "digits"))
    return [first, *map(first.with_student, first.settings.transfer)]


def flat(judge):
    """What a judge's students are trained by, as one flat dict."""
    student = dataclasses.asdict(judge.settings.student)
    return (
        student | student.pop("optimizer") | dataclasses.asdict(judge.settings.augment)
    )


def test_each_step_changes_what_its_name_says(judges):
    names = [judge.transfer for judge in judges]
    assert names == ["", "step2_batch_size", "step3_augmentation", "step4_schedule"]
    recipes = [flat(judge) for judge in judges]
    changed = [
        {name: new[name] for name in new if new[name] != old[name]}
        for old, new in zip(recipes, recipes[1:], strict=False)
    ]
    assert changed == [
        {"batch_size": 50},
        {"resized_crop": (0.5, 1.0), "patch_shuffle": 2},
        {"zeta": 1.0},
    ]


def test_all_steps_see_as_many_images(judges):
    passes = [judge.steps(10) * judge.settings.student.batch_size for judge in judges]
    assert passes == [400 * 100] * 4


def test_the_last_step_is_rd3s_protocol(judges):
    rd3 = open_problem(config("protocols/rd3_resnet18.py", "digits"))
    last, expected = flat(judges[-1]), flat(rd3)
    assert last.pop("network") != expected.pop("network")  # ours has batch norm
    assert last == expected
    assert judges[-1].recipe("soft_kd") == rd3.recipe("soft_kd")
    assert judges[-1].labels("soft_kd") == rd3.labels("soft_kd")
