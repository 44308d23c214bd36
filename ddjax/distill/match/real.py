"""Real images of every class, drawn on the device.

Letters: N images of the pool, C classes, B images of a class, H W image, K channels, M
synthetic images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.distill.task import Outline, Task
from ddjax.train.batches import normalise


class RealImages(NamedTuple):
    """The pool, class after class.

    Attributes:
      images: [N,H,W,K] uint8.
      labels: [N] int32, ascending.
      places: [C,n] int32, places of a class's images, n of the largest class; smaller
        ones repeat their last.
      counts: [C] int32.
      mean, std: [K] float32 of pixels in [0, 1].
    """

    images: jax.Array
    labels: jax.Array
    places: jax.Array
    counts: jax.Array
    mean: jax.Array
    std: jax.Array

    def choose(self, key: jax.Array, per_class: int) -> jax.Array:
        """Draws places of images of every class without replacement.

        Args:
          key: a typed PRNG key.
          per_class: B, at most the images of the smallest class; static.

        Returns:
          [C,B] int32, see `at`.
        """
        lots_Cn = jax.random.uniform(key, self.places.shape)
        there_Cn = jnp.arange(lots_Cn.shape[1])[None] < self.counts[:, None]
        _, order_CB = jax.lax.top_k(jnp.where(there_Cn, lots_Cn, -1.0), per_class)
        return jnp.take_along_axis(self.places, order_CB, axis=1)

    def at(self, places: jax.Array) -> jax.Array:
        """Returns the images at places [...], [...,H,W,K] float32, normalised."""
        return self.normalised(self.images[places])

    def draw(self, key: jax.Array, per_class: int) -> jax.Array:
        """Returns images of every class, [C,B,H,W,K] float32; see `choose`."""
        return self.at(self.choose(key, per_class))

    def sample(self, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """Draws images of any class with replacement.

        Args:
          key: a typed PRNG key.
          count: how many; static.

        Returns:
          Images [count,H,W,K] float32, normalised, and labels [count] int32.
        """
        places = jax.random.randint(key, (count,), 0, len(self.labels))
        return self.at(places), self.labels[places]

    def normalised(self, images: jax.Array) -> jax.Array:
        """Returns [...,K] pixels in 0..255 as networks take them, float32."""
        return normalise(images, self.mean, self.std)


def real_images(task: Task) -> RealImages:
    """Returns the pool of a task on the device, in an order that ids determine."""
    order = np.lexsort((task.ids, task.labels))
    labels = task.labels[order].astype(np.int32)
    counts = np.bincount(labels, minlength=task.num_classes).astype(np.int32)
    firsts = np.cumsum(counts) - counts
    within = np.minimum(np.arange(counts.max()), counts[:, None] - 1)
    places = (firsts[:, None] + within).astype(np.int32)
    found = RealImages(
        task.images[order],
        labels,
        places,
        counts,
        np.asarray(task.mean, np.float32),
        np.asarray(task.std, np.float32),
    )
    return jax.tree.map(jnp.asarray, found)


def real_shapes(outline: Outline) -> RealImages:
    """Returns the shapes of `real_images`, `jax.ShapeDtypeStruct` for arrays."""
    array, shape = jax.ShapeDtypeStruct, outline.image_shape
    count, classes = outline.size, outline.num_classes
    channels = array(shape[-1:], jnp.float32)
    return RealImages(
        array((count, *shape), jnp.uint8),
        array((count,), jnp.int32),
        array((classes, int(outline.class_counts.max())), jnp.int32),
        array((classes,), jnp.int32),
        *(channels, channels),
    )
