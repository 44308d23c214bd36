"""The fixed labels of the pool: what a teacher says about each image as it is."""

import pathlib
import time

import numpy as np

from ddjax import artifacts
from ddjax.artifacts import Artifact, Draft
from ddjax.labels import teacher_logits
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context

_LEAST = 1e-8  # probability, so that its logarithm is finite


def labels_station(context: Context, teacher: Teacher) -> Artifact:
    """Returns the fixed labels of the pool: array `logits` [N,C] float32.

    Where the pool's images have labels of their own, these are the logarithms of them,
    whose softmax at temperature 1 they are.
    """
    if context.soft_labels is not None:
        return _own_labels(context)

    def make(folder: pathlib.Path) -> Draft:
        del folder
        start = time.perf_counter()
        logits = teacher_logits(
            teacher.network,
            teacher.variables,
            context.pool.images,
            context.mean,
            context.std,
        )
        return Draft(
            arrays={"logits": logits, "ids": context.pool.ids},
            info={"classes": list(context.source.classes), "precision": "highest"},
            cost=artifacts.Cost(
                seconds=time.perf_counter() - start, forward_passes=len(context.pool)
            ),
        )

    parents = {"data": context.data_digest, "teacher": teacher.address}
    return context.station("labels", "fixed labels", {}, parents, make)


def _own_labels(context: Context) -> Artifact:
    def make(folder: pathlib.Path) -> Draft:
        del folder
        logits = np.log(np.maximum(context.soft_labels, _LEAST), dtype=np.float32)
        arrays = {"logits": logits, "ids": context.pool.ids}
        return Draft(
            arrays, {"classes": list(context.source.classes)}, artifacts.Cost()
        )

    settings = {"labels": artifacts.digest(context.soft_labels)}
    parents = {"data": context.data_digest}
    return context.station("labels", "labels of the set's own", settings, parents, make)
