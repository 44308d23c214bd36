"""What every distillation method is given, and what it gives back.

Letters: N images of the pool, M made images, H W image, K channels.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.models import Network, Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that a method looks through.

    Attributes:
      name: what the settings call it.
      network: takes images [B,H,W,K] float32, normalised as the task says.
      variables: its variables.
    """

    name: str
    network: Network
    variables: Variables


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What is to be distilled: real images, teachers, a budget and a key.

    Attributes:
      images: [N,H,W,K] uint8, the training pool.
      labels: [N] int32, 0 .. num_classes - 1.
      ids: [N] int32, example ids, which provenance names.
      num_classes: number of classes.
      mean, std: [K] float32 of pixels in [0, 1].
      teachers: at least one; methods with one teacher take the first.
      ipc: images a class to make, at least 1.
      key: a typed PRNG key; equal tasks with equal keys give equal images.
      difficulty: [N] float32, for methods that order the pool by it; None: not known.
      folder: where an unfinished synthesis is kept, so that the same call goes on
        after an interruption; None: nowhere.
      progress: called with the number of steps that were just made.
      say: called with a line that a reader should know.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    num_classes: int
    mean: np.ndarray
    std: np.ndarray
    teachers: tuple[Teacher, ...]
    ipc: int
    key: jax.Array
    difficulty: np.ndarray | None = None
    folder: pathlib.Path | None = None
    progress: Callable[[int], Any] = lambda steps: None
    say: Callable[[str], Any] = lambda line: None


@dataclasses.dataclass(frozen=True, eq=False)
class Distilled:
    """An image set: `ipc` images of every class, class after class.

    Attributes:
      images: [M,H,W,K] uint8, M = ipc * num_classes.
      labels: [M] int32.
      sources: [M,S] int32, the ids of the real images that each was made of or started
        from, -1 where there are fewer than S; S may be 0.
      cost: what it took.
      info: JSON values worth keeping, such as curves of losses.
    """

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    cost: Cost
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
