"""The one place where processes, devices and shardings are named.

All processes of a run execute the same program on one mesh of all their devices with
two axes: members of a sweep lie along `member`, the images of a batch along `data`.
Devices that share a batch lie in one slice of TPUs, or on one node of GPUs, whose links
are fast, and in one process where they fit; nothing is exchanged between slices but
results.
Files are written by the first process, unless a function documents otherwise.
"""

import collections
import glob
import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddjax import memory
from ddjax.errors import InputError

MEMBER = "member"  # of a sweep
DATA = "data"  # of a batch
WHOLE = PartitionSpec()  # the same at every place
EVERYWHERE = PartitionSpec((MEMBER, DATA))  # rows that need nothing of each other
# A plugin of JAX -> the device files that its accelerators have.
_PLUGINS = {
    "jax_cuda12_plugin": "/dev/nvidia[0-9]*",
    "jax_cuda13_plugin": "/dev/nvidia[0-9]*",
    "jax_rocm60_plugin": "/dev/kfd",
    "jax_rocm7_plugin": "/dev/kfd",
    "libtpu": "/dev/accel*",
}


def has_accelerator() -> bool:
    """Returns whether JAX is going to compute on an accelerator.

    It calls nothing that starts JAX, after which no other process can be joined.
    JAX_PLATFORMS decides where it is set, else an installed plugin with a device.
    A TPU behind vfio counts as well.
    """
    chosen = jax.config.jax_platforms
    if chosen:
        return chosen.split(",")[0] != "cpu"
    places = [*_PLUGINS.items(), ("libtpu", "/dev/vfio/[0-9]*")]
    return any(
        importlib.util.find_spec(plugin) and glob.glob(place)
        for plugin, place in places
    )


def grid(batch: int, data: int = 0, members: bool = False) -> Mesh:
    """Returns the mesh (member, data) of a training.

    Of a CPU's devices, its cores, one of each process serves a training that is not
    divided: it uses all cores, more of them are no faster, and XLA's collectives among
    them have waited for each other for ever.

    Args:
      batch: images of a step.
      data: devices that share a batch; 0: one where members are spread and on CPU, else
        as many of a slice as divide it.
      members: whether members are spread over the rest; if not, each of them computes
        the same.

    Raises:
      InputError: `data` does not divide the batch or the devices of every slice.
    """
    devices = jax.devices()
    cpu = devices[0].platform == "cpu"
    if cpu and not members and data <= 1:
        devices = [d for d in devices if d.id == _first_id(devices, d.process_index)]
    sizes = sorted(collections.Counter(map(slice_of, devices)).values())
    if not data:
        data = 1 if cpu or members else math.gcd(batch, *sizes)
    if batch % data or any(size % data for size in sizes):
        each = f"the {len(devices)} devices"
        if len(sizes) > 1:
            found = " or ".join(map(str, dict.fromkeys(sizes)))
            each = f"the {found} devices of each of the {len(sizes)} slices or nodes"
        raise InputError(
            f"mesh.data: found {data}, allowed are divisors of {each} and of the batch "
            f"of {batch}"
        )
    return mesh_of(len(devices) // data, data, devices)


def mesh_of(members: int, data: int, devices: Sequence[Any] | None = None) -> Mesh:
    """Returns a mesh of a shape; of all devices unless they are given.

    Slice after slice and in it process after process, each device by its number: so
    those along `data` are neighbours, and a process has one stretch of a mesh. JAX's
    own meshes refuse several slices, and have another order, by which a process may own
    rows of a batch here and there.
    """
    found = sorted(devices or jax.devices(), key=_address)
    return Mesh(
        np.array(found, object).reshape(members, data),
        (MEMBER, DATA),
        axis_types=(AxisType.Auto,) * 2,
    )


def slice_of(device: Any) -> int:
    """Returns which slice of TPUs or which node of GPUs a device belongs to.

    To JAX, GPUs that NVLink joins are a slice. CPUs have none: all are taken for one.
    """
    return getattr(device, "slice_index", None) or 0


def _address(device: Any) -> tuple[int, int, int]:
    return slice_of(device), device.process_index, device.id


def _first_id(devices: Sequence[Any], process: int) -> int:
    return min(d.id for d in devices if d.process_index == process)


def share_rows(tree: Any) -> Any:
    """Divides the leading axis of arrays over `data`, in a program for such a mesh.

    Elsewhere, and where a length cannot be divided, arrays stay as they are.

    Args:
      tree: arrays [B,...] that are being traced.
    """
    count = _shared_by()
    if count == 1:
        return tree

    def share(array):
        if array.shape[0] % count:
            return array
        return jax.lax.with_sharding_constraint(array, PartitionSpec(DATA))

    return jax.tree.map(share, tree)


def look_up(table: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns rows of a table that may be divided over `data`, in a program.

    Each device gathers all rows from its share of the table; an all-reduce adds the
    shares up.

    Args:
      table: [N,...], divided along N or not.
      rows: [B] int32.
    """
    if _shared_by() == 1:
        return table[rows]
    found = table[jax.lax.with_sharding_constraint(rows, WHOLE)]
    return jax.lax.with_sharding_constraint(found, WHOLE)


def _shared_by() -> int:
    """Devices that share a batch in the program that is being traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return dict(mesh.shape)[DATA] if DATA in mesh.auto_axes else 1


def place(tree: Any, mesh: Mesh, spec: PartitionSpec = WHOLE) -> Any:
    """Puts arrays on a mesh.

    Args:
      tree: arrays that every process has whole, or that lie on the mesh already.
      mesh: where to.
      spec: how their axes are divided.
    """
    sharding = NamedSharding(mesh, spec)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(array):
        if isinstance(array, jax.Array) and not array.is_fully_addressable:
            return array if array.sharding == sharding else put(fetch(array))
        host = np.asarray(array)
        return jax.make_array_from_callback(host.shape, sharding, lambda at: host[at])

    return jax.tree.map(put, tree)


def place_own(array: np.ndarray, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    """Puts an array of whose rows each process has its own on a mesh.

    Args:
      array: the rows of `own_rows` along the axis that is divided.
      mesh: where to.
      spec: how one of its axes, or none, is divided.
    """
    divided = [at for at, names in enumerate(spec) if names is not None]
    if not divided:
        return place(array, mesh, spec)
    (axis,) = divided
    shards = math.prod(mesh.shape[name] for name in np.atleast_1d(spec[axis]))
    own = own_rows(shards, mesh, PartitionSpec(spec[axis]))
    each = array.shape[axis] // (own.stop - own.start)
    shape = (*array.shape[:axis], each * shards, *array.shape[axis + 1 :])

    def part(at):
        first, stop, _ = at[axis].indices(each * shards)
        rows = slice(first - own.start * each, stop - own.start * each)
        return array[(*at[:axis], rows, *at[axis + 1 :])]

    return jax.make_array_from_callback(shape, NamedSharding(mesh, spec), part)


def own_rows(count: int, mesh: Mesh, spec: PartitionSpec) -> slice:
    """Returns the stretch of an array that holds all rows of this process's devices.

    It holds others as well where a process has some devices of one member and some of
    the next, but not whole members.

    Args:
      count: rows of the whole array.
      mesh, spec: where it lies.
    """
    places = NamedSharding(mesh, spec).addressable_devices_indices_map((count,))
    rows = [at[0].indices(count) for at in places.values()]
    return slice(min(row[0] for row in rows), max(row[1] for row in rows))


def fetch(tree: Any) -> Any:
    """Returns arrays, wherever they lie, as NumPy arrays in every process."""

    def get(array):
        if not isinstance(array, jax.Array) or array.is_fully_replicated:
            return np.asarray(array)
        if array.is_fully_addressable:
            return np.asarray(array)
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))

    return jax.tree.map(get, tree)


def own_part(array: jax.Array) -> np.ndarray:
    """Returns the rows of an array that lie on this process's devices, in order."""
    parts = {shard.index[0].start or 0: shard for shard in array.addressable_shards}
    return np.concatenate([np.asarray(parts[start].data) for start in sorted(parts)])


def primary() -> bool:
    """Whether this is the first of the processes, which writes and prints."""
    return jax.process_index() == 0


def first(function: Callable[[], Any]) -> Any:
    """Calls a function in the first process and returns its result in all of them.

    All processes wait for it. An InputError is raised in all of them.

    Args:
      function: returns what JSON can hold.
    """
    if jax.process_count() == 1:
        return function()
    outcome = {}
    if primary():
        try:
            outcome["result"] = function()
        except InputError as error:
            outcome["error"] = str(error)
    encoded = np.frombuffer(json.dumps(outcome).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(encoded.size)))
    encoded = np.resize(encoded, size) if primary() else np.zeros(size, np.uint8)
    outcome = json.loads(bytes(multihost_utils.broadcast_one_to_all(encoded)))
    if "error" in outcome:
        raise InputError(outcome["error"])
    return outcome["result"]


def most(values: Sequence[float]) -> list[float]:
    """Returns, number by number, the largest that any process has."""
    if jax.process_count() == 1:
        return [float(value) for value in values]
    own = np.asarray(values, np.float32)
    return multihost_utils.process_allgather(own).max(axis=0).tolist()


def wait() -> None:
    """Waits for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("ddjax")


def check_memory(size: int, key: str) -> None:
    """Checks that arrays of a size can lie on one device and leave room to work.

    Args:
      size: bytes.
      key: the setting to name in the error.

    Raises:
      InputError: they take more than half of the device's (or host's) memory.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    memory.check(
        size,
        f"{key}: the training images",
        "keep fewer or smaller images, or leave images on disk, --data.stream=True",
        stats.get("bytes_limit", memory.host()),
    )
