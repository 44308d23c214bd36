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
# What importing modules brings: each in a fork of a process that has imported others.
LISTED = """
import importlib, json, os, sys

def packages():
    return {module.partition(".")[0] for module in sys.modules}

def bring(name):
    importlib.import_module(name)
    return sorted(packages() - usual)

usual = packages()
first, *names = sys.argv[1:]
found = {first: bring(first)}
for name in names:
    read, write = os.pipe()
    if not os.fork():
        os.write(write, json.dumps(bring(name)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found[name] = json.load(pipe)
print(json.dumps(found))
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


@pytest.fixture(scope="module")
def brings(tmp_path_factory):
    """Module -> the top-level packages that importing it, or JAX before it, brings."""
    names = ["jax.numpy", *(f"ddjax.{name}" for name in PUBLIC)]
    found = python(tmp_path_factory.mktemp("brings"), LISTED, *names)
    return {name: set(packages) for name, packages in found.items()}


def test_ddjax_itself_imports_nothing(tmp_path):
    (found,) = python(tmp_path, LISTED, "ddjax").values()
    assert set(found) - {"ddjax"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["losses", "scores", "select"])
def test_functions_of_arrays_cost_jax_alone(name, brings):
    found = brings[f"ddjax.{name}"] - brings["jax.numpy"] - {"ddjax"}
    assert found <= set(sys.stdlib_module_names)


def test_what_few_need_is_imported_where_it_is_used(brings):
    assert len(brings) == 1 + len(PUBLIC)
    for name, found in brings.items():
        assert "jax" in found and not found & HEAVY, name


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
    others = {"cli", "declare", "process", "stages", "torch_files"}
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
