"""A run: the folder, the ledger of costs, the console and the devices of a pipeline."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ddjax import mesh
from ddjax.artifacts import Artifact, Draft
from ddjax.data.images import Streamed
from ddjax.observe import Metrics, Profiler
from ddjax.problem import Problem
from ddjax.process import console, ending
from ddjax.train import batches, streaming, student, sweep
from ddjax.train.streaming import Streaming
from ddjax.workdir import Workdir

if TYPE_CHECKING:
    import tqdm


class Run:
    """Where stages execute: it makes artifacts, books costs and shows progress.

    Attributes:
      workdir: where artifacts go.
      costs: one row an artifact, in the order in which they were reached: stage,
        reused, the fields of `artifacts.Cost`, artifact.
      started: when.
      draw: what names of artifacts begin with in `costs`, "" or such as "seed 3: ".
    """

    def __init__(
        self,
        workdir: Workdir,
        profiler: Profiler | None = None,
        tensorboard: bool = False,
        compiled: dict[Any, Any] | None = None,
    ):
        """Begins the clock.

        Args:
          workdir: the folder, opened.
          profiler: of the first training steps; None: no profile.
          tensorboard: whether event files are written.
          compiled: executables that several runs share; None: none.
        """
        self.workdir = workdir
        self.costs: list[dict[str, Any]] = []
        self.draw = ""
        self._profiler = profiler or Profiler(None, 0)
        self._tensorboard = tensorboard
        self._compiled = {} if compiled is None else compiled
        self._placed: dict[Any, Any] = {}  # images of pools on the devices
        self.started = datetime.datetime.now(datetime.UTC)
        self._started = time.perf_counter()

    @property
    def folder(self):
        """The run's folder."""
        return self.workdir.path

    def say(self, line: str) -> None:
        """Prints a line with the time since the start."""
        import tqdm

        seconds = f"[{time.perf_counter() - self._started:6.1f} s] "
        text = console.wrapped(seconds + line, indent=len(seconds) + 2, first=0)
        tqdm.tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def artifact(
        self,
        kind: str,
        label: str,
        settings: dict[str, Any],
        parents: dict[str, str],
        make: Callable[..., Draft],
    ) -> Artifact:
        """Computes or reuses an artifact, prints a line, and books its cost.

        Args:
          kind: the artifact's kind.
          label: its name on the console and in the table of costs.
          settings: JSON values that determine the result.
          parents: name -> address of what it is computed from.
          make: see `Workdir.artifact`.
        """
        ending.stop_if_requested()
        artifact = self.workdir.artifact(kind, settings, parents, make)
        cost = artifact.cost
        self.costs.append(
            {
                "stage": self.draw + label,
                "reused": artifact.reused,
                **dataclasses.asdict(cost),
                "artifact": artifact.path.name,
            }
        )
        spent = f"{cost.seconds:.1f} s"
        if cost.compile_seconds >= 0.05:
            spent += f" + {cost.compile_seconds:.1f} s compiling"
        verb = "reused, was" if artifact.reused else "done in"
        self.say(f"  {label}: {verb} {spent}")
        return artifact

    def runner(
        self,
        problem: Problem,
        program: student.Program,
        driver: str,
        positions: np.ndarray | None = None,
        **teacher: Any,
    ) -> sweep.Runner:
        """Returns a runner that trains on a problem's pool, or on a part of it.

        Args:
          problem: whose pool.
          program: what is trained.
          driver: how members are run; a stream that is not read into memory has "loop".
          positions, **teacher: of `pool_of`.
        """
        settings, pool = problem.settings, pool_of(problem, positions, **teacher)
        if isinstance(pool.images, Streamed):
            return streaming.Streaming(
                program, pool, self._compiled, settings.mesh.data, settings.data.workers
            )
        if positions is None and not problem.synthetic:  # once for all programs
            onto = sweep.grid_of(driver, program.batch_size, settings.mesh.data)
            key = (problem.data_digest, onto)
            if key not in self._placed:
                for other in [k for k in self._placed if k[0] != problem.data_digest]:
                    del self._placed[other]  # of an earlier draw
                self._placed[key] = batches.place_pool(pool, onto).images
            pool = pool._replace(images=self._placed[key])
        return sweep.Runner(program, pool, driver, self._compiled, settings.mesh.data)

    @contextlib.contextmanager
    def training(
        self, label: str, total: int, runner: sweep.Runner
    ) -> Iterator[_Training]:
        """Shows the progress of a training, and records its metrics.

        Args:
          label: what trains.
          total: member-steps.
          runner: what trains it.

        Yields:
          The `Watch` of `Runner.train`.
        """
        folder = self.folder if mesh.primary() else None
        with (
            progress_bar(label, total) as bar,
            Metrics(folder, self._tensorboard) as metrics,
            self._profiler.training(label),
        ):
            yield _Training(self, label, bar, metrics, self._profiler)
        if isinstance(runner, Streaming) and runner.meter.read():
            self.say(f"{label}: {runner.meter.read()}")


class _Training(NamedTuple):
    """A `Watch` with a bar, a file of metrics and a profile."""

    run: Run
    label: str
    bar: tqdm.tqdm
    metrics: Metrics
    profiler: Profiler

    def progress(self, steps: int) -> None:
        self.bar.update(steps)

    def say(self, line: str) -> None:
        self.run.say(f"{self.label}: {line}")

    def at_most(self, count: int) -> int:
        return self.profiler.at_most(count)

    def stepped(self, step: int, count: int, numbers: dict[str, float]) -> None:
        self.profiler.step(count)
        self.metrics.write(self.label, step, **numbers)


def progress_bar(label: str, total: int, unit: str = "step") -> tqdm.tqdm:
    """Returns a progress bar that stays silent without a terminal."""
    from ddjax.process.progress import Bar

    return Bar(label, total, unit, disable=None if mesh.primary() else True)


def pool_of(
    problem: Problem, positions: np.ndarray | None = None, **teacher: Any
) -> batches.Pool:
    """Returns a problem's pool, or some of it, as training programs take it.

    Args:
      problem: whose pool.
      positions: which examples, read into memory where they are streamed; None: all,
        streamed or not.
      **teacher: `teacher_logits` [N,C] and `teachers` of `Pool`.
    """
    pool, logits = problem.pool, teacher.get("teacher_logits")
    if positions is not None:
        pool = pool.take(positions)
        pool = dataclasses.replace(pool, images=np.asarray(pool.images))
        if logits is not None:
            teacher["teacher_logits"] = logits[positions]
    return batches.Pool(
        pool.images, pool.labels, pool.ids, problem.mean, problem.std, **teacher
    )
