"""What a program costs before it is compiled, as XLA counts it."""

from collections.abc import Callable
from typing import Any

import jax


def flops(function: Callable, *abstract: Any) -> float:
    """Counts a function's floating-point operations, before optimisation.

    Nothing is compiled or computed. The body of a loop counts once where its length is
    not known, as in `jax.lax.fori_loop` with bounds that are arguments.

    Args:
      function: jitted or not.
      *abstract: its arguments; arrays, `jax.ShapeDtypeStruct` or pytrees of them, and
        what a jitted function holds static.

    Returns:
      The operations; 0 where XLA's analysis does not know.
    """
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    return flops_of(jitted.lower(*abstract))


def flops_of(lowered: Any) -> float:
    """Counts the floating-point operations of what `jax.jit(f).lower(...)` returned."""
    return max((lowered.cost_analysis() or {}).get("flops", 0.0), 0.0)
