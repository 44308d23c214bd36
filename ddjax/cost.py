"""What operations cost on this machine, told from a second of measuring."""

import time

import jax
import jax.numpy as jnp

_SIDE = 1024  # of the matrices whose product is timed
_ROUNDS = 5
# Of the rate of a matrix product, what whole runs on 2 CPU cores kept up: results/*,
# operations by seconds, compiling included, 6 to 27 of about 65 Gflop/s.
_KEPT_UP = (0.1, 0.4)


def rate() -> float:
    """Returns the operations a second of a large matrix product in float32."""
    multiply = jax.jit(jnp.matmul)
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    multiply(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(seconds)


def here(flops: float) -> str:
    """Returns in words how long operations take on this machine's devices.

    Args:
      flops: operations, a multiply-add being two.
    """
    found = rate()
    low, high = (_duration(flops / (found * share)) for share in reversed(_KEPT_UP))
    shares = " to ".join(f"{share:.0%}" for share in _KEPT_UP)
    return (
        f"about {low} to {high} on this machine, which multiplies matrices at "
        f"{found / 1e9:,.0f} Gflop/s ({shares} of that were kept up by runs on 2 CPU "
        "cores), and compiling"
    )


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(1, round(seconds))} s"
