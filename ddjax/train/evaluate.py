"""What a network says about many images, in constant memory.

Letters: N images, B batch, C classes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ddjax.models import Network
from ddjax.train.student import normalise

BATCH = 128


def _by_batch(function, images: jax.Array) -> jax.Array:
    """Maps [B,...] -> [B,...] over images, the last batch padded with zeros."""
    count = images.shape[0]
    size = min(BATCH, count)
    padded = jnp.pad(images, ((0, -count % size),) + ((0, 0),) * (images.ndim - 1))
    results = jax.lax.map(function, padded.reshape(-1, size, *images.shape[1:]))
    return results.reshape(-1, *results.shape[2:])[:count]


def predict(
    network: Network, variables: Any, images: jax.Array, mean: jax.Array, std: jax.Array
) -> jax.Array:
    """Returns logits [N,C] float32 of un-augmented images in eval mode.

    Args:
      network: the network.
      variables: its variables.
      images: [N,H,W,K] uint8.
      mean, std: [K] float32.
    """
    return _by_batch(
        lambda batch: network.apply(variables, normalise(batch, mean, std))[0], images
    )


@jax.jit
def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns top-1 accuracy in percent; NaN where a logit is not finite.

    Args:
      logits: [N,C] float.
      labels: [N] int.
    """
    correct = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
    return jnp.where(jnp.isfinite(logits).all(), 100.0 * correct, jnp.nan)
