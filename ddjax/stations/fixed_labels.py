"""The fixed labels of the pool: what a teacher says about each image as it is."""

import pathlib
import time

import numpy as np

from ddjax import artifacts
from ddjax.artifacts import Artifact, Draft
from ddjax.labels import teacher_logits
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context


def labels_station(context: Context, teacher: Teacher) -> Artifact:
    """Returns the fixed labels of the pool: array `logits` [N,C] float32."""

    def make(folder: pathlib.Path) -> Draft:
        del folder
        start = time.perf_counter()
        logits = teacher_logits(
            teacher.network,
            teacher.variables,
            context.pool_images,
            context.mean,
            context.std,
        )
        return Draft(
            arrays={"logits": np.asarray(logits), "ids": context.pool.ids},
            info={"classes": list(context.source.classes), "precision": "highest"},
            cost=artifacts.Cost(
                seconds=time.perf_counter() - start, forward_passes=len(context.pool)
            ),
        )

    parents = {"data": context.data_digest, "teacher": teacher.address}
    return context.station("labels", "fixed labels", {}, parents, make)
