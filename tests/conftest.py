"""Test-wide JAX settings: strict about shapes, keys and precision."""

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


@pytest.fixture(autouse=True, scope="session")
def runs_share_programs():
    """Runs within a process share what they compile, and do not wait for its disk."""
    with runs.sharing() if "ddjax.experiment" in sys.modules else nullcontext():
        yield


@pytest.fixture(scope="module")
def no_figures():
    """Runs of a module that looks at no figure draw none, which takes seconds."""
    with runs.without_figures():
        yield
