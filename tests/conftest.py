"""Test-wide JAX settings: strict about shapes, keys and precision; one cache."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
import time
from contextlib import nullcontext

# Most of a test's time is compiling programs that run for milliseconds. Set to 0 for
# the machine code that users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
_DAYS = 14  # that a compiled program is kept


def _compiler() -> str:
    """Returns what tells compilers apart whose programs must not be mixed up."""
    cpu = pathlib.Path("/proc/cpuinfo")
    features = cpu.read_text().split("\n\n")[0] if cpu.exists() else ""
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    flags = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")
    told = [*versions, platform.machine(), *(os.environ.get(n, "") for n in flags)]
    told += sorted(set(features.partition("\nflags")[2].partition("\n")[0].split()))
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    return f"jax-{versions[0]}-{digest}"


# What one test compiled the others need not, in whatever process they run, nor those of
# the next run. Only the process that starts the tests comes here with nothing set.
_OWN = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if _OWN:
    place = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = place / "ddjax-tests" / _compiler()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # noqa: E402
import pytest  # noqa: E402
import runs  # noqa: E402
from jax._src import compilation_cache, lru_cache  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


def _put(self, key: str, value: bytes) -> None:
    """Keeps a program whole or not at all: others read while this one writes."""
    path = self.path / f"{key}-cache"
    if not path.exists():
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(value)
        os.replace(temporary, path)


lru_cache.LRUCache.put = _put


def _tidy(folder: pathlib.Path) -> None:
    """Deletes programs that are old, and those that a killed process left in part."""
    stamp = folder / "checked"
    checked = stamp.stat().st_mtime if stamp.exists() else 0.0
    stamp.touch()
    for path in folder.parent.glob("*/*-cache*"):
        written = path.stat().st_mtime
        if written < time.time() - _DAYS * 86400:
            path.unlink(missing_ok=True)
        elif written >= checked and path.name.endswith("-cache"):
            try:
                compilation_cache.decompress_executable(path.read_bytes())
            except Exception:  # of zstandard or zlib, whichever there is
                path.unlink(missing_ok=True)


if _OWN:
    _tidy(folder)


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
