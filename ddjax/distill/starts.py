"""What images start from: noise, real images, or those that somebody made.

Letters: B images of a batch, M made images, H W image, K channels, S sources of an
image.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.train.batches import normalise


def start_images(
    task: Task, init: str, start: Distilled | None, key: jax.Array
) -> tuple[Callable[[np.ndarray], jax.Array], np.ndarray]:
    """Returns what images start from.

    Args:
      task: what is distilled.
      init: "noise", or "random" for different real images of the class.
      start: images to start from; they go before any `init`.
      key: a typed PRNG key.

    Returns:
      Slots [B] -> normalised images [B,H,W,K] float32; and the ids of the real images
      in them, [M,S] int32.

    Raises:
      InputError: another `init` without images; they do not fit the task; or a class
        has too few real images.
    """
    labels = np.repeat(np.arange(task.num_classes), task.ipc)
    if start is not None:
        if not np.array_equal(start.labels, labels):
            raise InputError(
                f"start: found {len(start.labels)} images, allowed are {task.ipc} of "
                f"each of {task.num_classes} classes, class after class"
            )
        images, sources = start.images, start.sources
    elif init == "noise":
        noise = functools.partial(_noise, task.images.shape[1:], key)
        return noise, np.zeros((len(labels), 0), np.int32)
    elif init == "random":
        places = _random(task, key)
        images, sources = task.images[places], task.ids[places, None]
    else:
        raise InputError(
            f"recover.init: found {init!r} and no start images, allowed without them "
            "are noise and random"
        )
    if images.shape[1:] != task.images.shape[1:]:
        raise InputError(
            f"start: found images of shape {images.shape[1:]}, allowed is "
            f"{task.images.shape[1:]} as in the pool"
        )
    return lambda slots: normalise(images[slots], task.mean, task.std), sources


@functools.partial(jax.jit, static_argnums=0)
def _noise(shape, key, slots_B):
    def one(slot):
        return jax.random.normal(jax.random.fold_in(key, slot), shape)

    return jax.vmap(one)(slots_B)


def _random(task, key) -> np.ndarray:
    """Places of `ipc` different images of each class, in random order."""
    counts = np.bincount(task.labels, minlength=task.num_classes)
    if counts.min() < task.ipc:
        raise InputError(
            f"ipc: found {task.ipc}, but class {counts.argmin()} has only "
            f"{counts.min()} real images to start from"
        )
    draws = np.asarray(jax.random.bits(key, (len(task.labels),)))
    order = np.lexsort((draws, task.labels))
    firsts = np.cumsum(counts) - counts
    return order[(firsts[:, None] + np.arange(task.ipc)).reshape(-1)]
