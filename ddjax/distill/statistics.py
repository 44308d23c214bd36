"""What layers of a teacher see of real images, measured for images to be matched with.

Letters: B images looked at together, n images, H W image, K channels, D numbers of a
mean.
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.distill.matching import Moments, moments_with_patches
from ddjax.models import Network, Variables, moments
from ddjax.train.batches import normalise
from ddjax.train.flops import flops

CHUNK = 128  # images looked at together


def measures_of(patch: int):
    """Returns what `Network.inspect` measures of a batch.

    Args:
      patch: side of the patches of convolutions' inputs; 0: only batch norms are
        looked at.
    """
    measures = {"norm": moments}
    if patch:
        measures["conv"] = functools.partial(moments_with_patches, patch)
    return measures


def statistics_of(
    network: Network,
    variables: Variables,
    images_nHWK: np.ndarray,
    mean_K: np.ndarray,
    std_K: np.ndarray,
    patch: int = 0,
    chunk: int = CHUNK,
) -> dict[str, Moments]:
    """Measures what enters the layers, over all images together.

    Args:
      network: in eval mode.
      variables: of the network.
      images_nHWK: [n,H,W,K] uint8.
      mean_K, std_K: [K] float32 of pixels in [0, 1].
      patch: see `measures_of`.
      chunk: images looked at together; the result hangs on it by rounding only.

    Returns:
      Layer -> moments [D] float32, with biased variances: of all images and places
      together, as is measured in a batch of made images.

    Source: LPLD averages with PyTorch's momentum 0.1 over the batches of a pass, so
    that its statistics lean on the last images of a class, and EDC's variances of a
    class are the mean of its images' own, which leaves out all that differs between
    them. Here every image counts the same and nothing is left out.
    """
    sums = {}
    for first in range(0, len(images_nHWK), chunk):
        part = images_nHWK[first : first + chunk]
        # As long as the others, so that all share one program.
        padded = part[np.arange(chunk) % len(part)]
        found = _of_images(network, patch, variables, padded, mean_K, std_K)
        for layer, every in found.items():
            every = [np.asarray(a, np.float64)[: len(part)] for a in every]
            rows = [m.sum(0) for m in every]
            for place in range(0, len(every), 2):
                rows[place + 1] += (every[place] ** 2).sum(0)
            old = sums.get(layer, [0.0] * len(rows))
            sums[layer] = [a + b for a, b in zip(old, rows, strict=True)]
    return {
        layer: _moments([row / len(images_nHWK) for row in rows])
        for layer, rows in sums.items()
    }


def looking_cost(network: Network, variables: Variables, count: int) -> Cost:
    """Returns what looking at images once costs: passes and FLOPs, no seconds.

    Args:
      network: that looks.
      variables: of the network.
      count: of the images.
    """
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    each = flops(network.apply, variables, image)
    return Cost(forward_passes=count, flops=count * each)


def mixture(
    parts: Sequence[dict[str, Moments]], weights: Sequence[float]
) -> dict[str, Moments]:
    """Returns the moments of several groups of images taken together.

    Args:
      parts: layer -> moments, of each group.
      weights: of each group, above 0 in sum.
    """
    weights = np.asarray(weights, np.float64) / np.sum(weights)
    mixed = {}
    for layer in parts[0]:
        columns = list(zip(*(part[layer] for part in parts), strict=True))
        columns = [np.asarray(column, np.float64) for column in columns]
        for place in range(0, len(columns), 2):
            columns[place + 1] = columns[place + 1] + columns[place] ** 2
        mixed[layer] = _moments([weights @ column for column in columns])
    return mixed


def _moments(rows) -> Moments:
    """Mean, mean square, mean, ... -> mean, variance, mean, ..."""
    found = list(rows)
    for place in range(0, len(found), 2):
        variance = found[place + 1] - found[place] ** 2
        found[place + 1] = np.maximum(variance, 0.0)
    return tuple(row.astype(np.float32) for row in found)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_images(network, patch, variables, images_BHWK, mean_K, std_K):
    """Layer -> moments of each image, [B,D]."""

    def of_each(measure):
        return jax.vmap(lambda x_YXD: measure(x_YXD[None]))

    measures = {kind: of_each(one) for kind, one in measures_of(patch).items()}
    shown_BHWK = normalise(images_BHWK, mean_K, std_K)
    with jax.default_matmul_precision("highest"):
        return network.inspect(variables, shown_BHWK, measures)[1]
