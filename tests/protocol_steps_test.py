"""The steps of `configs/protocol_steps.py`: each adds one thing, the last is RD3's."""

import dataclasses
import importlib.util
import pathlib

import pytest

from ddjax.problem import open_problem
from ddjax.settings import from_config

FOLDER = pathlib.Path(__file__).parents[1] / "configs"


def config(name, variant):
    spec = importlib.util.spec_from_file_location(
        pathlib.Path(name).stem, FOLDER / name
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return from_config(module.get_config(variant))


@pytest.fixture(scope="module")
def networks():
    first = open_problem(config("protocol_steps.py", "digits"))
    return list(first.networks().values())


def flat(network):
    """What a network's students are trained by, as one flat dict."""
    student = dataclasses.asdict(network.settings.student)
    return (
        student
        | student.pop("optimizer")
        | dataclasses.asdict(network.settings.augment)
    )


def test_each_step_changes_what_its_name_says(networks):
    names = [network.transfer for network in networks]
    assert names == ["", "step2_batch_size", "step3_augmentation", "step4_schedule"]
    recipes = [flat(network) for network in networks]
    changed = [
        {name: new[name] for name in new if new[name] != old[name]}
        for old, new in zip(recipes, recipes[1:], strict=False)
    ]
    assert changed == [
        {"batch_size": 50},
        {"resized_crop": (0.5, 1.0), "patch_shuffle": 2},
        {"zeta": 1.0},
    ]


def test_all_steps_see_as_many_images(networks):
    passes = [
        network.steps(10) * network.settings.student.batch_size for network in networks
    ]
    assert passes == [400 * 100] * 4


def test_the_last_step_is_rd3s_protocol(networks):
    rd3 = open_problem(config("protocols/rd3_resnet18.py", "digits"))
    last, expected = flat(networks[-1]), flat(rd3)
    assert last.pop("network") != expected.pop("network")  # ours has batch norm
    assert last == expected
    assert networks[-1].recipe("soft_kd") == rd3.recipe("soft_kd")
    assert networks[-1].labels("soft_kd") == rd3.labels("soft_kd")
