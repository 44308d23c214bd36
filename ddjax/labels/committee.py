"""Several teachers' answers as one.

Letters: K teachers, B batch, C classes.
"""

import jax
import jax.numpy as jnp

from ddjax.errors import InputError

MEANS = ("plain", "frobenius", "weighted")


def committee_logits(
    logits_KBC: jax.Array, mean: str = "plain", weights: tuple[float, ...] = ()
) -> jax.Array:
    """Averages the logits of a committee of teachers.

    Args:
      logits_KBC: [K,B,C] float.
      mean: "plain"; "frobenius", each teacher's logits are first divided by their
        Frobenius norm over the batch and multiplied by the mean norm, so that none
        drowns the others (depends on the batch); "weighted".
      weights: of a weighted mean, one a teacher, positive; their sum does not matter.

    Returns:
      [B,C] float32.

    Raises:
      InputError: unknown mean, or not one weight a teacher where they are asked for.

    Source: G-VBSM for "frobenius"; EDC for "plain".
    """
    if mean not in MEANS:
        raise InputError(
            f"committee_mean: found {mean!r}, allowed is one of {', '.join(MEANS)}"
        )
    count = logits_KBC.shape[0]
    if len(weights) != (count if mean == "weighted" else 0):
        raise InputError(
            f"committee_weights: found {weights!r} for {count} teachers and the mean "
            f"{mean!r}, allowed is one weight a teacher for 'weighted', else none"
        )
    logits_KBC = logits_KBC.astype(jnp.float32)
    if mean == "weighted":
        shares = jnp.asarray(weights, jnp.float32) / sum(weights)
        return jnp.einsum("k,kbc->bc", shares, logits_KBC)
    if mean == "frobenius":
        norms = jnp.sqrt(jnp.sum(jnp.square(logits_KBC), axis=(1, 2), keepdims=True))
        safe = jnp.where(norms > 0, norms, 1.0)
        logits_KBC = logits_KBC / safe * jnp.mean(norms)
    return jnp.mean(logits_KBC, axis=0)
