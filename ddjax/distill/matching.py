"""How far a batch's statistics are from those that batch norms remember.

Letters: D channels of a layer.
"""

import jax
import jax.numpy as jnp
import optax

Moments = tuple[jax.Array, jax.Array]


def statistics_distance(
    measured: dict[str, Moments],
    remembered: dict[str, Moments],
    first_weight: float | jax.Array = 10.0,
    var_weight: float | jax.Array = 1.0,
) -> jax.Array:
    """sum_l w_l (var_weight ||var_l - var'_l|| + ||mean_l - mean'_l||).

    The norms are Euclidean and not squared; where one is 0 its gradient is too.

    Args:
      measured: layer -> (mean [D], biased variance [D]) of a batch, in the order of the
        forward pass, as `Network.inspect` with `moments` gives them. A dict that went
        through `jit` or `grad` is in the order of its keys instead.
      remembered: layer -> (mean [D], variance [D]) to be matched: running statistics or
        those of a class. It must have every measured layer, in any order.
      first_weight: [] w of the first layer; it is 1 for all others.
      var_weight: [] weight of the variances.

    Returns:
      [] float.

    Source: SRe2L; var_weight is DWA's r_var. The first layer is the first that runs
    where SRe2L takes the first that was defined: the same in every network here.
    """
    weights = [first_weight] + [1.0] * (len(measured) - 1)
    total = jnp.zeros(())
    for weight, (layer, (mean_D, var_D)) in zip(weights, measured.items(), strict=True):
        target_mean_D, target_var_D = remembered[layer]
        var_gap = optax.safe_norm(var_D - target_var_D, 0.0)
        mean_gap = optax.safe_norm(mean_D - target_mean_D, 0.0)
        total += weight * (var_weight * var_gap + mean_gap)
    return total
