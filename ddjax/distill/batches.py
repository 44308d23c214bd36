"""Which images of a set are optimised together."""

import numpy as np

from ddjax.distill.recover import Batch
from ddjax.distill.task import Task


def across_classes(task: Task, size: int) -> list[Batch]:
    """Returns batches of one image a class: SRe2L's order.

    Args:
      task: whose image set it is.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(task.num_classes), -(-task.num_classes // size))
    return [
        _batch(classes * task.ipc + index, task)
        for index in range(task.ipc)
        for classes in parts
    ]


def within_classes(task: Task, size: int) -> list[Batch]:
    """Returns batches of images of one class: LPLD's order.

    Args:
      task: whose image set it is.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(task.ipc), -(-task.ipc // size))
    return [
        _batch(label * task.ipc + indices, task)
        for label in range(task.num_classes)
        for indices in parts
    ]


def whole_classes(task: Task, size: int) -> list[Batch]:
    """Returns batches of all images of as many classes as fit, class after class.

    G-VBSM's order, but that a class is never divided unless it is too large, then
    into parts as equal as they can be.

    Args:
      task: whose image set it is.
      size: images of a batch, at most.
    """
    if task.ipc > size:
        return within_classes(task, size)
    together = size // task.ipc
    parts = np.array_split(
        np.arange(task.num_classes), -(-task.num_classes // together)
    )
    every = np.arange(task.ipc)
    return [
        _batch((classes[:, None] * task.ipc + every).reshape(-1), task)
        for classes in parts
    ]


def _batch(slots, task):
    slots = slots.astype(np.int32)
    return Batch(slots, slots // np.int32(task.ipc))
