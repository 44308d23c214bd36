"""Which images of a set are optimised together."""

import numpy as np

from ddjax.distill.recover import Batch


def across_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of one image a class: SRe2L's order.

    Args:
      num_classes: of the image set.
      ipc: images of a class.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(num_classes), -(-num_classes // size))
    return [
        _batch(classes * ipc + index, ipc) for index in range(ipc) for classes in parts
    ]


def within_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of images of one class: LPLD's order.

    Args:
      num_classes: of the image set.
      ipc: images of a class.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(ipc), -(-ipc // size))
    return [
        _batch(label * ipc + indices, ipc)
        for label in range(num_classes)
        for indices in parts
    ]


def whole_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of all images of as many classes as fit, class after class.

    G-VBSM's order, but that a class is never divided unless it is too large, then
    into parts as equal as they can be.

    Args:
      num_classes: of the image set.
      ipc: images of a class.
      size: images of a batch, at most.
    """
    if ipc > size:
        return within_classes(num_classes, ipc, size)
    together = size // ipc
    parts = np.array_split(np.arange(num_classes), -(-num_classes // together))
    every = np.arange(ipc)
    return [
        _batch((classes[:, None] * ipc + every).reshape(-1), ipc) for classes in parts
    ]


def _batch(slots, ipc):
    slots = slots.astype(np.int32)
    return Batch(slots, slots // np.int32(ipc))
