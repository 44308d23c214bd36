"""Learning-rate schedules as a factor of the peak rate."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Steps:
    """A rate that falls in steps; static and hashable.

    Attributes:
      at: increasing fractions of the training, each in (0, 1).
      factor: what the rate is multiplied by from each of them on.
    """

    at: tuple[float, ...] = (0.5,)
    factor: float = 0.1


def schedule_factor(
    schedule: str | Steps,
    step: jax.Array,
    total_steps: jax.Array,
    zeta: jax.Array = 1.0,
    warmup: jax.Array = 0.0,
) -> jax.Array:
    """Returns the factor in [0, 1] by which the learning rate is multiplied.

    Args:
      schedule: "constant"; "cosine", 0.5 (1 + cos(pi t / (zeta T))), which ends at half
        the rate for zeta = 2; or `Steps`.
      step: [] steps done so far, t.
      total_steps: [] steps of the whole training, T.
      zeta: [] > 0, smoothing of the cosine.
      warmup: [] in [0, 1], fraction of the steps with a linear rise from 0.

    Returns:
      [] float32.

    Source: zeta as in RD3 (its learning-rate rule). RD3 counts t in epochs; here it is
    counted in steps, which is the same curve without the plateaus.
    """
    progress = step / total_steps
    factor = jnp.ones_like(progress)
    if schedule == "cosine":
        factor = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress / zeta, 1.0)))
    elif isinstance(schedule, Steps):
        for at in schedule.at:
            factor *= jnp.where(progress < at, 1.0, schedule.factor)
    rise = (step + 1) / jnp.maximum(warmup * total_steps, 1.0)
    return factor * jnp.where(warmup > 0, jnp.minimum(rise, 1.0), 1.0)
