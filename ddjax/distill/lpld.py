"""LPLD: SRe2L class by class, matched with the statistics of the class.

Letters: B images looked at together, n images of a class, H W image, K channels, D
channels of a layer.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.distill.matching import Moments
from ddjax.distill.synthesis import look_at, synthesise, within_classes
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.models import Network, Variables
from ddjax.settings.recover import Recover
from ddjax.train.student import normalise

_CHUNK = 128  # images looked at together


def lpld(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """Recovers all images of a class together, which makes them differ.

    As SRe2L, but a batch holds all images of one class, in parts of up to `batch`, and
    its statistics are matched with those of the real images of the class.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from instead of noise, as in `sre2l`.

    Returns:
      The image set.

    Raises:
      InputError: a class has no image in the pool, or as `sre2l`.

    Source: section 1.12 of the methods' facts; he-y/soft-label-pruning-for-dataset-
    distillation. Deviations: statistics of a class are exact over all its images, see
    `class_statistics`; and those of SRe2L.
    """
    teacher = task.teachers[0]
    plain = look_at(teacher)
    counts = np.bincount(task.labels, minlength=task.num_classes)
    if counts.min() < 1:
        raise InputError(
            f"images: found none of class {counts.argmin()}, allowed for lpld is at "
            "least one a class, whose statistics are matched"
        )
    chunk = min(_CHUNK, int(counts.max()))

    @functools.lru_cache(maxsize=1)  # a class may have several batches
    def look_of(label):
        statistics = class_statistics(
            teacher.network,
            plain.variables,
            task.images[task.labels == label],
            task.mean,
            task.std,
            chunk,
        )
        return plain._replace(statistics=jax.tree.map(jnp.asarray, statistics))

    made = synthesise(
        task,
        settings,
        (teacher.network,),
        lambda batch, views: (look_of(int(batch.labels[0])),),
        within_classes(task, settings.batch),
        "noise",
        start,
    )
    made.cost.forward_passes += len(task.labels)
    return made


def class_statistics(
    network: Network,
    variables: Variables,
    images_nHWK: np.ndarray,
    mean_K: np.ndarray,
    std_K: np.ndarray,
    chunk: int = _CHUNK,
) -> dict[str, Moments]:
    """Mean and variance of what enters each batch norm, over all images of a class.

    Args:
      network: in eval mode.
      variables: of the network.
      images_nHWK: [n,H,W,K] uint8.
      mean_K, std_K: [K] float32 of pixels in [0, 1].
      chunk: images looked at together; the result hangs on it by rounding only.

    Returns:
      Layer -> (mean [D], biased variance [D]) float32: of all images and places
      together, as is measured in a batch of made images.

    Source: LPLD averages with PyTorch's momentum 0.1 over the batches of a pass, so
    that its statistics lean on the last images of a class, and its variances, taken
    within the few images of a class that a batch holds, leave out most of what differs
    between images. Here every image counts the same and nothing is left out.
    """
    sums = {}
    for first in range(0, len(images_nHWK), chunk):
        part = images_nHWK[first : first + chunk]
        # As long as the others, so that all share one program.
        padded = part[np.arange(chunk) % len(part)]
        found = _image_moments(network, variables, padded, mean_K, std_K)
        for layer, (mean_BD, var_BD) in found.items():
            means, variances = (
                np.asarray(a, np.float64)[: len(part)] for a in (mean_BD, var_BD)
            )
            rows = np.stack([means.sum(0), (variances + means**2).sum(0)])
            sums[layer] = sums.get(layer, 0.0) + rows
    statistics = {}
    for layer, rows in sums.items():
        mean_D, square_D = rows / len(images_nHWK)
        var_D = np.maximum(square_D - mean_D**2, 0.0)
        statistics[layer] = mean_D.astype(np.float32), var_D.astype(np.float32)
    return statistics


@functools.partial(jax.jit, static_argnums=0)
def _image_moments(network, variables, images_BHWK, mean_K, std_K):
    """Layer -> mean and variance of each image, [B,D]."""

    def measure(x_BYXD):
        x_BYXD = x_BYXD.astype(jnp.float32)
        return x_BYXD.mean((1, 2)), x_BYXD.var((1, 2))

    shown_BHWK = normalise(images_BHWK, mean_K, std_K)
    return network.inspect(variables, shown_BHWK, measure)[1]
