"""K-means centroids: the means of clusters of pixels, as images."""

from typing import Any

import jax
import numpy as np

from ddjax.distill.task import Method, SyntheticSet, Task
from ddjax.scores.clusters import centres


def centroids(task: Task, entry: Any) -> SyntheticSet:
    """K-means centroids: means of as many clusters of each class as it has images.

    A control of methods that generate images from cluster centres, with the generator
    left out: no network has a part in it. Clusters are those of pixels, and the images
    are floats. Equal images, ids and key give the same set in whatever order the pool
    is.

    Source: Su et al., "D4M", arXiv 2407.15138, whose prototypes are such means, there
    of a diffusion model's latents and by minibatches. Ours.
    """
    del entry
    order = np.argsort(task.ids, kind="stable")
    labels = task.labels[order]
    keys = jax.random.split(task.key, task.num_classes)
    seeds = jax.vmap(lambda key: jax.random.bits(key, (), np.uint32))(keys)
    found = []
    for label, seed in enumerate(np.asarray(seeds)):
        images = task.images[order[labels == label]]
        points = images.reshape(len(images), -1)
        found.append(centres(points, task.ipc, int(seed)))
    shape = len(task.slot_labels), *task.images.shape[1:]
    images = np.concatenate(found).reshape(shape).astype(np.float32)
    return SyntheticSet(images, task.slot_labels, np.zeros((len(images), 0), np.int32))


CENTROIDS = Method(centroids, "K-means centroids", {}, uses_teachers=False)
