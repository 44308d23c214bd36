"""Every file under configs/, in every variant that its docstring names, is valid."""

import ast
import importlib.util
import inspect
import pathlib
import re

import ml_collections
import pytest

from ddjax import experiment, presets
from ddjax.settings import from_config

FOLDER = pathlib.Path(__file__).parents[1] / "configs"
FILES = sorted(FOLDER.rglob("*.py"))
SMOKE_STUDENTS, SMOKE_STEPS, SMOKE_EPOCHS = 40, 400, 5


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def variants(path):
    """The strings that get_config compares its argument with, and its default."""
    if path.parent.name == "protocols":
        return sorted(presets.JUDGED)
    tree = ast.parse(path.read_text())
    compared = {
        right.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and getattr(node.left, "id", "") == "variant"
        for right in node.comparators
        if isinstance(right, ast.Constant)
    }
    default = inspect.signature(load(path).get_config).parameters["variant"].default
    return sorted(compared | {default})


ALL = [(path, variant) for path in FILES for variant in variants(path)]


def test_there_are_configs():
    assert FILES


@pytest.mark.parametrize(
    "path, variant", ALL, ids=lambda value: getattr(value, "stem", value)
)
def test_variant_is_accepted(path, variant, tmp_path, monkeypatch):
    config = load(path).get_config(variant)
    assert isinstance(config, ml_collections.ConfigDict) and config.is_locked
    settings = from_config(config)
    kind, _, folder = settings.data.source.partition(":")
    if kind == "folder":  # The user's own, which has to be there.
        monkeypatch.chdir(tmp_path)
        (tmp_path / folder).mkdir()
    experiment.check_names(settings)
    assert variant in settings.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_variants_have_names_of_their_own(path):
    # The name is the default workdir, which holds one experiment.
    names = [load(path).get_config(variant).name for variant in variants(path)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_smoke_is_there_and_small(path):
    assert "smoke" in variants(path)
    settings = from_config(load(path).get_config("smoke"))
    students = len(settings.protocol.seeds) * len(settings.regimes)
    students *= (len(settings.select.methods) + 1) * len(settings.select.ipcs)
    assert students * (1 + len(settings.transfer)) <= SMOKE_STUDENTS
    recipe = settings.student
    passes = recipe.passes or recipe.epochs * max(settings.select.ipcs) * 10
    assert not students or passes / recipe.batch_size <= SMOKE_STEPS
    assert settings.teacher.epochs <= SMOKE_EPOCHS and not settings.committee


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_docstring_speaks_of_variants_that_exist(path):
    named = re.findall(rf"{path.name}:(\w+)", load(path).__doc__ or "")
    assert set(named) <= set(variants(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unknown_variant_is_refused_with_the_known_ones(path):
    with pytest.raises(ValueError) as caught:
        load(path).get_config("no_such_variant")
    for variant in variants(path):
        assert variant in str(caught.value)


# Table 10 of RD3: batch size and zeta of each method's code on ImageNet-1K.
TABLE_10 = {
    "sre2l": (1024, 1.0),
    "cda": (128, 1.0),
    "g_vbsm": (1024, 1.0),
    "dwa": (128, 1.0),
    "edc": (100, 2.0),
    "d4m": (1024, 1.0),
    "rded": (100, 2.0),
    "rd3_resnet18": (50, 1.0),
    "rd3_cross": (100, 2.0),
}


@pytest.mark.parametrize("name", TABLE_10)
def test_protocols_are_those_of_table_10(name):
    path = FOLDER / "protocols" / f"{name}.py"
    student = from_config(load(path).get_config("imagenet")).student
    assert (student.batch_size, student.optimizer.zeta) == TABLE_10[name]
    assert student.scale_by_t2 == (name in ("g_vbsm", "edc"))  # which have no KL


def test_every_protocol_has_a_source():
    for path in FOLDER.glob("protocols/*.py"):
        assert "\nSource: " in load(path).__doc__, path.name
