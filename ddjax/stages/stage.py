"""A stage of an experiment: its parents, its function and what it will cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ddjax.artifacts import Cost
from ddjax.train import student


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """A step of an experiment, as a value.

    Attributes:
      name: no other stage has it; artifacts on a synthetic set are labelled by it.
      parents: the stages whose results it takes: name of an argument -> stage, or
        stages in dicts and lists, or None.
      make: (run, **results of its parents) -> its result. It makes or reuses artifacts
        by `Run.artifact`, whose addresses are digests of the settings that determine
        them and of their parents' addresses.
      plan: returns what it will cost, without data or compilation.
      counts: whether it is numbered on the console; False of what puts results
        together (or, once, times the drivers).
    """

    name: str
    parents: Mapping[str, Any]
    make: Callable[..., Any]
    plan: Callable[[], Plan] = lambda: Plan()
    counts: bool = True

    def execute(self, run: Any, results: Mapping[Stage, Any]) -> Any:
        """Returns its result.

        Args:
          run: a `ddjax.run.Run`.
          results: of its parents, at least.
        """
        return self.make(run, **_filled(self.parents, results))


def stages_in(parents: Any) -> Iterator[Stage]:
    """Yields the stages in dicts and lists of stages, in order."""
    if isinstance(parents, Stage):
        yield parents
    elif parents is not None:
        values = parents.values() if isinstance(parents, Mapping) else parents
        for value in values:
            yield from stages_in(value)


def _filled(parents: Any, results: Mapping[Stage, Any]) -> Any:
    """Returns dicts and lists of stages with the stages' results in their places."""
    if isinstance(parents, Stage):
        return results[parents]
    if isinstance(parents, Mapping):
        return {name: _filled(value, results) for name, value in parents.items()}
    if parents is None:
        return None
    return [_filled(value, results) for value in parents]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a stage will cost.

    Attributes:
      work: images through networks; a plan adds up entries of one name.
      trainings: likewise.
      stored: likewise.
    """

    work: tuple[Work, ...] = ()
    trainings: tuple[Trainings, ...] = ()
    stored: tuple[Stored, ...] = ()

    @property
    def weight(self) -> float:
        """The relative time it takes: image passes, a training pass as three."""
        return sum(3.0 * each.train_passes + each.forward_passes for each in self.work)


@dataclasses.dataclass(frozen=True)
class Work:
    """Images through networks.

    Attributes:
      name: of its row in the plan.
      forward_passes, train_passes: images, as in `artifacts.Cost`.
      flops: returns the floating-point operations; tracing programs takes a while.
    """

    name: str
    forward_passes: int = 0
    train_passes: int = 0
    flops: Callable[[], float] = lambda: 0.0

    @property
    def cost(self) -> Cost:
        return Cost(
            forward_passes=self.forward_passes,
            train_passes=self.train_passes,
            flops=self.flops(),
        )


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Trainings that differ in nothing but seed, subset and numbers.

    Attributes:
      name: of their row in the plan.
      program: what is compiled.
      driver: see `settings.Sweep`.
      count: all of them.
      members: the most that are trained as one group.
      steps: of each training.
      images: that each of them draws from.
      whole: how many of the trainings draw from the whole pool.
      held: images in memory beside a training, if the pool's are not streamed to it.
      stored: whether labels are read from a store.
      recorded: bytes of records in a checkpoint, beside the members' state.
      predictions: bytes of the predictions of a snapshot.
    """

    name: str
    program: student.Program
    driver: str
    count: int
    members: int
    steps: int
    images: int
    whole: int
    held: int
    stored: bool = False
    recorded: float = 0.0
    predictions: float = 0.0

    def __add__(self, other: Trainings) -> Trainings:
        """Returns both, of one name and program."""
        return dataclasses.replace(
            self,
            count=self.count + other.count,
            members=max(self.members, other.members),
            whole=self.whole + other.whole,
            held=max(self.held, other.held),
        )

    def layout(self, chips: int, shared: int = 0) -> tuple[int, int, int]:
        """Returns how a group lies on accelerators, as `mesh.grid` and `Runner` do it.

        Args:
          chips: how many there are.
          shared: the setting `mesh.data`.

        Returns:
          (chips that share a batch, members that a chip trains at once, members whose
          weights it holds)
        """
        spread = self.driver in ("mesh", "auto")
        batch = self.program.batch_size
        shared = math.gcd(shared or (1 if spread else batch), chips)
        each = -(-self.members // (chips // shared if spread else 1))
        if self.driver == "loop":
            return shared, 1, each
        width = 1 << (each - 1).bit_length()
        return shared, width, width


@dataclasses.dataclass(frozen=True)
class Stored:
    """Arrays of artifacts, before compression and without manifests.

    Attributes:
      name: of their row in the plan.
      holds: what they are, in words and letters; {} stands for their number.
      count: how many there are.
      each: bytes of one.
    """

    name: str
    holds: str
    count: float
    each: float

    def __add__(self, other: Stored) -> Stored:
        """Returns both, of one name."""
        return dataclasses.replace(self, count=self.count + other.count)

    @property
    def bytes(self) -> float:
        return self.count * self.each
