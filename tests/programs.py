"""Where compiled programs are kept, between tests and between runs of the tests."""

import os
import pathlib
import sys
import time

from ddjax.process import cache

_DAYS = 14  # that a program is kept
_FLAGS = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")


def keep() -> None:
    """Lets this process and those it starts share programs, where nothing is set.

    They lie under the user's cache folder, in a folder for each compiler: JAX's
    version, what changes its code, and the processor.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # of a process that keeps them, or the user's own
    folder = cache.folder("ddjax-tests", *(os.environ.get(n, "") for n in _FLAGS))
    folder.mkdir(parents=True, exist_ok=True)
    # JAX reads these once, when it is imported.
    assert "jax" not in sys.modules
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    _tidy(folder)


def write_whole() -> None:
    """Lets this process write a program whole or not at all, as others read it."""
    from jax._src import lru_cache

    def put(self, key, value):
        path = self.path / f"{key}-cache"
        if not path.exists():
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_bytes(value)
            os.replace(temporary, path)

    lru_cache.LRUCache.put = put


def _tidy(folder: pathlib.Path) -> None:
    """Deletes programs that are old, and those that a killed process left in part."""
    from jax._src import compilation_cache

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
