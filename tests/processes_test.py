"""One run, many processes and devices: the same results, whatever ends them."""

import contextlib
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import runs
import tiny

from ddjax import pipeline
from ddjax.settings import from_config

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
STOPPED = 75  # exit code of a run that SIGTERM stopped
CHANGES = {
    "regimes": ("soft_kd",),
    "augment__flip": True,
    "augment__cutmix": 1.0,
    "protocol__seeds": (0, 1),
    "select__ipcs": (4,),
    "student__batch_size": 8,
    "student__network__mlp__hidden": (16,),
    "student__epochs": 60,
    "teacher__batch_size": 16,
    "sweep__checkpoint_seconds": 0.5,
}
RANKED = ("random", "cad_prune")  # which has scoring runs


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a run: (folder's name, processes, devices of each, *flags) -> process."""
    place = tmp_path_factory.mktemp("processes")
    source = tiny.write(place / "tiny.npz")
    config = tiny.write_config(place / "tiny_config.py", source, **CHANGES)

    def begin(name, processes, devices, *flags):
        command = "bash", str(ROOT / "launch/local.sh")
        folder = place / name
        variables = {
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "NUM_PROCESSES": str(processes),
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PATIENCE": "5",
        }
        with open(place / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [*command, f"--config={config}", f"--workdir={folder}", *flags],
                env=os.environ | variables,
                stdout=log,
                stderr=log,
            )

    begin.place, begin.source = place, source
    return begin


@pytest.fixture(scope="module")
def alone(start):
    """Returns a function: the folder of a run of this process, on one device."""

    @functools.cache
    def run(methods):
        folder = start.place / f"alone-{len(methods)}"
        config = tiny.config(start.source, **CHANGES, select__methods=methods)
        pipeline.run(from_config(config), folder)
        return folder

    return run


def arrays_of(folder):
    """Artifact -> its arrays; addresses do not depend on devices."""
    found = {}
    for path in (folder / "artifacts").iterdir():
        with np.load(path / "arrays.npz") as file:
            found[path.name] = dict(file)
    return found


def assert_same(folder, other):
    """Ids and accuracies exactly, numbers to 1e-4."""
    one, two = arrays_of(folder), arrays_of(other)
    assert one.keys() == two.keys()
    for name, arrays in one.items():
        for key, array in arrays.items():
            about = f"{name}, {key}"
            if array.dtype.kind == "f":
                np.testing.assert_allclose(
                    array, two[name][key], atol=1e-4, rtol=1e-4, err_msg=about
                )
            else:
                np.testing.assert_array_equal(array, two[name][key], err_msg=about)
    rows = zip(runs.rows_of(folder), runs.rows_of(other), strict=True)
    for row, twin in rows:
        assert row["subset"] == twin["subset"]
        assert row["accuracy"] == twin["accuracy"]


@pytest.mark.parametrize(
    "processes, devices, shared, driver, methods",
    [
        pytest.param(1, 2, 2, "vmap", RANKED, marks=pytest.mark.slow),
        pytest.param(1, 4, 4, "vmap", RANKED, marks=pytest.mark.slow),
        pytest.param(1, 8, 8, "vmap", RANKED, marks=pytest.mark.slow),
        pytest.param(2, 2, 0, "mesh", RANKED, marks=pytest.mark.slow),
        pytest.param(2, 2, 2, "mesh", RANKED, marks=pytest.mark.slow),
        (2, 2, 2, "mesh", ("random",)),
    ],
)
def test_devices_and_processes_change_nothing(
    start, alone, processes, devices, shared, driver, methods
):
    name = f"{processes}x{devices}-{shared}-{driver}-{len(methods)}"
    flags = f"--config.mesh.data={shared}", f"--config.sweep.driver={driver}"
    flags += (f"--config.select.methods={methods}",)
    assert start(name, processes, devices, *flags).wait(300) == 0
    assert_same(alone(methods), start.place / name)
    log = (start.place / f"{name}.log").read_text()
    assert log.count("report: ") == 1  # only the first process speaks


def newest_checkpoint(folder):
    """The step of the students' newest checkpoint, 0 without one."""
    found = [path.name for path in folder.glob("partial/students-*/*")]
    return max([int(name) for name in found if name.isdigit()], default=0)


def wait_for_checkpoint(process, folder, after=0):
    """Waits for the students' first checkpoint after a step; returns its step."""
    end = time.monotonic() + 200
    while time.monotonic() < end and process.poll() is None:
        step = newest_checkpoint(folder)
        if step > after:
            return step
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint, exit code {process.poll()}")


def children(folder):
    """The process ids of a run, by its process id in JAX."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_bytes().split(b"\0")
            variables = (path / "environ").read_bytes()
            number = re.search(rb"JAX_PROCESS_ID=(\d)", variables)
            if b"ddjax.main" in command and number:
                if f"--workdir={folder}".encode() in command:
                    found[int(number[1])] = int(path.name)
    return found


LONG = (  # trains for seconds
    "--config.sweep.driver=mesh",
    "--config.regimes=('hard',)",
    "--config.select.methods=('random',)",
    "--config.student.epochs=10000",
)


@pytest.mark.slow
def test_two_processes_that_are_killed_and_told_to_stop_are_as_one(start):
    assert start("four", 1, 4, *LONG).wait(300) == 0
    folder, log = start.place / "pair", start.place / "pair.log"

    process = start("pair", 2, 2, *LONG)
    wait_for_checkpoint(process, folder)
    os.kill(children(folder)[1], signal.SIGKILL)
    began = time.monotonic()
    assert process.wait(60) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 60 and not children(folder)
    assert "process 1 ended with exit code 137; all others end too" in log.read_text()

    kept = newest_checkpoint(folder)
    process = start("pair", 2, 2, *LONG)
    first = wait_for_checkpoint(process, folder, after=kept)
    os.kill(children(folder)[1], signal.SIGTERM)  # one of them hears it
    assert process.wait(60) == STOPPED
    assert log.read_text().count("Stopped by SIGTERM. All is saved") == 2
    saved = newest_checkpoint(folder)
    assert saved >= first > kept

    assert start("pair", 2, 2, *LONG).wait(300) == 0
    assert_same(start.place / "four", folder)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    steps = [line["step"] for line in map(json.loads, lines)]
    assert steps.count(4) == 1 and max(steps) > saved
