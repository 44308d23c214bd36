"""Test-wide JAX settings: strict about shapes, keys and precision."""

import gc
import os
import pathlib
import resource
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
_MORE = 2 * 2**30  # bytes that a process may grow by before it gives up old programs
_room = [_MORE]


@pytest.fixture(autouse=True, scope="session")
def runs_share_programs():
    """Runs within a process share what they compile, and wait for nothing else."""
    with runs.sharing() if "ddjax.pipeline" in sys.modules else nullcontext():
        yield


@pytest.fixture(autouse=True, scope="module")
def programs_of_old_modules_go():
    """Gives memory back where what was compiled has filled much of it."""
    yield
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    if pages * resource.getpagesize() > _room[0]:
        runs.COMPILED.clear()
        jax.clear_caches()
        gc.collect()
        _room[0] = pages * resource.getpagesize() + _MORE


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for what they have started."""
    return len(os.sched_getaffinity(0)) + 1


# The files that take longest begin first; the others fill the time until they end.
_LONGEST = {"tpu_vm_test", "wheel_test", "models_golden_test", "processes_test"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in _LONGEST)
