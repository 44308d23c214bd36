"""What tests of whole runs share: compiled programs, and reading a run's folder."""

import contextlib
import json
import os

import pytest

SECONDS = {"train_seconds", "find_seconds"}  # the fields that measure time
COMPILED = {}  # programs of all runs and contexts of this process
_DRAWING = []  # something where figures are drawn


def rows_of(folder):
    lines = (folder / "members.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def numbers_of(folder):
    return [
        {name: value for name, value in row.items() if name not in SECONDS}
        for row in rows_of(folder)
    ]


def created(folder):
    """Artifact's name -> when it was finished, to the nanosecond."""
    return {
        path.parent.name: (
            path.stat().st_mtime_ns,
            json.loads(path.read_text())["created"],
        )
        for path in folder.glob("artifacts/*/manifest.json")
    }


@contextlib.contextmanager
def sharing():
    """Lets all runs of a process share what they compile, and wait for nothing else.

    Figures are made but not drawn, unless within `drawing`, and no disk is waited for.
    """
    from ddjax import experiment, report
    from ddjax.artifacts import write_file
    from ddjax.stations import figures
    from ddjax.stations.opening import open_context

    def opened(settings):
        context = open_context(settings)
        context.compiled = COMPILED
        return context

    class Report:
        def __getattr__(self, name):
            return getattr(report, name)

        def save_png(self, figure, path):
            if _DRAWING:
                report.save_png(figure, path)
            else:
                write_file(path, b"\x89PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "open_context", opened)
        patch.setattr(figures, "report", Report())
        patch.setattr(os, "fsync", lambda file: None)
        yield


@contextlib.contextmanager
def drawing():
    """Lets runs draw their figures."""
    _DRAWING.append(True)
    yield
    _DRAWING.pop()


@contextlib.contextmanager
def opening(folder, make):
    """Yields a function that makes a context and gives it the folder, held open."""
    from ddjax.workdir import Workdir

    with Workdir(folder, {"experiment": "test"}) as workdir:

        def place(*arguments, **changes):
            context = make(*arguments, **changes)
            context.workdir = workdir
            return context

        yield place
