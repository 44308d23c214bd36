"""Compiled programs are kept between processes, where the user wants that."""

import os
import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import jax
from ddjax.process import cache
cache.keep()
hits = []
jax.monitoring.register_event_listener(
    lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None
)
print(jax.jit(lambda x: x * 3 + 1)(jax.numpy.arange(7.0)).sum())
print(jax.config.jax_compilation_cache_dir, len(hits))
"""


def run(tmp_path, **variables):
    """The folder that a process kept programs in, and how many it found there."""
    names = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"} | variables
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    value, kept = done.stdout.splitlines()
    assert value == "70.0" and not done.stderr
    place, hits = kept.rsplit(" ", 1)
    return place, int(hits)


@pytest.mark.slow
def test_a_second_process_finds_the_programs_of_the_first(tmp_path):
    place, hits = run(tmp_path)
    assert pathlib.Path(place).is_relative_to(tmp_path / "ddjax") and hits == 0
    programs = sorted(pathlib.Path(place).glob("*-cache"))
    assert programs
    assert run(tmp_path) == (place, len(programs))
    # What a killed process left in part is written afresh.
    broken = programs[0]
    broken.write_bytes(broken.read_bytes()[:10])
    broken.with_name(broken.name.removesuffix("cache") + "atime").unlink()
    assert run(tmp_path) == (place, len(programs) - 1)
    assert run(tmp_path) == (place, len(programs))


@pytest.mark.slow
def test_users_choose_another_folder_or_none(tmp_path):
    own = str(tmp_path / "own")
    assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=own) == (own, 0)
    assert not (tmp_path / "ddjax").exists()
    run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0")
    assert not list((tmp_path / "ddjax").glob("*/*-cache"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(tmp_path, XDG_CACHE_HOME=str(blocked)) == ("None", 0)
