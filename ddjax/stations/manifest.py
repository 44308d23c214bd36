"""What a run writes down about itself."""

import dataclasses
import math
import os
import platform
from typing import Any

import jax

from ddjax import artifacts
from ddjax.process import switches
from ddjax.stations.context import Context


def manifest_of(context: Context, notes: list[str]) -> dict[str, Any]:
    """Returns manifest.json: what was run, on what, at which cost.

    Args:
      context: the run.
      notes: remarks on the validity of the results.
    """
    return {
        "settings": dataclasses.asdict(context.settings),
        "source": {
            "name": context.source.name,
            "digest": context.source.digest,
            "classes": list(context.source.classes),
            "shape": list(context.source.shape),
            "remarks": list(context.source.remarks),
            "pool": len(context.pool),
            "validation": len(context.validation),
            "test": len(context.test),
        },
        "environment": environment(),
        "notes": notes,
        "costs": context.costs,
    }


def environment() -> dict[str, Any]:
    """Returns what the numbers were made with."""
    return {
        "versions": artifacts.versions(),
        "backend": jax.default_backend(),
        "devices": [str(device.device_kind) for device in jax.local_devices()],
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "switches": switches.found(),
    }


def finite(value: Any) -> Any:
    """Returns a JSON value with None for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
