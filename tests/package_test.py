"""What importing costs, and what tab completion shows."""

import importlib
import inspect
import json
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import ddjax

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ["ddjax"] + [
    found.name
    for found in pkgutil.walk_packages(ddjax.__path__, "ddjax.")
    if found.ispkg
]
PUBLIC = [name for name in ddjax.__all__ if not name.startswith("_")]
# What only some sources, artifacts or figures need.
HEAVY = {
    "array_record",
    "cv2",
    "grain",
    "matplotlib",
    "orbax",
    "pandas",
    "scipy",
    "simplejpeg",
    "sklearn",
    "tensorflow_datasets",
    "tensorstore",
}
LISTED = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
found = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(found)))
"""


def run(folder, command):
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": ""}
    options = {"capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, cwd=folder, env=environment, **options)
    assert done.returncode == 0, done.stderr
    return done


def python(folder, code, *arguments):
    """The last line that a new process prints; JSON."""
    done = run(folder, [sys.executable, "-c", code, *arguments])
    return json.loads(done.stdout.splitlines()[-1])


def imported(folder, module):
    """The top-level packages that importing a module brings."""
    return set(python(folder, LISTED, module))


@pytest.fixture(scope="module")
def jax_brings(tmp_path_factory):
    return imported(tmp_path_factory.mktemp("jax"), "jax.numpy")


def test_ddjax_itself_imports_nothing(tmp_path):
    found = imported(tmp_path, "ddjax")
    assert found - {"ddjax"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["losses", "scores", "select"])
def test_functions_of_arrays_cost_jax_alone(name, jax_brings, tmp_path):
    found = imported(tmp_path, f"ddjax.{name}")
    assert "jax" in found
    assert found - jax_brings - {"ddjax"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_few_need_is_imported_where_it_is_used(name, tmp_path):
    assert not imported(tmp_path, f"ddjax.{name}") & HEAVY


def test_subpackages_are_imported_when_they_are_named(tmp_path):
    code = """
import sys, json, ddjax
assert "ddjax.losses" not in sys.modules
found = ddjax.losses.kl_divergence.__module__, hasattr(ddjax, "nothing")
print(json.dumps([*found, "ddjax.models" in sys.modules]))
"""
    assert python(tmp_path, code) == ["ddjax.losses.kl_divergence", False, False]


def test_every_package_is_public_or_part_of_the_command():
    below = {
        found.name for found in pkgutil.iter_modules(ddjax.__path__) if found.ispkg
    }
    others = {"cli", "declare", "presets", "process", "protocols", "stages"}
    assert below - set(PUBLIC) == others


@pytest.mark.parametrize("name", PACKAGES)
def test_completion_shows_what_is_ours(name):
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)
    for value in (getattr(package, public) for public in package.__all__):
        if inspect.isroutine(value) or inspect.isclass(value):
            assert value.__module__.startswith("ddjax."), value


def test_losses_take_as_long_to_import_as_jax(tmp_path):
    # Both times are of one process, so that a busy machine counts for both.
    code = "import ddjax.losses; print(0)"
    command = [sys.executable, "-X", "importtime", "-c", code]
    lines = run(tmp_path, command).stderr.splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    microseconds = {name: int(total) for _, total, name in rows[1:]}
    assert 0 < microseconds["ddjax.losses"] < 1.2 * microseconds["jax"]
