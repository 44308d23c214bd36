"""Compiled programs are kept from run to run, in the user's cache folder."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import warnings

from ddjax import regular

SIZE = 2**30  # bytes that are kept; the programs that were used last stay
_VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def keep() -> None:
    """Lets this process share programs with others, before it compiles any.

    Where JAX_COMPILATION_CACHE_DIR is set, programs are kept there instead; with
    JAX_ENABLE_COMPILATION_CACHE=0 nowhere. A folder that cannot be written is done
    without. Processes take turns by a lock.
    """
    import jax

    if _VARIABLE in os.environ:
        return
    path = folder("ddjax")
    try:
        path.mkdir(parents=True, exist_ok=True)
        _tidy(path)
    except OSError:
        return
    # What cannot be kept or read is compiled again; the run does not suffer.
    message = "Error (reading|writing) persistent compilation cache entry"
    warnings.filterwarnings("ignore", message)
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_compilation_cache_max_size", SIZE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def folder(name: str, *more: str) -> pathlib.Path:
    """Returns where programs of one compiler and processor are kept.

    Args:
      name: of the folder that holds those of all of them, in XDG_CACHE_HOME or
        ~/.cache.
      *more: what else changes programs, such as a compiler's option.
    """
    cpu = pathlib.Path("/proc/cpuinfo")
    features = cpu.read_text().partition("\nflags")[2] if cpu.exists() else ""
    versions = [importlib.metadata.version(each) for each in ("jax", "jaxlib")]
    parts = [*versions, platform.machine(), *more]
    parts += sorted(features.partition("\n")[0].split())
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return regular.cache() / name / f"jax-{versions[0]}-{digest}"


def _tidy(path: pathlib.Path) -> None:
    """Deletes what a killed process left in part: JAX writes a program's time last."""
    import filelock

    try:
        with filelock.FileLock(path / ".lockfile", timeout=10):
            for program in path.glob("*-cache"):
                time = program.with_name(f"{program.name.removesuffix('cache')}atime")
                if not time.exists():
                    program.unlink()
    except filelock.Timeout:
        pass  # another process is at it
