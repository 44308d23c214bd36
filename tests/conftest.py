"""Test-wide JAX settings: strict about shapes, keys and precision."""

import os

# Most of a test's time is compiling programs that run for milliseconds. Set to 0 for
# the machine code that users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
