"""Random keys whose generator does not depend on JAX's default one."""

import jax

GENERATOR = "threefry2x32"  # counter-based: a draw is a pure function of its key


def key(seed: int | jax.Array) -> jax.Array:
    """Returns the typed key of a seed, [] of any integer dtype."""
    return jax.random.key(seed, impl=GENERATOR)
