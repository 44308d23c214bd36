"""Meshes over several slices of TPUs, several nodes of GPUs, and several processes."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import streaming_run_test

from ddjax import mesh
from ddjax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]


class Device:
    """Stands for an accelerator, with what JAX says of one."""

    def __init__(self, number, process, part=None, platform="tpu", **attributes):
        self.id, self.process_index, self.platform = number, process, platform
        if part is not None:
            self.slice_index = part
        vars(self).update(attributes)


def tpus(slices, sides, host):
    """Devices of TPU slices [sides] of hosts [host], numbered by their coordinates."""
    found = []
    for part in range(slices):
        for place in np.ndindex(*reversed(sides)):
            coords = place[::-1]
            grid = [side // own for side, own in zip(sides, host, strict=True)]
            of_host = [at // own for at, own in zip(coords, host, strict=True)]
            process = int(np.ravel_multi_index(of_host, grid, order="F"))
            process += part * int(np.prod(grid))
            extra = {"coords": [*coords, 0, 0][:3], "core_on_chip": 0}
            found.append(Device(len(found), process, part, **extra))
    return found


def gpus(nodes, each):
    """GPUs of nodes, one process for each, numbered over nodes in turn."""
    count = nodes * each
    return [Device(n, n, n % nodes, "gpu") for n in range(count)]


def uneven(*sizes):
    """TPU slices of one process each, of different sizes."""
    parts = np.repeat(np.arange(len(sizes)), sizes).tolist()
    return [Device(n, part, part) for n, part in enumerate(parts)]


KINDS = {
    "v5e-16": tpus(1, (4, 4), (2, 2)),
    "2 v5e-16": tpus(2, (4, 4), (2, 2)),
    "v6e 4x4": tpus(1, (4, 4), (2, 2)),
    "v6e 8x8": tpus(1, (8, 8), (2, 2)),
    "v6e 4x4 of 8-chip hosts": tpus(1, (4, 4), (2, 4)),
    "3 v6e-8 of one host": tpus(3, (2, 4), (2, 4)),
    "2 v5p 2x2x4": tpus(2, (2, 2, 4), (2, 2, 1)),
    "2 nodes of 8 GPUs": gpus(2, 8),
    "3 nodes of 4 GPUs": gpus(3, 4),
    "a node of 6 GPUs": gpus(1, 6),
    "slices of 8 and 4": uneven(8, 4),
    "slices of 3 and 5": uneven(3, 5),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def devices(request, monkeypatch):
    shuffled = np.random.default_rng(0).permutation(len(request.param))
    found = [request.param[place] for place in shuffled]
    monkeypatch.setattr(jax, "devices", lambda: found)
    return found


def sizes_of(devices, key):
    _, counts = np.unique([key(device) for device in devices], return_counts=True)
    return counts.tolist()


def test_a_batch_stays_in_a_slice_and_in_a_host_where_it_fits(devices):
    slices = sizes_of(devices, mesh.slice_of)
    hosts = sizes_of(devices, lambda device: device.process_index)
    for data in range(1, len(devices) + 1):
        if any(size % data for size in slices):
            with pytest.raises(InputError, match=f"mesh.data: found {data}, "):
                mesh.grid(2520 * data, data)
            continue
        onto = mesh.grid(2520 * data, data)
        assert onto.shape == {"member": len(devices) // data, "data": data}
        assert {*onto.devices.flat} == {*devices}
        for row in onto.devices:
            assert len({mesh.slice_of(device) for device in row}) == 1
            if not any(size % data for size in hosts):
                assert len({device.process_index for device in row}) == 1


def test_a_process_has_one_stretch_of_a_mesh(devices):
    flat = mesh.grid(1).devices.reshape(-1)
    processes = [device.process_index for device in flat]
    changes = sum(a != b for a, b in zip(processes, processes[1:], strict=False))
    assert changes == len({*processes}) - 1


def test_a_batch_has_by_itself_what_every_slice_can_share(devices):
    smallest = int(np.gcd.reduce(sizes_of(devices, mesh.slice_of)))
    assert mesh.grid(2520 * 64).shape["data"] == smallest
    assert mesh.grid(1).shape["data"] == 1
    spread = mesh.grid(2520 * 64, members=True)
    assert spread.shape == {"member": len(devices), "data": 1}


def test_chips_that_share_a_batch_are_neighbours(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: KINDS["v6e 8x8"])
    for data, sides in ((4, {2}), (8, {2, 4}), (16, {2, 8}), (32, {4, 8})):
        for row in mesh.grid(64, data).devices:
            spans = np.ptp([device.coords[:2] for device in row], axis=0) + 1
            assert {*spans.tolist()} == sides


def test_the_refusal_says_what_a_slice_has(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: KINDS["2 nodes of 8 GPUs"])
    allowed = "divisors of the 8 devices of each of the 2 slices or nodes and of the"
    with pytest.raises(InputError, match=f"found 16, allowed are {allowed} batch of 6"):
        mesh.grid(64, 16)
    monkeypatch.setattr(jax, "devices", lambda: KINDS["slices of 3 and 5"])
    with pytest.raises(InputError, match="the 3 or 5 devices of each of the 2 slices"):
        mesh.grid(64, 2)


_COLLECTIVE = re.compile(
    r" (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\(.*"
)
_IOTA = r"\[[\d,]+\](?:<=\[[\d,]+\])?(?:T\([\d,]+\))?"
_GROUPS = re.compile(rf"replica_groups=(\{{\{{[\d,{{}}]*\}}\}}|{_IOTA})")
_AXES = re.compile(
    rf"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(({_IOTA})\))? \{{([^}}]*)\}}"
)


def numbers(text):
    return [int(number) for number in text.split(",")]


def iota(text):
    """`[2,4]<=[8]`, `[2,4]<=[4,2]T(1,0)` or `[2,4]T(1,0)` as an array of places."""
    shape, *dims = map(numbers, re.findall(r"\[([\d,]+)\]", text))
    dims = dims[0] if dims else shape
    places = np.arange(np.prod(dims)).reshape(dims)
    order = re.search(r"T\(([\d,]+)\)", text)
    if order:
        places = places.transpose(numbers(order[1]))
    return places.reshape(shape) if "<=" in text else places


def groups_of(text):
    """The groups of places of all collectives of a compiled program.

    In any of the three ways of XLA's: one by one, as a transposed count, and as axes of
    a mesh of its own.
    """
    for line in _COLLECTIVE.findall(text):
        found = _GROUPS.search(line)
        if found and found[1].startswith("{"):
            yield from map(numbers, re.findall(r"\d[\d,]*", found[1]))
        elif found:
            yield from iota(found[1]).tolist()
        else:
            axes, places, along = _AXES.search(line).groups()
            names, sizes = zip(*re.findall(r"'(\w+)'=(\d+)", axes), strict=True)
            sizes = [int(size) for size in sizes]
            flat = iota(places) if places else np.arange(np.prod(sizes))
            along = [names.index(name) for name in re.findall(r"'(\w+)'", along)]
            moved = np.moveaxis(flat.reshape(sizes), along, range(-len(along), 0))
            size = int(np.prod([sizes[axis] for axis in along]))
            yield from moved.reshape(-1, size).tolist()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{{0,1},{2,3}}", [[0, 1], [2, 3]]),
        ("[2,2]<=[4]", [[0, 1], [2, 3]]),
        ("[2,2]<=[2,2]T(1,0)", [[0, 2], [1, 3]]),
        ("mesh['a'=2,'b'=2] {'b'}", [[0, 1], [2, 3]]),
        ("mesh['a'=2,'b'=1,'c'=2] {'a'}", [[0, 2], [1, 3]]),
        ("mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", [[0, 1], [2, 3]]),
    ],
)
def test_groups_are_read_as_they_are_written(text, expected):
    line = f"%a = f32[2] all-reduce(f32[2] %b), channel_id=1, replica_groups={text}, x"
    assert list(groups_of(line)) == expected


PROGRAMS = """
import dataclasses
import sys

import jax
import numpy as np

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
import mesh_slices_test as here
import mesh_test
import sweep_test
from ddjax import mesh
from ddjax.models import network
from ddjax.train import sweep

# Devices of two slices in turn, as no mesh by number has them together.
mesh.slice_of = lambda device: device.id % 2
net = network("convnet_d1", sweep_test.CLASSES, sweep_test.SHAPE, norm="batch")
program = dataclasses.replace(sweep_test.PROGRAM, network=net)
for driver, data in (("mesh", 2), ("loop", 4)):
    executable, runner = mesh_test.compiled(driver, data, program)
    flat = runner.mesh.devices.reshape(-1)
    groups = list(here.groups_of(executable.as_text()))
    assert groups, (driver, data)
    for group in groups:
        assert len(group) == data and len({mesh.slice_of(flat[n]) for n in group}) == 1
    pool = sweep_test.make_runner().pool
    both = []
    for how in ((driver, {}, data), ("loop", {}, 1)):
        runner = sweep.Runner(sweep_test.PROGRAM, pool, *how)
        both.append(runner.train(sweep_test.make_members(), 3)[0])
    for row in range(3):
        found = [sweep_test.params_of(states, row) for states in both]
        sweep_test.assert_close(*found)
"""


def run(code, folder=ROOT, **environment):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    variables = os.environ | {"PYTHONPATH": path} | environment
    command = [sys.executable, "-c", code]
    pipes = {"capture_output": True, "text": True, "timeout": 600}
    done = subprocess.run(command, cwd=folder, env=variables, **pipes)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_compiled_sweeps_of_two_slices_exchange_nothing_between_them():
    run(PROGRAMS)


# A whole run, of a process that is a slice: teachers, a sweep, images that are made.
RUN = """
import json
import os
import sys

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
from ddjax import mesh
from ddjax.process import joining

joining.join("on" if "JAX_PROCESS_ID" in os.environ else "off")
mesh.slice_of = lambda device: device.process_index
import streaming_run_test as streaming
from ddjax import pipeline
from ddjax.stages import embeddings

embeddings._map = lambda features: features[:, :2]
stream, source, folder = json.loads(sys.argv[1])
changes = {
    "mesh__data": 2,
    "regimes": ("hard", "soft_kd"),
    "labels__soft_kd__codec": "fp16",
    "select__methods": ("random",),
    "sweep__driver": "loop" if stream else "mesh",
}
entries = ("rded",) if stream else ("sre2l",)
pipeline.run(streaming.config(source, entries, stream, **changes), folder)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_two_processes_of_a_slice_each_do_what_one_does(tmp_path, stream):
    source = streaming_run_test.photos(tmp_path / "photos")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joined = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}

    def begin(folder, **environment):
        asked = json.dumps([stream, str(source), str(tmp_path / folder)])
        variables = os.environ | {"PYTHONPATH": path} | environment
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = [sys.executable, "-c", RUN, asked]
        return subprocess.Popen(command, env=variables, **pipes)

    begun = [begin("two", JAX_PROCESS_ID=str(n), **joined) for n in range(2)]
    for process in (*begun, begin("one")):
        told = process.communicate(timeout=600)[0]
        assert process.returncode == 0, told
    one, two = (streaming_run_test.rows_of(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 6
    for row, expected in zip(two, one, strict=True):
        assert row["method"] == expected["method"]
        if row["accuracy"]:
            assert abs(float(row["accuracy"]) - float(expected["accuracy"])) < 100 / 18
