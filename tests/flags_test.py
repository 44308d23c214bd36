"""Every flag that a message, a docstring or a document names is one that there is."""

import ast
import pathlib
import re

import pytest

from ddjax.cli.command import FLAGS
from ddjax.declare import walk
from ddjax.errors import InputError
from ddjax.settings import Settings

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [
    *sorted((ROOT / "ddjax").rglob("*.py")),
    *sorted(ROOT.glob("configs/**/*.py")),
]
# Without docs/extending.md, whose options are those of its examples.
PAGES = {*(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "extending.md"}
DOCUMENTS = [ROOT / "README.md", *sorted(PAGES)]
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_]+)*)")
# Of other programs: python -m ddjax.models and ddjax.cli.explain, benchmarks, XLA, the
# shell, and what starts several machines.
OTHERS = {
    "file",
    "filename",
    "follow",
    "gpus",
    "nodes",
    "ntasks",
    "selector",
    "tag",
    "tunnel",
    "xla_cpu_enable_fast_math",
    "out",
    "only",
    "part",
    "shrink",
    "case",
    "rounds",
    "memory",
    "files",
    "version",
    "help",
}


def texts(path):
    """The strings of a Python file, without what f-strings have in braces."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def exists(name):
    if name in FLAGS or name in OTHERS:
        return True
    try:
        walk.find(Settings, name.removeprefix("config."))
    except InputError:
        return False
    return True


def test_the_check_tells_flags_apart():
    assert exists("workdir") and exists("labels.any.codec") and exists("config.name")
    assert not exists("resize") and not exists("student.epoch")


@pytest.mark.parametrize("paths", [SOURCES, DOCUMENTS], ids=["code", "documents"])
def test_flags_that_are_named_exist(paths):
    for path in sorted(paths):
        check(path)


def check(path):
    found = texts(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]
    for text in found:
        for name in FLAG.findall(text):
            assert exists(name), f"{path.name}: --{name}"
