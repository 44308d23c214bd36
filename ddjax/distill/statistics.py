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
    chunks, sizes = {}, []
    for first in range(0, len(images_nHWK), chunk):
        part = images_nHWK[first : first + chunk]
        # As long as the others, so that all share one program.
        padded = part[np.arange(chunk) % len(part)]
        found = _of_images(network, patch, variables, padded, mean_K, std_K)
        for layer, every in found.items():
            every = [np.asarray(a)[: len(part)] for a in every]
            chunks.setdefault(layer, []).append(_together(every, np.ones(len(part))))
        sizes.append(len(part))
    return {
        layer: _float32(_together(list(zip(*every, strict=True)), sizes))
        for layer, every in chunks.items()
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
    return {
        layer: _float32(
            _together(list(zip(*(part[layer] for part in parts), strict=True)), weights)
        )
        for layer in parts[0]
    }


def _together(groups, weights) -> list[np.ndarray]:
    """Mean, variance, mean, ... [g,D] each of g groups -> [D] float64 of all.

    A variance is the groups' own and that of their means, which are subtracted before
    they are squared, so that no digits are lost where a mean is large.
    """
    groups = [np.asarray(group, np.float64) for group in groups]
    weights = np.asarray(weights, np.float64) / np.sum(weights)
    found = []
    for means, variances in zip(groups[::2], groups[1::2], strict=True):
        mean = weights @ means
        found += [mean, weights @ (variances + (means - mean[None]) ** 2)]
    return found


def _float32(rows) -> Moments:
    return tuple(row.astype(np.float32) for row in rows)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_images(network, patch, variables, images_BHWK, mean_K, std_K):
    """Layer -> moments of each image, [B,D]."""

    def of_each(measure):
        return jax.vmap(lambda x_YXD: measure(x_YXD[None]))

    measures = {kind: of_each(one) for kind, one in measures_of(patch).items()}
    shown_BHWK = normalise(images_BHWK, mean_K, std_K)
    with jax.default_matmul_precision("highest"):
        return network.inspect(variables, shown_BHWK, measures)[1]
