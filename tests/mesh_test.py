"""Meshes: their shapes, where arrays lie, and what devices tell each other."""

import collections
import dataclasses
import re

import jax
import numpy as np
import pytest
import sweep_test
from jax.sharding import PartitionSpec

from ddjax import mesh
from ddjax.errors import InputError
from ddjax.models import network
from ddjax.train import batches, student, sweep

_COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)"
    r"(?:-start)?\("
)


@pytest.mark.parametrize(
    "asked, shape",
    [
        ({"batch": 6}, (1, 1)),  # the cores of a CPU work on one batch anyway
        ({"batch": 6, "members": True}, (4, 1)),
        ({"batch": 6, "data": 2}, (2, 2)),
        ({"batch": 8, "data": 4, "members": True}, (1, 4)),
    ],
)
def test_grid_has_the_shape_that_is_asked_for(asked, shape):
    assert tuple(mesh.grid(**asked).shape.values()) == shape


@pytest.mark.parametrize("batch, data", [(6, 4), (6, 3)])
def test_grid_refuses_what_cannot_be_divided(batch, data):
    with pytest.raises(InputError, match=f"mesh.data: found {data}.* the 4 devices"):
        mesh.grid(batch, data)


@pytest.mark.parametrize(
    "spec, axis", [(PartitionSpec(None, mesh.DATA), 1), (PartitionSpec(mesh.DATA), 0)]
)
def test_a_process_puts_the_rows_that_its_devices_hold(monkeypatch, spec, axis):
    rows = np.moveaxis(np.arange(36).reshape(2, 6, 3), 1, axis)
    onto, real = mesh.grid(6, 2), mesh.own_rows
    whole = mesh.place_own(rows, onto, spec)
    assert whole.sharding.spec == spec
    np.testing.assert_array_equal(whole, rows)

    # As if another process had the first half of the mesh: its rows are not here.
    def second(count, onto, spec):
        assert real(count, onto, spec) == slice(0, count)
        return slice(count // 2, count)

    asked = []
    monkeypatch.setattr(mesh, "own_rows", second)
    monkeypatch.setattr(
        jax,
        "make_array_from_callback",
        lambda shape, sharding, part: asked.append((shape, part)),
    )
    mesh.place_own(np.take(rows, range(3, 6), axis), onto, spec)
    ((shape, part),) = asked
    assert shape == rows.shape
    at = (slice(None),) * axis + (slice(3, 6),) + (slice(None),) * (2 - axis)
    np.testing.assert_array_equal(part(at), rows[at])


def test_place_and_fetch_keep_arrays():
    onto = mesh.grid(4, 4)
    rows = np.arange(24.0).reshape(8, 3)
    for spec in (mesh.WHOLE, PartitionSpec(mesh.DATA), mesh.EVERYWHERE):
        placed = mesh.place({"rows": rows}, onto, spec)["rows"]
        np.testing.assert_array_equal(mesh.fetch(placed), rows)
        np.testing.assert_array_equal(mesh.own_part(placed), rows)
        assert mesh.own_rows(8, onto, spec) == slice(0, 8)  # the only process
        np.testing.assert_array_equal(mesh.place_own(rows, onto, spec), rows)


def test_a_lone_process_speaks_for_itself():
    assert mesh.primary() and mesh.most((1, 0.5)) == [1.0, 0.5]
    assert mesh.first(lambda: {"a": 1}) == {"a": 1}
    mesh.wait()


def compiled(driver, data, program=sweep_test.PROGRAM):
    """The executable that advances a part by two steps."""
    pool = jax.tree.map(np.asarray, sweep_test.make_runner().pool)
    runner = sweep.Runner(program, pool, driver, {}, data)
    members = sweep_test.make_members((0, 1, 2, 0))
    part = members.parts(runner.width(4))[0]
    with runner._stretch([part], 0) as (plan,):
        states, numbers = runner._init(part), runner._place(part.hparams)
        args = (states, runner.pool, plan, numbers, np.int32(0), np.int32(2))
        batched = (True, False, True, True, False, False)
        function = sweep.Bound(student.advance, runner.program)
        return runner._lifted(function, batched, args), runner


def collectives(executable):
    return collections.Counter(_COLLECTIVE.findall(executable.as_text()))


@pytest.mark.slow
def test_members_on_devices_of_their_own_need_nothing_of_each_other():
    executable, runner = compiled("mesh", 0)
    assert tuple(runner.mesh.shape.values()) == (4, 1)
    assert not collectives(executable)


def test_devices_that_share_a_batch_add_up_and_nothing_else():
    net = network("convnet_d1", sweep_test.CLASSES, sweep_test.SHAPE, norm="batch")
    program = dataclasses.replace(sweep_test.PROGRAM, network=net)
    executable, runner = compiled("loop", 4, program)
    assert tuple(runner.mesh.shape.values()) == (1, 4)
    assert set(collectives(executable)) == {"all-reduce"}


def test_pool_and_logits_are_divided_among_devices_that_share_a_batch():
    onto = mesh.grid(4, 4)
    count = 4098  # cannot be divided by four
    pool = batches.Pool(
        np.ones((count, 4, 4, 1), np.uint8),
        *[np.arange(count, dtype=np.int32)] * 2,
        *[np.ones(1, np.float32)] * 2,
        teacher_logits=np.ones((count, 5), np.float32),
    )
    placed = batches.place_pool(pool, onto)
    for array in (placed.images, placed.teacher_logits):
        shards = array.addressable_shards
        assert [shard.data.shape[0] for shard in shards] == [1025] * 4
        assert not np.asarray(array)[count:].any()

    def step(pool, rows):
        plan = batches.Plan(rows, rows, rows, None, None)
        return plan.shown(pool).sum(axis=(1, 2, 3))

    with jax.set_mesh(onto):
        rows = np.array([0, 4097, 1025, 7], np.int32)
        executable = jax.jit(step).lower(placed, rows).compile()
    np.testing.assert_array_equal(executable(placed, rows), [16] * 4)
    memory = executable.memory_analysis()
    whole = pool.images.nbytes + pool.teacher_logits.nbytes
    assert memory.temp_size_in_bytes < whole / 16  # it is gathered nowhere


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [("cpu", False), ("cuda", True), ("tpu,cpu", True), ("cpu,tpu", False)],
)
def test_the_chosen_platform_says_whether_there_is_an_accelerator(platforms, expected):
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", platforms)
    try:
        assert mesh.has_accelerator() == expected
    finally:
        jax.config.update("jax_platforms", before)


@pytest.mark.parametrize("plugin", [False, True])
@pytest.mark.parametrize("device", [False, True])
def test_an_accelerator_needs_a_plugin_and_a_device(monkeypatch, plugin, device):
    def find_spec(name):
        return plugin and name == "jax_cuda12_plugin" or None

    def found(pattern):
        return ["/dev/nvidia0"] * (device and pattern.startswith("/dev/nvidia"))

    monkeypatch.setattr(mesh.importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(mesh.glob, "glob", found)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", None)
    try:
        assert mesh.has_accelerator() == (plugin and device)
    finally:
        jax.config.update("jax_platforms", before)
