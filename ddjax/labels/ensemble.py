"""Teachers' logits: of one teacher, and the mean of several.

Letters: K teachers, B batch, N images, C classes, H W D image height, width, channels.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.train.evaluate import represent

MEANS = ("plain", "frobenius", "weighted")


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Teachers whose logits are averaged; static and hashable.

    Attributes:
      networks: of the teachers; () where their logits are read from a store.
      mean, weights: see `ensemble_logits`.
    """

    networks: tuple[Network, ...] = ()
    mean: str = "plain"
    weights: tuple[float, ...] = ()

    @property
    def needs_whole_batch(self) -> bool:
        """Whether an image's logits depend on the other images of its batch."""
        return self.mean == "frobenius"

    def logits(
        self, variables: tuple[Any, ...], images_BHWD: jax.Array, train: bool = False
    ) -> jax.Array:
        """Returns the averaged logits [B,C] float32 of normalised images.

        Args:
          variables: of the networks.
          images_BHWD: [B,H,W,D] float.
          train: static; normalise by the statistics of the batch.
        """
        each = [
            network.apply(one, images_BHWD, train=train)[0]
            for network, one in zip(self.networks, variables, strict=True)
        ]
        return ensemble_logits(jnp.stack(each), self.mean, self.weights)


def ensemble_logits(
    logits_KBC: jax.Array, mean: str = "plain", weights: tuple[float, ...] = ()
) -> jax.Array:
    """Averages the logits of several teachers.

    Args:
      logits_KBC: [K,B,C] float.
      mean: "plain"; "frobenius", each teacher's logits are first divided by their
        Frobenius norm over the batch and multiplied by the mean norm, so that none
        drowns the others (depends on the batch); "weighted".
      weights: of a weighted mean, one a teacher, positive; their sum does not matter.

    Returns:
      [B,C] float32.

    Raises:
      InputError: unknown mean, or not one weight a teacher for a weighted mean.

    Source: G-VBSM for "frobenius"; EDC for "plain".
    """
    if mean not in MEANS:
        raise InputError(
            f"ensemble_mean: found {mean!r}, allowed is one of {', '.join(MEANS)}"
        )
    count = logits_KBC.shape[0]
    if len(weights) != (count if mean == "weighted" else 0):
        raise InputError(
            f"ensemble_weights: found {weights!r} for {count} teachers and the mean "
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


def teacher_logits(
    network: Network, variables: Any, images: Any, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """Returns a teacher's logits [N,C] float32 for images that are not augmented.

    Args:
      network, variables: of the teacher.
      images: [N,H,W,D] uint8, an array or a stream.
      mean, std: [D] float32 in [0, 1] units.
    """
    return represent(network, variables, images, mean, std)[0]
