"""What a network says about many images, in constant memory.

Letters: N images, B batch, C classes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ddjax import losses
from ddjax.models import Network
from ddjax.train.student import normalise

BATCH = 128


def _by_batch(function, images: jax.Array) -> jax.Array:
    """Maps [B,...] -> [B,...], or a pytree of such, over images in padded batches."""
    count = images.shape[0]
    size = min(BATCH, count)
    padded = jnp.pad(images, ((0, -count % size),) + ((0, 0),) * (images.ndim - 1))
    results = jax.lax.map(function, padded.reshape(-1, size, *images.shape[1:]))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], results)


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


@functools.partial(jax.jit, static_argnums=(0, 5))
def represent(
    network: Network,
    variables: Any,
    images: jax.Array,
    mean: jax.Array,
    std: jax.Array,
    layer: str = "",
) -> tuple[jax.Array, jax.Array]:
    """Returns logits [N,C] and a layer's features [N,D] of un-augmented images.

    Args:
      network: the network.
      variables: its variables.
      images: [N,H,W,K] uint8.
      mean, std: [K] float32.
      layer: see `Network.features`.
    """

    def both(batch):
        shown = normalise(batch, mean, std)
        logits, _ = network.apply(variables, shown)
        return logits, network.features(variables, shown, layer)

    return _by_batch(both, images)


@jax.jit
def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns top-1 accuracy in percent; NaN where a logit is not finite.

    Args:
      logits: [N,C] float.
      labels: [N] int.
    """
    correct = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
    return jnp.where(jnp.isfinite(logits).all(), 100.0 * correct, jnp.nan)


def judge(
    network: Network, variables: Any, images: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
    """Returns the cross-entropy of images and whether they are right, [B] each.

    Args:
      network: the network.
      variables: its variables.
      images: [B,H,W,K] float32, normalised.
      labels: [B] int32.
    """
    logits, _ = network.apply(variables, images)
    return {
        "loss": losses.cross_entropy(logits, labels),
        "correct": jnp.argmax(logits, axis=-1) == labels,
    }
