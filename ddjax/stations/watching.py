"""How long work is shown while it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ddjax import mesh
from ddjax.observe import Metrics, Profiler
from ddjax.stations.context import Context
from ddjax.train.streaming import Streaming
from ddjax.train.sweep import Runner

if TYPE_CHECKING:
    import tqdm


def progress_bar(label: str, total: int, unit: str = "step") -> tqdm.tqdm:
    """Returns a progress bar that stays silent when nobody watches a terminal."""
    import tqdm

    return tqdm.tqdm(
        total=total,
        desc=label,
        unit=unit,
        leave=False,
        disable=None if mesh.primary() else True,
        smoothing=0.1,
    )


class _Shown(NamedTuple):
    """A `Watch` with a bar, a file of metrics and a profile."""

    context: Context
    label: str
    bar: tqdm.tqdm
    metrics: Metrics
    profiler: Profiler

    def progress(self, steps: int) -> None:
        self.bar.update(steps)

    def say(self, line: str) -> None:
        self.context.say(f"{self.label}: {line}")

    def at_most(self, count: int) -> int:
        return self.profiler.at_most(count)

    def stepped(self, step: int, count: int, numbers: dict[str, float]) -> None:
        self.profiler.step(count)
        self.metrics.write(self.label, step, **numbers)


@contextlib.contextmanager
def watching(
    context: Context, label: str, total: int, runner: Runner
) -> Iterator[_Shown]:
    """Shows and keeps how a training goes.

    Args:
      context: the run.
      label: what trains.
      total: member-steps.
      runner: what trains it.

    Yields:
      What `Runner.train` is to tell.
    """
    folder = context.workdir.path if mesh.primary() else None
    profiler = context.profiler or Profiler(None, 0)
    with (
        progress_bar(label, total) as bar,
        Metrics(folder, context.settings.observe.tensorboard) as metrics,
        profiler.training(label),
    ):
        yield _Shown(context, label, bar, metrics, profiler)
    if isinstance(runner, Streaming) and runner.meter.read():
        context.say(f"{label}: {runner.meter.read()}")
