"""Temperatures that change while a student trains.

Letters: B batch, C classes, G grid.
"""

import jax
import jax.numpy as jnp

from ddjax.losses import kl_divergence

_START, _FACTOR, _EVERY, _LEAST = 20.0, 0.7, 30, 2.0
_GRID = 100


def dynamic_temperature(passes: jax.Array) -> jax.Array:
    """The teacher's temperature: 20 * 0.7^(epoch // 30), at least 2.

    The same stored logits so give sharper targets as training goes on.

    Args:
      passes: [...] int32, the student's pass over its subset.

    Returns:
      [...] float32.

    Source: LPQLD (arXiv 2604.18135), dynamic knowledge reuse.
    """
    return jnp.maximum(_LEAST, _START * _FACTOR ** (passes // _EVERY))


def calibrated_temperature(
    student_logits_BC: jax.Array, teacher_logits_BC: jax.Array
) -> jax.Array:
    """The student's temperature that brings a batch closest to its targets.

    Args:
      student_logits_BC: [B,C] float.
      teacher_logits_BC: [B,C] float, already divided by the teacher's temperature.

    Returns:
      [] float32 in 0.01, 0.02 .. 1 with the smallest mean KL divergence; constant, it
      receives no gradient.

    Source: LPQLD (arXiv 2604.18135), calibrated alignment. Deviation: chosen for every
      batch on itself, where the source chooses once an epoch on the last batch, so
      that a step depends on nothing but its batch.
    """
    logits_BC = jax.lax.stop_gradient(student_logits_BC)
    grid_G = jnp.arange(1, _GRID + 1) / _GRID

    def mean(temperature):
        return kl_divergence(logits_BC / temperature, teacher_logits_BC).mean()

    return grid_G[jnp.argmin(jax.vmap(mean)(grid_G))]
