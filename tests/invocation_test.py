"""The command and the commit that a run records."""

import pathlib
import subprocess

import pytest

from ddjax.process import invocation
from ddjax.process.invocation import command_line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["/usr/bin/ddjax", "run", "cad_prune"], "ddjax run cad_prune"),
        (["/x/ddjax/main.py", "--config=a"], "python -m ddjax.main --config=a"),
        (["/x/ddjax/__main__.py", "plan", "a"], "python -m ddjax plan a"),
        (["/usr/bin/ddjax", "run", "a b.py", "$HOME"], "ddjax run 'a b.py' '$HOME'"),
        (["/usr/bin/ddjax", "--workdir=/home/me/w"], "ddjax --workdir=~/w"),
        (["/usr/lib/ipykernel_launcher.py", "-f", "x"], ""),
        (["/x/ddjax/tool.py"], ""),
        (["pytest", "-q"], ""),
    ],
)
def test_the_command_is_a_line_for_a_shell(monkeypatch, arguments, line):
    monkeypatch.setattr(pathlib.Path, "home", lambda: pathlib.Path("/home/me"))
    assert command_line(arguments) == line


def git(folder, *arguments):
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_commit_tells_changed_files(tmp_path, monkeypatch):
    file = tmp_path / "ddjax" / "process" / "invocation.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(invocation, "__file__", str(file))
    assert invocation.commit() == ""
    git(tmp_path, "init", "-q")
    assert invocation.commit() == ""
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "One")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert invocation.commit() == commit[:12]
    file.write_text("changed")
    assert invocation.commit() == f"{commit[:12]}+"


def test_a_processor_has_a_name():
    assert invocation.processor().strip()
