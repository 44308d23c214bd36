"""By what a process was started: its command, the commit of its code, its processor."""

import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence

_PROGRAMS = {"main.py": "python -m ddjax.main", "__main__.py": "python -m ddjax"}


def command_line(arguments: Sequence[str] | None = None) -> str:
    """Returns the command of this process as a line for a shell.

    The home folder is written "~". A process that is no run of the program, such as a
    notebook, has none: "".

    Args:
      arguments: the program's name first; None: those of this process.
    """
    program, *rest = sys.argv if arguments is None else arguments
    name = pathlib.PurePath(program).name
    if name != "ddjax" and "ddjax" not in pathlib.PurePath(program).parts:
        return ""
    start = _PROGRAMS.get(name, name if name == "ddjax" else "")
    return " ".join([start, *map(_quoted, rest)]) if start else ""


def _quoted(word: str) -> str:
    home = str(pathlib.Path.home())
    if len(home) > 1:
        word = word.replace(f"{home}/", "~/")
    # A tilde alone needs no quotes, and would not be expanded within.
    plain = shlex.quote(word.replace("~", "")) == word.replace("~", "")
    return word if plain else shlex.quote(word)


def commit() -> str:
    """Returns the commit of the checkout that the code is in, "" without one.

    It ends in "+" where tracked files are changed.
    """
    folder = pathlib.Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    found = _git(folder, "rev-parse", "HEAD")[:12]
    changed = _git(folder, "diff", "HEAD")
    return f"{found}+" if found and changed else found


def _git(folder: pathlib.Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    """Returns the model of the processor, where the system has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine()
