"""How the processes of a run find each other: JAX's own distributed runtime."""

import os
from typing import Any

import jax

from ddjax.errors import InputError

# Set by `launch/local.sh`, or by a user who starts processes by hand.
_OWN = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# A process that is not heard of for so long is taken for dead, and all others end.
_HEARTBEAT_SECONDS = 30


def join(mode: str = "auto") -> None:
    """Joins the other processes, if there are any; before any device is used.

    Args:
      mode: "on"; "off"; "auto", where the environment names several processes: the
        three variables of `_OWN`, SLURM's, Open MPI's, or more than one host or slice
        of GKE's or Cloud TPU's. A pod of TPU VMs over ssh has none of these and needs
        "on".

    Raises:
      InputError: the environment does not name the others, or they cannot be reached.
    """
    if mode == "off" or (mode == "auto" and not _several()):
        return
    arguments = _own()
    try:
        jax.distributed.initialize(
            **arguments, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"--distributed={mode}: {str(error).splitlines()[0]} Allowed are "
            f"{', '.join(_OWN)}, or a cluster that JAX knows (SLURM's srun, Open MPI, "
            "Cloud TPU, GKE)"
        ) from error


def _several() -> bool:
    found = os.environ
    return (
        all(name in found for name in _OWN)
        or ("SLURM_STEP_NODELIST" in found and _number("SLURM_NTASKS") > 1)
        or _number("OMPI_COMM_WORLD_SIZE") > 1
        # Slices of one host each name no other host, only how many slices there are.
        or _number("MEGASCALE_NUM_SLICES") > 1
        or any(
            "," in found.get(name, "")
            for name in ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
        )
    )


def _own() -> dict[str, Any]:
    """Returns the arguments that the three variables give, {} without any of them."""
    given = [name for name in _OWN if name in os.environ]
    if not given or tuple(given) == _OWN[:1]:
        return {}
    missing = [name for name in _OWN if name not in os.environ]
    if missing:
        raise InputError(
            f"{missing[0]}: not set, but {given[-1]} is; allowed are all or none of "
            f"{', '.join(_OWN)}"
        )
    count, process = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
    if count < 1 or not 0 <= process < count:
        raise InputError(
            f"JAX_PROCESS_ID: found {os.environ['JAX_PROCESS_ID']!r} of "
            f"{os.environ['JAX_NUM_PROCESSES']!r} processes, allowed are 0 to one less"
        )
    return {
        "coordinator_address": os.environ["JAX_COORDINATOR_ADDRESS"],
        "num_processes": count,
        "process_id": process,
    }


def _number(name: str) -> int:
    """Returns an integer of the environment, -1 if it is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else -1
