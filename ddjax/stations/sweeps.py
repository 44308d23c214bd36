"""The trainings of a run, before it runs: how many, in which groups, on what shapes."""

import dataclasses
import math

from ddjax.settings import Settings
from ddjax.stations import programs
from ddjax.stations.context import Context
from ddjax.stations.needs import asked_teachers, method_of, scoring_regimes
from ddjax.stations.trace import run_seeds
from ddjax.train import student


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Trainings that differ in nothing but seed, subset and numbers.

    Attributes:
      name: of the station.
      program: what is compiled in.
      driver: see `settings.Sweep`.
      trainings: all of them.
      members: at most so many are trained as one group.
      steps: of each training.
      images: that each of them draws from.
      whole: how many of the trainings draw from the whole pool.
      held: images in memory beside a training, if the pool's are not streamed to it.
      stored: whether labels are read from a store.
    """

    name: str
    program: student.Program
    driver: str
    trainings: int
    members: int
    steps: int
    images: int
    whole: int
    held: int
    stored: bool = False

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


def sweeps(context: Context) -> list[Sweep]:
    """Returns the trainings of a run, in the order of the road.

    Args:
      context: of `estimate.open_plan`.
    """
    settings = context.settings
    found = [
        _teacher(context, name)
        for name in asked_teachers(context)
        if not context.teacher_settings(name).path
    ]
    for ipc in settings.select.ipcs if settings.regimes else ():
        found += [_scoring(context, r, ipc) for r in scoring_regimes(context)]
        for regime in settings.regimes:
            for judge in judges(context):
                found.append(students(judge, regime, ipc))
    return found


def judges(context: Context) -> list[Context]:
    """Returns the run with its own students, and with those of `transfer`."""
    return [context, *map(context.with_student, context.settings.transfer)]


def compared(context: Context, regime: str) -> int:
    """Students of a budget that are compared, of all seeds; full data included."""
    settings = context.settings
    sets = len(settings.distill) + bool(settings.images)
    plain = context.labels(regime).plain  # beside these stand the full data's
    return (len(settings.select.methods) + sets + plain) * len(settings.protocol.seeds)


def tuned(context: Context, regime: str) -> int:
    """Students that learning rates are tried on, 0 where there is no choice."""
    settings, rates = context.settings, context.settings.student.learning_rates
    tried = len(rates) if len(rates) > 1 else 0
    both = 1 + context.labels(regime).plain
    return tried * both * settings.protocol.search_seeds


def searched(context: Context) -> int:
    """Subsets that windows are searched for: methods times search seeds."""
    settings = context.settings
    methods = [method_of(context, name) for name in settings.select.methods]
    return sum(m.searches for m in methods) * settings.protocol.search_seeds


def tried(context: Context) -> list[int]:
    """Students that each search for a window trains."""
    settings = context.settings
    methods = [method_of(context, name) for name in settings.select.methods]
    starts = (len(method.tried(settings.select.options())) for method in methods)
    return [count * settings.protocol.search_seeds for count in starts if count]


def _teacher(context: Context, name: str) -> Sweep:
    settings, count = context.teacher_settings(name), len(context.pool)
    steps = math.ceil(settings.epochs * count / settings.batch_size)
    program = programs.teacher_program(context, name)
    return Sweep(
        f"{name}, {settings.network.name}",
        program,
        "loop",
        trainings=1,
        members=1,
        steps=steps,
        images=count,
        whole=1,
        held=count,
    )


def _scoring(context: Context, regime: str, ipc: int) -> Sweep:
    runs, data = len(run_seeds(context)), context.settings.data
    return Sweep(
        f"scoring runs, {regime}, IPC {ipc}",
        programs.student_program(context, regime),
        "loop" if data.stream else context.settings.sweep.driver,
        trainings=runs,
        members=runs,
        steps=context.steps(ipc),
        images=len(context.pool),
        whole=runs,
        held=len(context.pool),
    )


def students(context: Context, regime: str, ipc: int) -> Sweep:
    settings, seeds = context.settings, len(context.settings.protocol.seeds)
    searches = [] if context.transfer else tried(context)
    own = compared(context, regime) - len(settings.distill) * seeds
    # and an image set's, and a search's
    calls = [tuned(context, regime), own, *searches]
    calls += [seeds] * len(settings.distill)
    members = max(_widest(settings, count) for count in calls)
    images, count = ipc * context.source.num_classes, len(context.pool)
    held = min(count, members * images) if settings.data.stream else count
    sets = [(entry.sets or seeds) * images for entry in settings.distill.values()]
    whole = (seeds + tuned(context, regime) // 2) * context.labels(regime).plain
    who = context.transfer or settings.student.network.name
    return Sweep(
        f"students, {who}, {regime}, IPC {ipc}",
        programs.student_program(context, regime),
        settings.sweep.driver,
        trainings=(tuned(context, regime) + compared(context, regime) + sum(searches)),
        members=members,
        steps=context.steps(ipc),
        images=images,
        whole=whole,
        held=max(held, *sets) if sets else held,
        stored=bool(context.labels(regime).codec),
    )


def _widest(settings: Settings, count: int) -> int:
    """Members of the largest of the groups that `count` students are trained in."""
    return -(-count // -(-count // settings.sweep.members)) if count else 0
