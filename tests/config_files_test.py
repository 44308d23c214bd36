import pathlib
import shutil

import pytest

from ddjax.cli import config_files
from ddjax.errors import InputError

CHECKOUT = pathlib.Path(__file__).parents[1] / "configs"


def test_a_checkout_has_its_own_folder():
    assert config_files.folder() == CHECKOUT


def test_an_installed_package_has_the_folder_inside(tmp_path, monkeypatch):
    inside = tmp_path / "site-packages" / "ddjax"
    shutil.copytree(CHECKOUT, inside / "configs")
    shutil.copytree(CHECKOUT, tmp_path / "site-packages" / "configs")
    monkeypatch.setattr(config_files, "_PACKAGE", inside)
    assert config_files.folder() == inside / "configs"
    assert config_files.find("methods/sre2l").is_relative_to(inside)


def test_a_package_without_configs_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "_PACKAGE", tmp_path / "ddjax")
    with pytest.raises(InputError, match="ddjax/configs"):
        config_files.names()


def test_names_are_those_of_the_files_and_each_is_found():
    names = config_files.names()
    assert names == sorted(names) and {"cad_prune", "methods/sre2l"} <= set(names)
    assert {config_files.find(name) for name in names} == set(CHECKOUT.rglob("*.py"))


@pytest.mark.parametrize(
    "name",
    [
        "methods/sre2l",
        "methods/sre2l.py",
        "configs/methods/sre2l",
        "configs/methods/sre2l.py",
        "./configs/methods/sre2l.py",
    ],
)
def test_find_takes_names_and_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where nothing of that name lies
    assert config_files.find(name) == CHECKOUT / "methods" / "sre2l.py"


def test_own_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / "cad_prune.py"
    own.touch()
    assert config_files.find("cad_prune.py").samefile(own)
    assert config_files.find("~/cad_prune.py") == own
    assert config_files.find("cad_prune") == CHECKOUT / "cad_prune.py"


def test_a_folder_is_no_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coresets.py").mkdir()
    assert config_files.find("coresets.py") == CHECKOUT / "coresets.py"
    with pytest.raises(InputError, match="found 'methods'"):
        config_files.find("methods")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cad_prunes", "did you mean cad_prune or cad_readings or imagenet/cad_prune$"),
        ("sre2l", "did you mean .*methods/sre2l or .*protocols/sre2l"),
        ("method/sre2l.py", "methods/sre2l"),
        (
            "mine/photos.py",
            "names are bilevel, cad_prune, .*, teacher, temperature$",
        ),
        ("", "names are bilevel, cad_prune, "),
        ("x" * 300, "names are bilevel, cad_prune, "),
        ("../setup", "found '../setup', which is no file"),
    ],
)
def test_unknown_name_is_refused_with_those_like_it(name, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        config_files.find(name)
