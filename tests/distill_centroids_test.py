"""K-means centroids: clusters that are plain to see, order and key."""

import dataclasses

import jax
import numpy as np
from distill_match_test import COUNTS, task_of

from ddjax import distill

METHOD = distill.METHODS["centroids"]


def entry():
    """The method reads nothing of its entry but its teachers."""
    return dataclasses.make_dataclass("Entry", [("teachers", tuple, ())])()


def test_plain_clusters_have_their_means():
    levels = np.array([20, 200])
    labels = np.repeat([0, 1, 2], 8).astype(np.int32)
    noise = np.random.default_rng(0).integers(0, 5, (24, 8, 8, 1))
    which = np.tile([0, 1], 12)
    images = (levels[which][:, None, None, None] + noise).astype(np.uint8)
    ids = np.arange(24, dtype=np.int32)
    task = task_of(images=images, labels=labels, ids=ids)
    made = METHOD.synthesise(task, entry())
    assert made.images.dtype == np.float32 and made.images.shape == (6, 8, 8, 1)
    for label in range(3):
        own = made.images[2 * label : 2 * label + 2]
        own = own[np.argsort(own.mean((1, 2, 3)))]
        for cluster in (0, 1):
            expected = images[(labels == label) & (which == cluster)].mean(0)
            np.testing.assert_allclose(own[cluster], expected, atol=1e-4)
    np.testing.assert_array_equal(made.labels, np.repeat([0, 1, 2], 2))
    assert made.cost.train_passes == made.cost.forward_passes == 0


def test_one_centroid_is_the_mean_of_its_class():
    task = task_of(ipc=1)
    made = METHOD.synthesise(task, entry())
    for label in range(len(COUNTS)):
        mean = task.images[task.labels == label].mean(0)
        np.testing.assert_allclose(made.images[label], mean, atol=1e-3)


def test_order_is_no_matter_and_keys_are():
    task = task_of(ipc=3)
    order = np.random.default_rng(1).permutation(len(task.labels))
    moved = task_of(
        ipc=3,
        images=task.images[order],
        labels=task.labels[order],
        ids=task.ids[order],
    )
    one, same = (METHOD.synthesise(t, entry()).images for t in (task, moved))
    np.testing.assert_array_equal(one, same)
    other = METHOD.synthesise(task_of(ipc=3, key=jax.random.key(8)), entry()).images
    assert not np.allclose(one, other)
