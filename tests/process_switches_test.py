"""What a shell has set changes no result: it is set aside, refused or recorded."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from runs import numbers_of

from ddjax import keys, models, pipeline
from ddjax.errors import InputError
from ddjax.labels import Objective
from ddjax.process import switches
from ddjax.settings import from_config
from ddjax.stages.inputs import subset_key
from ddjax.train import student
from ddjax.train.order import presentations
from ddjax.train.supervision import Supervision

ROOT = pathlib.Path(__file__).parents[1]
ASIDE = {
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DISABLE_JIT": "1",
    "JAX_RANDOM_SEED_OFFSET": "3",
    "JAX_SOFTMAX_CUSTOM_JVP": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "FLAX_FIX_RNG_SEPARATOR": "1",
    "MPLBACKEND": "nonsense",
    "TQDM_MININTERVAL": "soon",
}
RECORDED = {
    "PYTHONHASHSEED": "7",
    "OMP_NUM_THREADS": "1",
    "LC_ALL": "C",
    "TZ": "Asia/Tokyo",
}
# Compiles every module of every package anew, which takes longer than a run.
OPTIMIZED = {"PYTHONOPTIMIZE": "2"}
REFUSED = {
    "NVIDIA_TF32_OVERRIDE": "1",
    "CUBLAS_EMULATE_SINGLE_PRECISION": "1",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "LIBTPU_INIT_ARGS": "--xla_tpu_use_approx_math",
}


def test_jax_and_flax_are_set_aside_and_the_rest_stays(monkeypatch):
    kept = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_CUDA_VISIBLE_DEVICES": "0",
        "JAX_COMPILATION_CACHE_DIR": "/c",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "JAX_COORDINATOR_ADDRESS": "a:1",
        "JAX_LOG_COMPILES": "1",
        "PATH": "/bin",
        "TQDM_DISABLE": "1",
    }
    environment = ASIDE | kept
    monkeypatch.setattr(switches, "_aside", {})
    assert switches.set_aside(environment) == sorted(ASIDE)
    assert environment == kept
    assert switches.found()["aside"] == ASIDE


def test_what_may_matter_is_recorded(monkeypatch):
    for name, value in RECORDED.items():
        monkeypatch.setenv(name, value)
    assert RECORDED.items() <= switches.found()["variables"].items()


@pytest.mark.parametrize("name", REFUSED)
def test_what_loosens_arithmetic_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, REFUSED[name])
    with pytest.raises(InputError, match=f"^{name}: found .*, allowed is "):
        switches.check()


@pytest.mark.parametrize(
    "option",
    [
        "--xla_allow_excess_precision",
        "--xla_dump_to=/d --xla_gpu_enable_fast_min_max",
        "--xla_cpu_fast_math_honor_nans=false",
        "--xla_disable_hlo_passes=algsimp",
    ],
)
def test_options_that_loosen_arithmetic_are_refused(option, monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", option)
    with pytest.raises(InputError, match="XLA_FLAGS: found --xla_"):
        switches.check()
    (tmp_path / "flags").write_text(option)
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    with pytest.raises(InputError, match="XLA_FLAGS: found --xla_"):
        switches.check()


def test_a_file_of_options_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "/nowhere/flags")
    with pytest.raises(InputError, match="allowed are options that begin with --"):
        switches.check()


def test_a_program_that_uses_the_library_is_told(tmp_path):
    settings = from_config(tiny.config(tiny.write(tmp_path / "tiny.npz")))
    for switched, name in (
        (jax.enable_x64(True), "jax_enable_x64"),
        (jax.default_prng_impl("rbg"), "jax_default_prng_impl"),
        (jax.default_matmul_precision("bfloat16"), "jax_default_matmul_precision"),
        (jax.disable_jit(), "jax_disable_jit"),
    ):
        with switched, pytest.raises(InputError, match=f"^{name}: found "):
            pipeline.run(settings, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_no_draw_depends_on_the_default_generator():
    network = models.network("mlp", 3, (4, 4, 1), hidden=(5,))
    program = student.Program(network, Objective("hard"), None, 2)
    supervision = Supervision(epochs=4, pool=2)
    ids = jnp.arange(7, dtype=jnp.int32)

    def drawn():
        # Traced anew: what was compiled is not asked which generator is the default.
        seen = jax.jit(lambda seed: presentations(seed, ids, ids, 0, 20, supervision))
        return (
            *seen(jnp.int32(3)),
            jax.random.key_data(subset_key(3, 2)),
            jax.random.key_data(keys.key(5)),
            *jax.tree.leaves(student.init_student(program, 3)["variables"]),
        )

    plain = drawn()
    with jax.default_prng_impl("rbg"):
        other = drawn()
    for a, b in zip(plain, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_key_names_its_generator():
    for path in (ROOT / "ddjax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("key", "PRNGKey"):
                own = isinstance(node.value, ast.Attribute)
                random = own and node.value.attr == "random"
                assert not random or path.name == "keys.py", path


def test_compiler_options_make_another_run(monkeypatch, tmp_path):
    usual = switches.identity()
    neutral = "--xla_force_host_platform_device_count=4 --xla_dump_to=/tmp/d"
    monkeypatch.setenv("XLA_FLAGS", neutral)
    assert switches.identity() == usual
    settings = from_config(
        tiny.config(
            tiny.write(tmp_path / "tiny.npz"),
            regimes=(),
            teacher__epochs=1,
        )
    )
    pipeline.run(settings, tmp_path / "w")
    monkeypatch.setenv("XLA_FLAGS", f"{neutral} --xla_backend_optimization_level=0")
    with pytest.raises(InputError, match="holds a run with switches .*another --work"):
        pipeline.run(settings, tmp_path / "w")
    monkeypatch.setenv("XLA_FLAGS", neutral)
    pipeline.run(settings, tmp_path / "w")
    found = json.loads((tmp_path / "w" / "manifest.json").read_text())["environment"]
    assert found["switches"]["variables"]["XLA_FLAGS"] == neutral
    assert found["switches"]["jax"]["jax_enable_x64"] is False


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    source = tiny.write(folder / "tiny.npz")
    return tiny.write_config(folder / "config.py", source, regimes=("hard",))


@pytest.fixture(scope="module")
def launch(config):
    def run(workdir, **variables):
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | variables
        command = [sys.executable, "-m", "ddjax", "run", str(config)]
        return subprocess.run(
            [*command, f"--workdir={workdir}"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def plain(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "w"
    done = launch(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def equal(one, other):
    """Whether two runs have the same artifacts, arrays and numbers of students."""
    for path in one.glob("artifacts/*/arrays.npz"):
        found = np.load(other / path.relative_to(one))
        for name, array in np.load(path).items():
            if "seconds" not in name:
                np.testing.assert_array_equal(array, found[name])
    names = [{p.name for p in each.glob("artifacts/*")} for each in (one, other)]
    return names[0] == names[1] and numbers_of(one) == numbers_of(other)


@pytest.mark.slow  # two whole runs; what is set aside is tested above
def test_all_switches_at_once_change_nothing_and_are_recorded(plain, launch, tmp_path):
    done = launch(tmp_path / "w", **ASIDE, **RECORDED)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"note: {name} is set aside, so that it changes no result"
        for name in sorted(ASIDE)
    ]
    assert equal(plain, tmp_path / "w")
    manifest = json.loads((tmp_path / "w" / "manifest.json").read_text())
    found = manifest["environment"]["switches"]
    assert found["aside"] == ASIDE
    assert RECORDED.items() <= found["variables"].items()


@pytest.mark.slow
@pytest.mark.parametrize("name", ASIDE | RECORDED | OPTIMIZED)
def test_a_switch_alone_changes_nothing(plain, launch, tmp_path, name):
    value = (ASIDE | RECORDED | OPTIMIZED)[name]
    done = launch(tmp_path / "w", **{name: value})
    assert done.returncode == 0, done.stderr
    assert equal(plain, tmp_path / "w")
    manifest = json.loads((tmp_path / "w" / "manifest.json").read_text())
    found = manifest["environment"]["switches"]
    assert (found["aside"] | found["variables"])[name] == value


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_switch_is_one_line(launch, tmp_path, name):
    done = launch(tmp_path / "w", **{name: REFUSED[name]})
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {name}: found ")
    assert not (tmp_path / "w").exists()
