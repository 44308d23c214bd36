"""The built wheel in an environment of its own, used from an empty folder.

A checkout hides what is not installed: its folder comes first on the path.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import tiny
from PIL import Image

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[1]
TESTS = ROOT / "tests"
OPTIONAL = "array_record grain simplejpeg tensorflow_datasets"
# In the environment's site-packages: hides the packages that a variable names.
HIDE = """
import os, sys

class Hidden:
    names = os.environ.get("HIDDEN", "").split()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden)
"""
IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import ddjax
assert pathlib.Path(sys.prefix) in pathlib.Path(ddjax.__file__).parents, ddjax.__file__
names = [found.name for found in pkgutil.walk_packages(ddjax.__path__, "ddjax.")]
names = [name for name in names if name != "ddjax.__main__"]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def call(*command, **options):
    """Runs a command; returns (exit code, standard output, standard error)."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    return done.returncode, done.stdout, done.stderr


def must(*command, **options):
    """Runs a command that ends well; returns its standard output."""
    code, out, err = call(*command, **options)
    assert code == 0, f"{out}\n{err}"
    return out


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution."""
    place = tmp_path_factory.mktemp("build")
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "build", "results", "runs")
    shutil.copytree(ROOT, place / "checkout", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "-q"]
    must(*pip, "install", "--target", place / "tools", "setuptools>=77")
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    environment = os.environ | {"PYTHONPATH": str(place / "tools")}
    must(sys.executable, "-c", build, cwd=place / "checkout", env=environment)
    (sdist,) = place.glob("ddjax-*.tar.gz")
    must(*pip, "wheel", "--no-deps", "--wheel-dir", place, sdist, cwd=place)
    (found,) = place.glob("ddjax-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The folder of programs of an environment with the wheel and what it requires."""
    place = tmp_path_factory.mktemp("environment")
    must(sys.executable, "-m", "venv", place)
    programs = place / "bin"
    must(programs / "python", "-m", "pip", "install", "-q", wheel)
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = pathlib.Path(must(programs / "python", "-c", query).strip())
    (packages / "hide.py").write_text(HIDE)
    (packages / "hide.pth").write_text("import hide\n")
    return programs


@pytest.fixture
def clean(environment, tmp_path):
    """Runs a program of the environment in an empty folder; hides packages."""
    folder = tmp_path / "empty"
    folder.mkdir()
    found = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    # What was compiled once need not be again.
    found |= {name: os.environ[name] for name in os.environ if name.startswith("JAX_")}
    found |= {"HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def run(program, *arguments, hidden="", check=True):
        command = environment / program, *arguments
        run = must if check else call
        return run(*command, cwd=folder, env=found | {"HIDDEN": hidden})

    run.folder = folder
    return run


def config_file(folder, source, **changes):
    """Writes an experiment of seconds on a source."""
    few = {"regimes": ("hard",), "select__methods": ("random",)}
    changes |= few | {"data__source": source}
    return tiny.write_config(folder / "own.py", "", **changes)


def image_folder(root):
    """Writes 96 training and 36 test images of `tiny` as JPEG."""
    arrays = tiny.arrays()
    for split in ("train", "test"):
        pairs = zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True)
        for index, (image, label) in enumerate(pairs):
            path = root / split / tiny.CLASSES[label] / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


@pytest.mark.parametrize("hidden", ["", OPTIONAL], ids=["all", "bare"])
def test_every_module_is_there_and_can_be_imported(clean, hidden):
    sources = list((ROOT / "ddjax").rglob("*.py"))
    found = int(clean("python", "-c", IMPORT_ALL, hidden=hidden))
    assert found == len(sources) - 2  # `ddjax` itself and `ddjax.__main__`


def test_files_beside_the_modules_are_there(clean):
    code = """
import importlib.metadata, pathlib, ddjax
from ddjax.cli import config_files
root = pathlib.Path(ddjax.__file__).parent
assert config_files.folder() == root / "configs"
assert importlib.metadata.version("ddjax") == ddjax.__version__
names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
print(*sorted(name for name in names if not name.endswith(".pyc")), sep="\\n")
"""
    found = set(clean("python", "-c", code).split())
    for path in (ROOT / "ddjax").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.relative_to(ROOT / "ddjax").as_posix() in found
    for path in (ROOT / "configs").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in found


def test_command_tells_its_version(clean):
    version = clean("python", "-c", "import ddjax; print(ddjax.__version__)")
    assert version.strip() in clean("ddjax", "--version")
    assert clean("ddjax", "--version") == clean("python", "-m", "ddjax", "--version")


def test_command_lists_shows_and_plans_what_comes_with_it(clean):
    listed = clean("ddjax", "list", "configs")
    for path in (ROOT / "configs").rglob("*.py"):
        name = path.relative_to(ROOT / "configs").with_suffix("").as_posix()
        assert name in listed
    assert "Variants: digits, " in clean("ddjax", "show", "cad_prune")
    assert "H100" in clean("ddjax", "plan", "cad_prune:digits")
    assert not list(clean.folder.iterdir())


@pytest.mark.parametrize("hidden", ["", OPTIONAL], ids=["all", "bare"])
def test_the_main_experiment_runs(clean, hidden):
    clean("ddjax", "run", "cad_prune:smoke", "--workdir=run", hidden=hidden)
    assert (clean.folder / "run" / "report.html").is_file()
    assert (clean.folder / "run" / "summary.csv").is_file()


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_files_of_images_need_no_optional_package(clean, tmp_path, kind):
    if kind == "npz":
        source = f"npz:{tiny.write(tmp_path / 'tiny.npz')}"
    else:
        source = f"folder:{image_folder(tmp_path / 'images')}"
    config = config_file(tmp_path, source)
    clean("ddjax", "run", config, "--workdir=run", hidden=OPTIONAL)
    assert (clean.folder / "run" / "summary.csv").is_file()


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("grain", "folder"),
        ("simplejpeg", "folder"),
        ("tensorflow-datasets", "tfds"),
        ("array-record", "tfds"),
    ],
)
def test_what_needs_an_optional_package_says_so(
    clean, tmp_path, command, package, source
):
    if source == "folder":
        name = f"folder:{image_folder(tmp_path / 'images')}"
        changes = {"data__stream": True, "data__image_size": 8}
    else:
        name, changes = "tfds:tiny", {}
    config = config_file(tmp_path, name, **changes)
    arguments = [command, config] + ["--workdir=run"] * (command == "run")
    hidden = package.replace("-", "_")
    code, _, err = clean("ddjax", *arguments, hidden=hidden, check=False)
    assert code == 2, err
    (line,) = err.splitlines()
    assert line.startswith(f"error: {package} is not installed"), err
    assert f"needs it; pip install {package}" in line, err
    assert not list(clean.folder.iterdir())


def test_benchmarks_run(clean):
    program = ROOT / "benchmarks" / "selection.py"
    out = clean("python", program, "--part", "growth", "--shrink", "20")
    assert "| facility_location |" in out


def test_documents_run(clean):
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    documents.remove(ROOT / "docs" / "extending.md")  # its blocks are files
    out = clean("python", TESTS / "snippets.py", *documents)
    count = sum(path.read_text().count("\n```python\n") for path in documents)
    # Blocks may print as well.
    ran = [line for line in out.splitlines() if re.fullmatch(r"\S+\.md:\d+", line)]
    assert len(ran) == count > 0


def test_streaming_runs(clean, tmp_path):
    source = f"folder:{image_folder(tmp_path / 'images')}"
    config = config_file(tmp_path, source, data__stream=True, data__image_size=8)
    clean("ddjax", "run", config, "--workdir=run")
    assert (clean.folder / "run" / "summary.csv").is_file()
