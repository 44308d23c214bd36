"""Every file under configs/, in every variant that its docstring names, is valid."""

import pathlib
import re

import ml_collections
import numpy as np
import pytest

from ddjax import presets, protocols
from ddjax.cli import config_files
from ddjax.settings import REQUIRED, from_config
from ddjax.stages.checks import check_names

FOLDER = pathlib.Path(__file__).parents[1] / "configs"
FILES = sorted(FOLDER.rglob("*.py"))
SMOKE_STUDENTS, SMOKE_STEPS, SMOKE_EPOCHS = 40, 400, 5


def load(path):
    return config_files.module(path)


@pytest.fixture(scope="module")
def get_config(tmp_path_factory):
    """Returns a function: a config's get_config, own.py's with data of one's own."""
    data = tmp_path_factory.mktemp("data") / "full.npz"
    x, y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    np.savez(data, x=x, y=y)

    def get(path, variant):
        given = {"data": str(data)} if (path.stem, variant) == ("own", "full") else {}
        config = load(path).get_config(variant, **given)
        if config.images == REQUIRED:
            config.images = "images"
        return config

    return get


def variants(path):
    return config_files.variants(load(path))


def test_there_are_configs():
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_variant_is_accepted(path, tmp_path, monkeypatch, get_config):
    monkeypatch.chdir(tmp_path)
    names = []
    for variant in variants(path):
        config = get_config(path, variant)
        assert isinstance(config, ml_collections.ConfigDict) and config.is_locked
        settings = from_config(config)
        kind, _, folder = settings.data.source.partition(":")
        if kind == "folder":  # The user's own, which has to be there.
            (tmp_path / folder).mkdir(exist_ok=True)
        check_names(settings)
        assert variant in settings.name
        names.append(settings.name)
    # The name is the default workdir, which holds one experiment.
    assert len(set(names)) == len(names)


def test_smoke_is_there_and_small(get_config):
    for path in FILES:
        assert "smoke" in variants(path), path
        settings = from_config(get_config(path, "smoke"))
        students = len(settings.protocol.seeds) * len(settings.regimes)
        students *= (len(settings.select.methods) + 1) * len(settings.select.ipcs)
        assert students * (1 + len(settings.transfer)) <= SMOKE_STUDENTS, path
        recipe = settings.student
        passes = recipe.passes or recipe.epochs * max(settings.select.ipcs) * 10
        assert not students or passes / recipe.batch_size <= SMOKE_STEPS, path
        assert settings.teacher.epochs <= SMOKE_EPOCHS and not settings.ensemble, path


def test_docstrings_and_refusals_name_the_variants_that_exist():
    for path in FILES:
        module = load(path)
        named = re.findall(rf"{path.name}:(\w+)", module.__doc__ or "")
        assert set(named) <= set(variants(path)), path
        with pytest.raises(ValueError) as caught:
            module.get_config("no_such_variant")
        assert all(variant in str(caught.value) for variant in variants(path)), path


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


def test_protocols_are_those_of_table_10():
    for name, expected in TABLE_10.items():
        student = from_config(presets.under_protocol(name, "imagenet")).student
        assert (student.batch_size, student.optimizer.zeta) == expected, name
        assert student.scale_by_t2 == (name in ("g_vbsm", "edc"))  # which have no KL


def test_every_protocol_and_method_has_a_source():
    assert all(protocol.source for protocol in protocols.PROTOCOLS.values())
    for path in FOLDER.glob("methods/*.py"):
        assert "\nSource: " in load(path).__doc__, path.name


METHODS = [path for path in FILES if path.parent.name == "methods"]


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_every_method_names_its_variants_and_is_evaluated_as_rd3_does(path):
    document = load(path).__doc__
    assert all(f"`{name}`" in document for name in presets.DATASETS)
    config = load(path).get_config("cifar10")
    rd3 = load(FOLDER / "protocols" / "rd3_resnet18.py").get_config("cifar10")
    for section in ("student", "augment", "labels", "regimes", "protocol"):
        assert config[section] == rd3[section]
    assert config.select.ipcs == (10,) and list(config.distill) == [path.stem]


# Of the tables of the methods' code: iterations, learning rate, weight of the batch
# norms, lowest area, pixels that images roll by, on one side only.
RECIPES = {
    ("sre2l", "imagenet"): (4000, 0.25, 0.01, 0.08, 32, True),
    ("sre2l", "imagewoof"): (4000, 0.25, 0.01, 0.08, 32, True),
    ("sre2l", "tiny_imagenet"): (4000, 0.1, 1.0, 0.08, 4, False),
    ("sre2l", "cifar100"): (1000, 0.25, 0.01, 1.0, 4, True),
    ("sre2l", "cifar10"): (1000, 0.25, 0.01, 1.0, 4, True),
    ("sre2l", "digits"): (1000, 0.25, 0.01, 1.0, 1, True),
    ("cda", "imagenet"): (4000, 0.25, 0.01, 0.08, 32, True),
    ("cda", "tiny_imagenet"): (4000, 0.4, 0.05, 0.08, 4, True),
    ("cda", "cifar10"): (4000, 0.4, 0.05, 0.08, 4, True),
    ("dwa", "cifar100"): (1000, 0.25, 0.01, 1.0, 4, True),
    ("dwa", "tiny_imagenet"): (2000, 0.1, 0.01, 0.08, 4, True),
    ("dwa", "imagenet"): (2000, 0.25, 0.01, 0.08, 32, True),
    ("lpld", "imagenet"): (4000, 0.25, 0.01, 0.08, 32, True),
    ("lpld", "tiny_imagenet"): (4000, 0.1, 0.05, 0.08, 4, False),
    ("sre2lpp", "cifar10"): (4000, 0.25, 0.01, 0.08, 4, True),
    ("cv_dd", "imagenette"): (4000, 0.25, 0.01, 0.08, 32, True),
    ("delt", "imagenet"): (4000, 0.25, 0.01, 0.08, 0, False),
    ("delt", "cifar10"): (4000, 0.25, 0.01, 0.08, 0, False),
    ("fadrm", "imagenet"): (2000, 0.25, 0.01, 0.08, 32, True),
    ("fadrm", "cifar100"): (2000, 0.25, 0.01, 0.08, 4, True),
}


@pytest.mark.parametrize("name, variant", RECIPES)
def test_methods_have_their_own_constants(name, variant):
    config = load(FOLDER / "methods" / f"{name}.py").get_config(variant)
    found = from_config(config).distill[name].recover
    recipe = (found.iterations, found.learning_rate, found.bn_weight, found.area)
    assert (*recipe, found.jitter, not found.two_sided) == RECIPES[name, variant]
    assert found.flip == (found.area < 1)


# Of recover.sh and the defaults of the script that it runs: weight of the statistics,
# batch, side of the patches, momentum of the statistics, drop rate; and how many
# teachers.
STATISTICS = {
    ("g_vbsm", "cifar100"): (0.01, 100, 4, 0.8, 0.4, 5),
    ("g_vbsm", "tiny_imagenet"): (0.01, 100, 4, 0.8, 0.4, 5),
    ("g_vbsm", "imagenet"): (0.01, 80, 16, 0.4, 0.0, 4),
    ("edc", "cifar100"): (0.01, 100, 4, 0.8, 0.0, 8),
    ("edc", "imagenet"): (0.1, 80, 16, 0.8, 0.0, 5),
    ("edc", "imagenette"): (0.01, 100, 16, 0.0, 0.0, 3),
}


@pytest.mark.parametrize("name, variant", STATISTICS)
def test_methods_of_many_teachers_have_their_own_constants(name, variant):
    config = load(FOLDER / "methods" / f"{name}.py").get_config(variant)
    entry = from_config(config).distill[name]
    found, own = entry.recover, getattr(entry, name)
    recipe = (found.bn_weight, found.batch, own.patch, own.momentum)
    recipe += (own.drop_rate, len(entry.teachers))
    assert recipe == STATISTICS[name, variant]
    # Small images are mirrored and rolled by G-VBSM, and not cropped.
    assert found.flip
    if name == "g_vbsm":
        assert (found.area == 1) == (variant != "imagenet")
        assert (found.jitter, found.two_sided) == (32, False)


def test_ensemble_has_the_priors_of_its_data_set():
    get_config = load(FOLDER / "methods" / "cv_dd.py").get_config
    found = {
        variant: from_config(get_config(variant)).distill["cv_dd"]
        for variant in presets.DATASETS
    }
    for entry in found.values():
        assert len(entry.cv_dd.prior) in (0, len(entry.teachers))
    # Cifar's and ImageNet's differ, also in which network counts most.
    assert found["cifar10"].cv_dd.prior == (63.0, 65.3, 68.5, 67.6, 67.4)
    assert found["imagenet"].cv_dd.prior == (56.4, 42.3, 52.5, 44.2, 40.6)


def test_nearest_constants_are_those_of_the_most_similar_set():
    both = {"tiny_imagenet": {"at": 64}, "imagenet": {"at": 224}}
    found = {name: presets.nearest(name, both)["at"] for name in presets.DATASETS}
    large = {"imagenet", "imagenette", "imagewoof"}
    assert {name for name in found if found[name] == 224} == large
    assert presets.nearest("digits", both | {"cifar100": {"at": 32}}) == {"at": 32}
