"""Switches of the process that change numbers: set aside, refused or recorded.

JAX, XLA and the libraries below them read variables of the environment. Which of them
a shell has must not change what an experiment finds:

    set aside   JAX's and Flax's own, but for those of place and speed
    refused     those that loosen arithmetic and cannot be overruled from here
    another run compiler options that may change last digits: a workdir has one set
    recorded    all of these, and those of threads, locale and hashes, by `found`
"""

import os
import re
from collections.abc import MutableMapping
from typing import Any

from ddjax.errors import InputError

# Of JAX's variables, those that set where programs run, which processes there are, what
# is kept of compiled programs and what is logged about them.
_KEPT = re.compile(
    "JAX_(PLATFORMS?|PLATFORM_NAME|NUM_CPU_DEVICES|[A-Z]+_VISIBLE_DEVICES"
    "|COORDINATOR_ADDRESS|NUM_PROCESSES|PROCESS_ID|LOCAL_DEVICE_IDS|MOCK_.*|PJRT_.*"
    "|(RAISE_)?PERSISTENT_CACHE_.*|(ENABLE_)?COMPILATION_CACHE.*|SHARE_BINARY_.*"
    "|CPU_.*|CROSS_HOST_.*|FORCE_DCN_.*|DISTRIBUTED_.*|COORDINATION_.*|CHECK_PROXY_ENVS"
    "|LOG_.*|LOGGING_LEVEL|DUMP_IR_.*|EXPLAIN_CACHE_MISSES|TRACEBACK_.*|TRACER_.*"
    "|DEBUG_LOG_MODULES|DEBUG_KEY_REUSE|DISABLE_MOST_OPTIMIZATIONS)"
)
_OWN = re.compile(
    "(JAX|FLAX)_[A-Z0-9_]+|MPLBACKEND|MATPLOTLIBRC|TQDM_(?!DISABLE)[A-Z_]+"
)
# What JAX's switches must be where a program that uses ddjax has set them itself.
_REQUIRED = {
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_random_seed_offset": 0,
    "jax_threefry_partitionable": True,
}
# They overrule the precision that a program sets.
_LOOSE = (
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
)
_COMPILERS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_LOOSE_OPTION = re.compile(
    "fast_math|fast_min_max|excess_precision|reduced_precision|approx|denormal|ftz"
    "|tf32|unsafe|disable_hlo_passes|disable_all_hlo_passes|fp8|6way|3way"
)
# Options about places, files and devices alone.
_NEUTRAL_OPTION = re.compile(
    "--(xla_force_host_platform_device_count|xla_dump_.*|xla_gpu_cuda_data_dir"
    "|xla_gpu_force_compilation_parallelism|xla_.*_collective_.*timeout.*)(=|$)"
)
_RECORDED = re.compile(
    "(JAX|FLAX|XLA|LIBTPU|TPU|MEGASCALE|NVIDIA|CUDA|CUBLAS|CUDNN|NCCL|ROCM|HIP|MIOPEN"
    "|OMP|MKL|OPENBLAS|BLIS|GOTO|VECLIB|NUMEXPR|NPY|DNNL|ONEDNN|LC)_.*"
    "|PYTHON(HASHSEED|OPTIMIZE|UTF8|IOENCODING)|LANG|LANGUAGE|TZ"
)
_aside: dict[str, str] = {}


def set_aside(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Takes switches of JAX, Flax and Matplotlib away, before they are imported.

    Args:
      environment: is changed.

    Returns:
      The names of those that were set.
    """
    names = [
        name
        for name in sorted(environment)
        if _OWN.fullmatch(name) and not _KEPT.fullmatch(name)
    ]
    for name in names:
        _aside[name] = environment.pop(name)
    return names


def check() -> None:
    """Checks the switches that cannot be set aside, and JAX's as a program has them.

    Raises:
      InputError: names the one that changes numbers.
    """
    _check_variables()
    import jax

    for name, wanted in _REQUIRED.items():
        found = getattr(jax.config, name, wanted)
        if found != wanted:
            raise InputError(
                f"{name}: found {found!r}, allowed is {wanted!r}, JAX's default, with "
                f"which all results are computed; unset {name.upper()}"
            )


def _check_variables() -> None:
    for name in _LOOSE:
        if name in os.environ:
            raise InputError(
                f"{name}: found {os.environ[name]!r}, allowed is that it is not set: "
                "it overrules the precision that computations set"
            )
    for name in _COMPILERS:
        for option in _options(name):
            if _LOOSE_OPTION.search(option):
                raise InputError(
                    f"{name}: found {option}, allowed is none that loosens arithmetic"
                )


def identity() -> dict[str, dict[str, str]]:
    """Returns the options that make another run of it, as they may change last digits.

    Returns:
      `switches`: variable -> value; nothing at all where there are none.
    """
    import jax

    found: dict[str, str] = {}
    for name in _COMPILERS:
        options = sorted(o for o in _options(name) if not _NEUTRAL_OPTION.match(o))
        if options:
            found[name] = " ".join(options)
    if getattr(jax.config, "jax_disable_most_optimizations", False):
        found["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    return {"switches": found} if found else {}


def found() -> dict[str, Any]:
    """Returns the switches for a manifest.

    Returns:
      `variables`, those of the environment that may matter; `aside`, what was set but
      is without effect; `jax`, what JAX computes with.
    """
    import jax

    return {
        "variables": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if _RECORDED.fullmatch(name)
        },
        "aside": dict(_aside),
        "jax": {name: getattr(jax.config, name, None) for name in _REQUIRED},
    }


def _options(name: str) -> list[str]:
    """Returns a variable's compiler options; XLA's may name a file of them."""
    text = os.environ.get(name, "").strip()
    if text and not text.startswith("-"):
        try:
            with open(text, encoding="utf-8") as file:
                text = file.read()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{name}: found {text!r}, allowed are options that begin with --, or a "
                f"file of them ({error})"
            ) from error
    return text.split()
