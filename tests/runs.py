"""What tests of whole runs share: compiled programs, and reading a run's folder."""

import contextlib
import json
import os

import pytest

SECONDS = {"train_seconds", "find_seconds"}  # the fields that measure time
COMPILED = {}  # programs of all runs and contexts of this process


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
    """Lets all runs of a process share what they compile, and not wait for its disk."""
    from ddjax import experiment
    from ddjax.stations.opening import open_context

    def opened(settings):
        context = open_context(settings)
        context.compiled = COMPILED
        return context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "open_context", opened)
        patch.setattr(os, "fsync", lambda file: None)
        yield


@contextlib.contextmanager
def without_figures():
    """Lets runs draw no figures."""
    from ddjax.stations import results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw", lambda *everything: [])
        yield


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
