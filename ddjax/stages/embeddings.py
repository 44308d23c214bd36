"""Embeddings: real and synthetic images in a teacher's features, and their EL2N.

Letters: T images that are shown, C classes, D features.
"""

from __future__ import annotations

import functools
import pathlib
import time
from typing import Any

import numpy as np

from ddjax.artifacts import Artifact, Cost, Draft, digest
from ddjax.data.source import Examples
from ddjax.problem import Problem
from ddjax.run import Run
from ddjax.stages.bundle import Teacher
from ddjax.train import evaluate

REAL = "real"  # the name of the pool among the sets
EACH = 100  # at most so many images of a class are shown
CLASSES = 20  # and so many classes
DRAWN = 10  # of which so many are embedded: more colours cannot be told apart
_PERPLEXITY = 30.0
_STEPS = 500  # of t-SNE, half of scikit-learn's: seconds for a thousand images


def embed(
    run: Run, problem: Problem, ipc: int, teacher: Teacher, sets: dict[str, Examples]
) -> Artifact:
    """Returns the teacher's EL2N of the pool and of sets, and one map of all features.

    Up to 100 images of each of up to 20 classes are shown, both evenly spaced. The
    features of the first ten of these classes, the input of the teacher's last dense
    layer, are laid out in the plane by t-SNE, all sets together, started from the
    principal components: equal arguments give equal maps.

    Args:
      run: where the artifact goes.
      problem: the problem, whose pool is the set REAL.
      ipc: the budget.
      teacher: whose features.
      sets: name -> images and labels.

    Returns:
      An artifact with `set` [T] int32, a position in `info["sets"]`; `labels` [T]
      int32; `el2n` [T] float32 in [0, sqrt 2], the distance between softmax and
      one-hot label; and `points` [T,2] float32, NaN for classes that are not drawn.

    Source: EL2N as `scores.el2n`, of one finished teacher; t-SNE: scikit-learn.
    """
    settings = {
        "sets": {
            name: digest([digest(examples.images), digest(examples.labels)])
            for name, examples in sets.items()
        }
    }
    parents = {"teacher": teacher.address, "data": problem.data_digest}
    draft = functools.partial(_embed, problem, teacher, {REAL: problem.pool} | sets)
    label = f"embeddings, IPC {ipc}"
    return run.artifact("embeddings", label, settings, parents, draft)


def _embed(
    problem: Problem,
    teacher: Teacher,
    sets: dict[str, Examples],
    folder: pathlib.Path,
) -> Draft:
    del folder
    start = time.perf_counter()
    shown = shown_classes(problem.num_classes)
    found = {
        name: examples.take(_sample(examples.labels, shown))
        for name, examples in sets.items()
    }
    images, labels = (
        np.concatenate([getattr(examples, field) for examples in found.values()])
        for field in ("images", "labels")
    )
    logits, features = evaluate.represent(
        teacher.network, teacher.variables, images, problem.mean, problem.std, ""
    )
    drawn = np.isin(labels, shown[:DRAWN])
    points = np.full((len(labels), 2), np.nan, np.float32)
    points[drawn] = _map(features[drawn])
    sizes = [len(examples) for examples in found.values()]
    arrays: dict[str, Any] = {
        "set": np.repeat(np.arange(len(found), dtype=np.int32), sizes),
        "labels": labels,
        "el2n": _el2n(logits, labels),
        "points": points,
    }
    cost = Cost(seconds=time.perf_counter() - start, forward_passes=len(images))
    return Draft(arrays, {"sets": list(found)}, cost)


def shown_classes(num_classes: int) -> np.ndarray:
    """Returns the classes that are shown, at most CLASSES, evenly spaced."""
    return _spaced(num_classes, CLASSES)


def _spaced(count: int, most: int) -> np.ndarray:
    """Returns at most `most` of 0..count-1, evenly spaced."""
    return np.arange(min(count, most)) * count // min(count, most)


def _sample(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns positions of at most EACH images of each of some classes, in order."""
    found = [np.flatnonzero(labels == name) for name in classes]
    return np.concatenate([of[_spaced(len(of), EACH)] for of in found if len(of)])


def _el2n(logits_TC: np.ndarray, labels_T: np.ndarray) -> np.ndarray:
    logits_TC = logits_TC.astype(np.float64)
    weights_TC = np.exp(logits_TC - logits_TC.max(axis=1, keepdims=True))
    error_TC = weights_TC / weights_TC.sum(axis=1, keepdims=True)
    error_TC[np.arange(len(labels_T)), labels_T] -= 1.0
    return np.linalg.norm(error_TC, axis=1).astype(np.float32)


def _map(features_TD: np.ndarray) -> np.ndarray:
    """Returns t-SNE's places [T,2] float32 of features."""
    # Not at the top: scikit-learn takes long to import.
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features_TD) - 1) / 3)
    chosen = {"init": "pca", "max_iter": _STEPS, "random_state": 0}
    return TSNE(perplexity=perplexity, **chosen).fit_transform(features_TD)
