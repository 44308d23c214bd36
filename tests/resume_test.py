"""Interrupted and killed runs end with the numbers of an undisturbed one."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny
from killing import campaign, killer
from runs import created, numbers_of

from ddjax import pipeline
from ddjax.settings import from_config

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("source") / "tiny.npz")


# Long enough for checkpoints inside a scoring run and a group of students.
LONG = {
    "regimes": ("hard",),
    "select__methods": ("random", "facility_location"),
    "student__epochs": 100,
    "sweep__checkpoint_seconds": 0.001,
}


@pytest.fixture
def config(source, tmp_path):
    """A file with the config."""
    return tiny.write_config(tmp_path / "config.py", source, **LONG)


@pytest.fixture
def start(config, tmp_path):
    """Starts the program on the tiny source."""
    processes = []
    # What is killed may leave a program in part; forks write them whole.
    environment = ENVIRONMENT | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs")
    }

    def launch(workdir):
        command = [sys.executable, "-m", "ddjax.main"]
        processes.append(
            subprocess.Popen(
                [*command, f"--config={config}", f"--workdir={workdir}"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    # Where Ctrl-C is ignored, as in the background of a shell, what is started ignores
    # it too; a handler is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield launch
    signal.signal(signal.SIGINT, before)
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(process, workdir, pattern):
    """Waits until a path in the folder matches the pattern."""
    limit = time.monotonic() + 120
    while not any(workdir.glob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, f"{pattern} did not appear"
        time.sleep(0.001)


@pytest.mark.slow
def test_interrupted_and_killed_runs_resume_to_the_same_numbers(
    source, start, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pipeline.run(from_config(tiny.config(source, **LONG)), whole)

    process = start(parts)
    wait_for(process, parts, "artifacts/.tmp-trace-*")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read().strip() == (
        "Interrupted. What is finished is kept; the same command resumes."
    )
    finished = created(parts)
    for pattern in (
        "partial/trace-*/*",  # the scoring run has a checkpoint
        "artifacts/.tmp-students-*",  # students are under way
        "partial/students-*/*",  # and have a checkpoint
    ):
        process = start(parts)
        wait_for(process, parts, pattern)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        assert not (parts / "summary.csv").exists()
        now = created(parts)
        assert finished.items() <= now.items()
        finished = now
    process = start(parts)
    assert process.wait(120) == 0, process.stderr.read()
    assert finished.items() <= created(parts).items()
    assert created(parts).keys() == created(whole).keys()
    assert 2 <= len(finished) < len(created(parts))  # the trace and the subsets
    assert numbers_of(parts) == numbers_of(whole)
    assert list(parts.glob("artifacts/.tmp-*")) == []
    assert list((parts / "partial").iterdir()) == []


def killed(command, kills, folder, figures=True):
    """Runs a campaign; its differences from an undisturbed run fail the test."""
    command = ["run", *command, "--sweep.checkpoint_seconds=1e-9"]
    with killer(folder / "printed", ENVIRONMENT, figures=figures) as run:
        rng = np.random.default_rng(9)
        total, events, lines = campaign(run, command, folder, rng, kills)
    printed = (folder / "printed").read_text()
    assert lines == [], f"killed at {events} of {total} events\n{printed[-3000:]}"
    assert len(events) == kills and total > 100
    assert "damaged" not in printed and "afresh" not in printed


def test_killed_anywhere_a_run_ends_with_the_same_numbers(config, tmp_path):
    changes = "--student.epochs=20", "--protocol.seeds=0"
    killed([config, *changes], 2, tmp_path, figures=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cad_prune", "label_compression", "distill"])
def test_killed_smoke_runs_end_with_the_same_numbers(name, tmp_path):
    killed([f"{name}:smoke"], 10, tmp_path)


DEAF = """
import gc, os, signal, time
from ddjax.process.ending import Interrupt

def interrupt(*ignored):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)

class Deaf:
    __del__ = interrupt

signal.signal(signal.SIGINT, signal.default_int_handler)  # a starter may ignore it
Interrupt().listen()
try:
    {where}
    print("not heard at first")
    time.sleep(60)
except KeyboardInterrupt:
    print("heard")
    os._exit(0)
"""


@pytest.mark.parametrize(
    "where, ignored",
    [
        ("deaf = Deaf(); del deaf", 1),
        # In the middle of the callbacks, as JAX's.
        ("gc.callbacks.insert(1, interrupt); gc.collect(); gc.callbacks.pop(1)", 0),
    ],
)
def test_an_interrupt_that_would_be_dropped_is_heard(where, ignored):
    done = subprocess.run(
        [sys.executable, "-u", "-c", DEAF.format(where=where)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split()[-1] == "heard", done.stderr
    assert done.stderr.count("Exception ignored") == ignored, done.stderr
