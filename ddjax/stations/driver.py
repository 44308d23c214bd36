"""Which driver of the member axis is the fastest for a run's students."""

import pathlib
from typing import Any

import jax
import numpy as np

from ddjax.artifacts import Cost, Draft
from ddjax.train.members import Members


def choose_driver(students: Any) -> str:
    """Times a few steps of each driver; the choice is remembered in the folder.

    Args:
      students: of the run, see `ddjax.stations.students.Students`.
    """
    context, regime = students.context, "hard"
    size = context.settings.sweep.members
    settings = students.recipe(regime) | {
        "members": size,
        "devices": jax.device_count(),
        "platform": jax.default_backend(),
    }

    def make(folder: pathlib.Path) -> Draft:
        del folder
        positions = np.arange(context.settings.student.batch_size, dtype=np.int32)
        held = positions if context.streams else None
        members = Members(
            np.arange(size, dtype=np.int32),
            [positions] * size,
            students.hparams(regime, 1, np.full(size, 1e-3)),
        )
        names = ["vmap", "loop"]
        if jax.device_count() > 1:
            names.append("mesh")
        runners = {name: students.make_runner(regime, name, held) for name in names}
        milliseconds = {
            name: 1e3 * runner.time_step(members) for name, runner in runners.items()
        }
        cost = sum((r.take_cost() for r in runners.values()), start=Cost())
        info = {
            "driver": min(milliseconds, key=milliseconds.get),
            "milliseconds_per_member_step": milliseconds,
        }
        return Draft(arrays={}, info=info, cost=cost)

    artifact = context.station("driver", "choice of driver", settings, {}, make)
    measured = artifact.info["milliseconds_per_member_step"]
    times = ", ".join(f"{name} {value:.2f}" for name, value in measured.items())
    context.say(f"driver {artifact.info['driver']} (ms a member-step: {times})")
    return artifact.info["driver"]
