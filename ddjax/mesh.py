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

    Args:
      size: images of the batch; of the local devices as many take part as divide it.
    """
    count = jax.local_device_count()
    while size % count:
        count -= 1
    mesh = jax.make_mesh(
        (count,),
        (IMAGE,),
        axis_types=(AxisType.Auto,),
        devices=jax.local_devices()[:count],
    )
    return NamedSharding(mesh, PartitionSpec(IMAGE)), NamedSharding(
        mesh, PartitionSpec()
    )


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
