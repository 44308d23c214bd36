"""Test-wide JAX settings: strict about shapes, keys and precision."""

import gc
import os
import sys
from contextlib import nullcontext

import programs
import pytest
import runs

# Most of a test's time is compiling programs that run for milliseconds. Set to 0 for
# the machine code that users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
programs.keep()
programs.write_whole()

import jax  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Programs that were traced are many objects, none of them garbage.
gc.set_threshold(100_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def runs_share_programs():
    """Runs within a process share what they compile, and wait for nothing else."""
    with runs.sharing() if "ddjax.experiment" in sys.modules else nullcontext():
        yield


@pytest.fixture(scope="module")
def drawn():
    """Runs of a module draw their figures, which takes most of a small run's time."""
    with runs.drawing():
        yield


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for what they have started."""
    return len(os.sched_getaffinity(0)) + 1
