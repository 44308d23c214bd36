"""The one place where devices are named."""

import os

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddjax.errors import InputError

MEMBER = "member"  # of a sweep
EPOCH = "epoch"  # whose views are labelled
IMAGE = "image"  # of a batch that is optimised together


def local_mesh(axis: str) -> Mesh:
    """Returns a mesh of all local devices along one axis."""
    return jax.make_mesh(
        (jax.local_device_count(),), (axis,), axis_types=(AxisType.Auto,)
    )


def image_shardings(size: int) -> tuple[NamedSharding, NamedSharding]:
    """Returns where the rows of a batch of images lie, and what all of them share.

    Of accelerators as many take part as divide the batch. The devices of a CPU are its
    cores, which one device uses too: more of them are no faster at this, and XLA's
    collectives among them were seen to wait for each other for ever.

    Args:
      size: images of the batch.
    """
    devices = jax.local_devices()
    count = len(devices) if jax.default_backend() != "cpu" else 1
    while size % count:
        count -= 1
    axes = {"axis_types": (AxisType.Auto,), "devices": devices[:count]}
    mesh = jax.make_mesh((count,), (IMAGE,), **axes)
    return tuple(NamedSharding(mesh, PartitionSpec(*axis)) for axis in ((IMAGE,), ()))


def check_memory(size: int, key: str) -> None:
    """Checks that arrays of a size can lie on one device and leave room to work.

    Args:
      size: bytes.
      key: the setting to name in the error.

    Raises:
      InputError: they take more than half of the device's (or host's) memory.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = stats.get("bytes_limit", host)
    if size > limit / 2:
        raise InputError(
            f"{key}: the training images take {size / 2**30:.1f} GiB, allowed is half "
            f"of the device's {limit / 2**30:.1f} GiB; keep fewer or smaller images"
        )
