"""docs/extending.md: its examples are added to a copy of the package, and work."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r"```python\n(.*?)```", re.S)
PATH = re.compile(r"`((?:ddjax|tests)/[\w/]+\.py)`")
# Kind of `ddjax list` -> package, its dict, the line in it; and what it imports.
ENTRIES = {
    "scores": ("scores", "SCORES", '"surprise": SURPRISE'),
    "selections": ("select", "METHODS", '"el2n_every": EVERY'),
    "losses": ("losses", "LOSSES", '"huber": HUBER'),
    "codecs": ("labels/codecs", "CODECS", "Grid"),
    "methods": ("distill", "METHODS", '"class_means": class_means.CLASS_MEANS'),
    "datasets": ("data", "SOURCES", '"stripes": stripes.KIND'),
    "networks": ("models", "MODELS", '"linear_pool": linear_pool.MODEL'),
    "protocols": ("protocols", "PROTOCOLS", '"plain_sgd": plain_sgd.PLAIN_SGD'),
}
IMPORTS = {
    "scores": "from ddjax.scores.surprise import SURPRISE",
    "selections": "from ddjax.select.every import EVERY",
    "losses": "from ddjax.losses.huber import HUBER",
    "codecs": "from ddjax.labels.codecs.grid import Grid",
    "methods": "from ddjax.distill import class_means",
    "datasets": "from ddjax.data import stripes",
    "networks": "from ddjax.models import linear_pool",
    "protocols": "from ddjax.protocols import plain_sgd",
}
# A run that uses one of each.
SCRIPT = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
from ddjax import pipeline, plan, settings
from ddjax.cli import catalogue, explain
config = settings.defaults()
config.name, config.data.source, config.data.validation = "trial", "stripes", 0.2
config.student.network.name = config.teacher.network.name = "linear_pool"
config.student.epochs, config.student.batch_size = 20, 4
config.student.learning_rates = (0.01,)
config.teacher.epochs, config.teacher.batch_size = 2, 12
config.select.ipcs, config.protocol.seeds = (2,), (0, 1)
config.select.methods = ("random", "el2n_every", "surprise_hard")
config.sweep.driver, config.regimes = "loop", ("hard",)
settings.add_labels(config, "mine", loss="huber", codec="grid:step=0.5")
settings.add_distillation(config, "class_means")
config.distill.class_means.class_means.group = 3
found = {
    "lists": {kind: list(catalogue.rows(kind)) for kind in catalogue.KINDS},
    "shown": [explain.explain(key) for key in sys.argv[1:]],
}
checked = settings.from_config(config)
found["plan"] = plan.show(checked)["stage"].tolist()
found["methods"] = sorted({*pipeline.run(checked, "run")["method"]})
json.dump(found, open("found.json", "w"))
"""
OPTIONS = {
    "select.surprise.floor": "least probability",
    "select.el2n_every.stride": "part of a ranking",
    "labels.hard.huber.delta": "square turns into a line",
    "distill.any.class_means.group": "averaged",
    "student.network.linear_pool.side": "pooled image",
}


def examples():
    """Path -> content of every file that the page adds."""
    before = BLOCK.split(PAGE)[::2]  # a block's file is the last one named before it
    blocks = BLOCK.findall(PAGE)
    return {
        PATH.findall(words)[-1]: text
        for words, text in zip(before, blocks, strict=False)
    }


def test_the_page_has_a_file_a_line_and_a_test_of_each_kind():
    files = examples()
    assert len([path for path in files if path.startswith("ddjax/")]) == len(ENTRIES)
    assert len([path for path in files if path.startswith("tests/")]) == 7
    for kind, (package, name, entry) in ENTRIES.items():
        text = (ROOT / "ddjax" / package / "__init__.py").read_text()
        assert re.search(rf"^{name}\b", text, re.M)
        assert f"`{IMPORTS[kind]}`" in PAGE and f"`{entry}`" in PAGE


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and its tests, with everything that the page adds."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("ddjax", "configs"):
        shutil.copytree(
            ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    (root / "tests").mkdir()
    for name in ("conftest.py", "programs.py", "recovering.py", "runs.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests")
    for path, text in examples().items():
        assert not (root / path).exists(), path
        (root / path).write_text(text)
    for kind, (package, name, entry) in ENTRIES.items():
        path = root / "ddjax" / package / "__init__.py"
        added = f"{IMPORTS[kind]}\nfrom "
        text = re.sub(r"^from ", added, path.read_text(), count=1, flags=re.M)
        if name == "CODECS":
            text = text.replace("codec in (", f"codec in ({entry}, ")
        else:
            text = re.sub(rf"^({name}\b.*{{)$", rf"\1\n    {entry},", text, flags=re.M)
        path.write_text(text)
    # The ends of a new score need no file.
    path = root / "ddjax" / "select" / "__init__.py"
    ends = '    "surprise_hard": highest("surprise"),\n    "random"'
    path.write_text(path.read_text().replace('    "random"', ends, 1))
    return root


def python(root, *arguments):
    environment = os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.slow
def test_one_of_each_kind_is_listed_planned_run_and_reported(copy):
    python(copy, "-c", SCRIPT, *OPTIONS)
    found = json.loads((copy / "found.json").read_text())
    expected = {
        "scores": "surprise",
        "selections": "el2n_every",
        "losses": "huber",
        "codecs": "grid:step=...",
        "methods": "class_means",
        "datasets": "stripes",
        "networks": "linear_pool",
        "protocols": "protocols/plain_sgd",
    }
    assert expected.keys() == ENTRIES.keys()
    for kind, name in expected.items():
        assert name in found["lists"][kind], kind
    for words, shown in zip(OPTIONS.values(), found["shown"], strict=True):
        assert words in shown
    assert "students, linear_pool, mine, IPC 2" in found["plan"]
    assert "scoring runs, hard, IPC 2" in found["plan"]
    assert {"class_means", "el2n_every", "surprise_hard"} <= {*found["methods"]}
    report = (copy / "run" / "report.html").read_text()
    for word in ("class_means", "el2n_every", "surprise_hard", "huber", "stripes"):
        assert word in report, word


@pytest.mark.slow
def test_the_tests_of_the_page_pass(copy):
    tests = sorted(path for path in examples() if path.startswith("tests/"))
    python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
