"""What a distillation method is, what it is given, and what it gives back.

Letters: N images of the pool, C classes, M synthetic images, S sources of an image or
snapshots, H W image, K channels, E experts, P parameters.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.models import Network, Variables
from ddjax.train.programs import forward_flops

Ipcs = tuple[int, ...]  # budgets, images per class


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that a method uses.

    Attributes:
      name: what the settings call it.
      network: takes images [B,H,W,K] float32, normalised as the task states.
      variables: its variables.
    """

    name: str
    network: Network
    variables: Variables


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSet:
    """`ipc` images of every class, class after class.

    Attributes:
      images: [M,H,W,K], M = ipc * C: uint8, or float32 on the same scale of 0..255,
        which learned pixels may leave.
      labels: [M] int32.
      sources: [M,S] int32, the ids of the real images that each was stitched of or
        started from, -1 where there are fewer than S; S may be 0.
      cost: what it took.
      info: JSON values worth keeping, such as curves of losses.
      soft_labels: [M,C] float32, probabilities that were learned; None: none were.
      learning_rate: of students, that was learned; None: none was.
      factor: an image is a mosaic of factor x factor ones, which students have in its
        place, enlarged, see `ddjax.data.mosaics`.
      notes: remarks on what the set is worth.
    """

    images: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    cost: Cost = dataclasses.field(default_factory=Cost)
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
    soft_labels: np.ndarray | None = None
    learning_rate: float | None = None
    factor: int = 1
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """What is known of a task before any image is read or any teacher trained.

    Attributes:
      num_classes: C.
      class_counts: [C] int, images of the pool.
      image_shape: H, W, K.
      teachers: the networks of the teachers by name, in order.
      student: the students' network; None: not known.
      start: the set that was read from the path of `Method.start`.
      experts: E, S of the trajectories of `Method.experts`; None: there are none.
    """

    num_classes: int
    class_counts: np.ndarray
    image_shape: tuple[int, ...]
    teachers: dict[str, Network]
    start: SyntheticSet | None = None
    student: Network | None = None
    experts: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """N, images of the pool."""
        return int(self.class_counts.sum())

    def networks(self, count: int | None = None) -> tuple[Network, ...]:
        """Returns the networks of the first `count` teachers, of all without one."""
        return tuple(self.teachers.values())[:count]

    def forward(self, images: int, count: int | None = None) -> Cost:
        """Returns the cost of a forward pass of images through each of `networks`."""
        networks = self.networks(count)
        each = sum(map(forward_flops, networks))
        return Cost(forward_passes=images * len(networks), flops=images * each)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What is to be distilled: real images, teachers, a budget and a key.

    Attributes:
      images: [N,H,W,K] uint8, the training pool.
      labels: [N] int32, 0 .. num_classes - 1.
      ids: [N] int32, example ids, which provenance names.
      num_classes: C.
      mean, std: [K] float32 of pixels in [0, 1].
      teachers: those of `Method.teachers`; methods with one teacher take the first.
      ipc: synthetic images a class, at least 1.
      key: a typed PRNG key; equal tasks with equal keys give equal images.
      student: the students' network, whose weights methods draw anew; None: not known.
      difficulty: [N] float32, the score by which the pool is ordered; None: not known.
      experts: [E,S,P] float32, trajectories of `Method.experts`: the flat parameters of
        `student` before training and after every epoch; None: not known.
      folder: where an unfinished synthesis is kept, so that the same call goes on
        after an interruption; None: nowhere.
      progress: called with the number of steps that were just done.
      say: prints a line.
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
    student: Network | None = None
    difficulty: np.ndarray | None = None
    experts: np.ndarray | None = None
    folder: pathlib.Path | None = None
    progress: Callable[[int], Any] = lambda steps: None
    say: Callable[[str], Any] = lambda line: None

    def outline(self, start: SyntheticSet | None = None) -> Outline:
        """Returns the outline of the task, with a set to start from."""
        return Outline(
            self.num_classes,
            np.bincount(self.labels, minlength=self.num_classes),
            self.images.shape[1:],
            {teacher.name: teacher.network for teacher in self.teachers},
            start,
            self.student,
            None if self.experts is None else self.experts.shape[:2],
        )

    @property
    def slot_labels(self) -> np.ndarray:
        """[M] int32, the labels of a synthetic set: `ipc` times each class."""
        return np.repeat(np.arange(self.num_classes, dtype=np.int32), self.ipc)


@dataclasses.dataclass(frozen=True, eq=False)
class Method:
    """A distillation method, as its own file declares it.

    `entry` is everywhere a section `distill.NAME` of the settings: it has `teachers`,
    `difficulty` and a section of options for each name in `sections`. Families of
    methods derive from this class.

    Attributes:
      function: the method, (task, entry) -> the synthetic set, with the seconds of
        compiling as its cost; a family may define it otherwise. `ddjax list` prints the
        first line of its docstring.
      title: its name for people.
      sections: name -> the frozen dataclass of options, see `ddjax.declare.setting`.
        Methods that share a name share the class.
      difficulty: the score, of `select.SCORES`, by which the pool is ordered unless the
        entry names another one; "": by none.
      uses_teachers: whether teachers are trained for it.
      uses_experts: whether students of the whole pool are trained for it, whose
        trajectories it reads; it then has a section `experts`.
      measures: whether its loss is defined for any `ipc` images of every class; it is
        then a `ddjax.distill.match.loop.Matching`.
      refuses: (outline, entry, key, ipcs), raises InputError; see `check`.
      costs: (outline, entry, ipc) -> cost; see `work`.
    """

    function: Callable[..., Any]
    title: str
    sections: Mapping[str, type]
    difficulty: str = ""
    uses_teachers: bool = True
    uses_experts: bool = False
    measures: bool = False
    refuses: Callable[[Outline, Any, str, Ipcs], None] = (
        lambda outline, entry, key, ipcs: None
    )
    costs: Callable[[Outline, Any, int], Cost] = lambda outline, entry, ipc: Cost()

    def options(self, entry: Any) -> dict[str, Any]:
        """Returns the sections of an entry that determine its set: name -> options."""
        return {name: getattr(entry, name) for name in self.sections}

    def score(self, entry: Any) -> str:
        """Returns the score by which an entry orders the pool; "": by none."""
        return self.difficulty and (entry.difficulty or self.difficulty)

    def teachers(self, entry: Any) -> tuple[str, ...]:
        """Returns the names of the teachers of an entry."""
        return entry.teachers if self.uses_teachers else ()

    def experts(self, entry: Any) -> Any:
        """Returns how the experts of an entry are trained; None: it has none."""
        return entry.experts if self.uses_experts else None

    def shown(self, entry: Any) -> int:
        """Returns how many images students have in the place of one of the set."""
        del entry
        return 1

    def start(self, entry: Any) -> tuple[str, str] | None:
        """Returns the image set to start from, (the path's key, the path), or None."""
        del entry
        return None

    def check(self, outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        """Refuses what cannot be synthesised, before any compute.

        Args:
          outline: of the task.
          entry: of the settings.
          key: where the entry stands, such as "distill.rded".
          ipcs: the budgets.

        Raises:
          InputError: names the key, the value and what is allowed.
        """
        self.refuses(outline, entry, key, ipcs)

    def work(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        """Returns what a set will cost, from shapes: passes and FLOPs, no seconds.

        Args:
          outline: of the task; its networks take XLA's convolutions, see
            `ddjax.train.programs.native`, where the plan is for accelerators.
          entry: of the settings.
          ipc: images per class.
        """
        return self.costs(outline, entry, ipc)

    def synthesise(
        self, task: Task, entry: Any, start: SyntheticSet | None = None
    ) -> SyntheticSet:
        """Synthesises a set, after `check`.

        Args:
          task: what is distilled.
          entry: of the settings.
          start: the set that was read from the path of `start`.

        Returns:
          The set, with its cost.

        Raises:
          InputError: see `check`; or images or teachers turn out unsuitable.
        """
        outline = task.outline(start)
        self.check(outline, entry, "", (task.ipc,))
        began = time.perf_counter()
        found = self.function(task, entry)
        compiling = found.cost.compile_seconds
        seconds = time.perf_counter() - began - compiling
        cost = Cost(seconds, compiling) + self.work(outline, entry, task.ipc)
        return dataclasses.replace(found, cost=cost)
