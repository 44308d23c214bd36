"""The plan: what a pipeline will cost, from shapes. No data, compilation or training.

Operations are XLA's count of the programs as they are lowered, with its own
convolutions, as on an accelerator; a multiply-add is two. Hours are those of one chip
that keeps up `UTILISATION` of its peak rate for dense bfloat16. Networks compute in
float32 unless their `dtype` is bfloat16, and are then slower than that.

Memory is that of the arguments of a training step and of what its backward pass waits
for: the values that the linearised network keeps, `programs.activation_bytes`. XLA
fuses and recomputes some of them and adds buffers of its own; on CPU the sum is within
a factor of two of what it then takes.

Not counted are what takes no network (selections, codecs, the report) and repeated
compilation; classes of a source that was not read count as equally large.

Sources of `ACCELERATORS`: cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, "peak
compute per chip (bf16)" and the capacity of HBM. NVIDIA's figures, of the SXM modules
without sparsity, are second-hand: A100's from a note that cites its data sheet
(glennklockwood.com/garden/processors/A100), H100's as many quote it, and the H200 is
taken to compute as fast as the H100.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ddjax import pipeline
from ddjax.artifacts import Cost
from ddjax.problem import Problem, open_problem, outline_problem
from ddjax.settings import Settings
from ddjax.stages.checks import check, check_names
from ddjax.stages.stage import Plan, Stored, Trainings, Work
from ddjax.train.members import STRETCH
from ddjax.train.programs import activation_bytes, state_bytes, variable_bytes

if TYPE_CHECKING:
    import pandas as pd

UTILISATION = 0.35  # of the peak rate, assumed
# Name -> (peak bfloat16 operations a second, bytes of memory) of one chip.
ACCELERATORS = {
    "TPU v4": (275e12, 32 * 2**30),
    "TPU v5e": (197e12, 16 * 2**30),
    "TPU v5p": (459e12, 95 * 2**30),
    "TPU v6e": (918e12, 32 * 2**30),
    "A100": (312e12, 80 * 2**30),
    "H100": (989e12, 80 * 2**30),
    "H200": (989e12, 141 * 2**30),
}
CHIPS = (1, 8, 64)  # that plans are for
DECODED = 10_000  # images a second, a measure for the hosts
ROOM = 0.9  # of a chip's memory, what programs and a runtime leave


def open_plan(settings: Settings) -> Problem:
    """Checks the settings and returns a run's problem, reading as little as it can.

    Args:
      settings: what to do. A source of `data.facts` is not opened; any other one is
        read, and settings are checked against it.

    Raises:
      InputError: the settings are wrong, or neither the data nor facts are there.
    """
    check_names(settings)
    problem = outline_problem(settings)
    if problem is None:
        problem = open_problem(settings)
        check(problem)
    return problem


def total(problem: Problem) -> Plan:
    """Returns the sum of the plans of a pipeline's stages, an entry a name.

    Args:
      problem: of `open_plan`.
    """
    plans = _plans(problem)
    costs: dict[str, Cost] = {}
    for work in (work for plan in plans for work in plan.work):
        costs[work.name] = costs.get(work.name, Cost()) + work.cost
    return Plan(
        tuple(
            Work(name, cost.forward_passes, cost.train_passes, lambda f=cost.flops: f)
            for name, cost in costs.items()
            if cost.flops
        ),
        _summed(each for plan in plans for each in plan.trainings),
        tuple(
            each
            for each in _summed(each for plan in plans for each in plan.stored)
            if each.bytes
        ),
    )


def trainings(problem: Problem) -> tuple[Trainings, ...]:
    """Returns the trainings of `total`, without counting any operation."""
    return _summed(each for plan in _plans(problem) for each in plan.trainings)


def _plans(problem: Problem) -> list[Plan]:
    return [stage.plan() for stage in pipeline.build(problem)]


_Named = TypeVar("_Named", Trainings, Stored)


def _summed(entries: Iterable[_Named]) -> tuple[_Named, ...]:
    """Returns one entry a name, in the order of the first of each."""
    found: dict[str, _Named] = {}
    for each in entries:
        found[each.name] = found[each.name] + each if each.name in found else each
    return tuple(found.values())


def table(plan: Plan) -> pd.DataFrame:
    """Returns the work of a plan and its sum, with hours on each of `ACCELERATORS`."""
    import pandas as pd

    rows = [
        (each.name, each.forward_passes, each.train_passes, each.flops())
        for each in plan.work
    ]
    columns = ["stage", "forward_passes", "train_passes", "flops"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.loc[len(frame)] = {"stage": "all", **frame[columns[1:]].sum().to_dict()}
    for name, (peak, _) in ACCELERATORS.items():
        frame[name] = frame["flops"] / (UTILISATION * peak) / 3600
    return frame


def show(settings: Settings) -> pd.DataFrame:
    """Prints what an experiment will do and cost; computes and writes nothing.

    Args:
      settings: what to do; the data need not be there if `ddjax.data.facts` has them.

    Returns:
      The table that is printed, see `table`.

    Raises:
      InputError: the settings are wrong, or nothing is known about the data.
    """
    problem = open_plan(settings)
    print(pipeline.describe(problem))
    plan = total(problem)
    frame = table(plan)
    print(text(problem, plan, frame))
    return frame


def text(problem: Problem, plan: Plan, frame: pd.DataFrame) -> str:
    """Returns what will be compiled, computed, kept and held, for people.

    Args:
      problem: of `open_plan`.
      plan: of `total`.
      frame: of `table`.
    """
    sections = (
        _programs(problem, plan),
        _hours(problem, plan, frame),
        _disk(plan),
        _memory(problem, plan),
    )
    return "\n\n".join(sections)


def _programs(problem: Problem, plan: Plan) -> str:
    rows, size = [], "x".join(map(str, problem.source.shape))
    for each in plan.trainings:
        layouts = [each.layout(n, problem.settings.mesh.data) for n in CHIPS]
        shared, at_once, _ = ("/".join(map(str, n)) for n in zip(*layouts, strict=True))
        batch = each.program.batch_size
        numbers = each.images, batch, each.steps, each.count, each.members
        rows.append((each.name, *(f"{n:,}" for n in numbers), shared, at_once))
    chips = "/".join(map(str, CHIPS))
    header = ("trainings", "images", "batch", "steps", "all", "a group")
    header += ("chips a batch", "members a chip")
    return (
        f"PROGRAMS for {problem.num_classes} classes, {size} pixels; the last two "
        f"columns: with {chips} chips,\nhow many share a batch, and how many members "
        "each trains at once. A group is saved and resumed as one.\n"
        f"{_columns(header, rows)}"
    )


def _hours(problem: Problem, plan: Plan, frame: pd.DataFrame) -> str:
    rows = [_work(*row) for row in frame.itertuples(index=False, name=None)]
    *_, last = frame.itertuples(index=False, name=None)
    for chips in CHIPS[1:]:
        hours = (_number(each / chips) for each in last[4:])
        rows.append((f"all, on {chips} chips", "", "", "", *hours))
    names = (name.removeprefix("TPU ") for name in ACCELERATORS)
    header = ("stages", "forward", "trained", "FLOPs", *names)
    text = (
        "WORK: images through a network (forward, trained), operations, and hours on "
        f"one chip at {UTILISATION:.0%} of its peak\nbfloat16 rate; on more chips if "
        f"they share the work perfectly.\n{_columns(header, rows)}"
    )
    if not problem.settings.data.stream:
        return text
    decoded = int(frame["forward_passes"].iloc[-1]) + sum(
        each.whole * each.steps * each.program.batch_size for each in plan.trainings
    )
    hours = _number(decoded / DECODED / 3600)
    return (
        f"{text}\nImages to decode on the way: about {decoded:.1e}, {hours} hours "
        f"where the hosts together decode {DECODED:,} a second."
    )


def _work(stage: str, forward: int, trained: int, flops: float, *hours: float):
    counts = (f"{count:.2e}" for count in (forward, trained, flops))
    return (stage, *counts, *map(_number, hours))


def checkpoint(plan: Plan) -> tuple[str, float]:
    """Returns the trainings with the largest checkpoint, and its bytes on disk.

    The newest one replaces the one before once it is there: for a moment there are two.
    """
    found = {"": 0.0}
    for each in plan.trainings:
        size = each.members * state_bytes(each.program)
        found[each.name] = 2.0 * (size + each.recorded + each.predictions)
    return max(found.items(), key=lambda item: item[1])


def _disk(plan: Plan) -> str:
    rows = []
    for each in plan.stored:
        holds = each.holds.replace("{}", str(each.count))
        rows.append((each.name, holds, _size(each.bytes)))
    rows.append(("all", "", _size(sum(each.bytes for each in plan.stored))))
    name, size = checkpoint(plan)
    rows.append((f"checkpoints, {name}", "at most, until it is done", _size(size)))
    header = ("artifact", "holds", "")
    return f"DISK, before compression\n{_columns(header, rows, left=2)}"


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one device.

    Attributes:
      images: of the pool, or of a synthetic set of all seeds; of a stream the subsets
        of the group, or where all train on the whole pool those of two steps.
      weights: with moments, gradients, and the teachers' that label views on the fly.
      labels: a teacher's fixed or stored ones.
      activations: what the backward pass waits for, and the views.
    """

    images: float
    weights: float
    labels: float
    activations: float

    @property
    def total(self) -> float:
        return self.images + self.weights + self.labels + self.activations


def per_device(problem: Problem, trained: Trainings, chips: int) -> Memory:
    """Returns what a device holds while the largest group trains.

    Args:
      problem: of `open_plan`.
      trained: what trains.
      chips: devices that the run has.
    """
    settings, program = problem.settings, trained.program
    shared, at_once, held = trained.layout(chips, settings.mesh.data)
    batch, streamed = program.batch_size // shared, settings.data.stream
    classes, pixels = problem.num_classes, math.prod(problem.source.shape)
    shown = 1 + (program.recipe.cutmix > 0)  # a view, and what CutMix pastes in
    images = trained.held * pixels / shared
    if streamed and trained.whole == trained.count:
        images = 2 * shown * at_once * batch * pixels
    labels = 0.0
    if program.objective.regime == "soft":
        labels = 4 * trained.held * classes / shared
    elif trained.stored:
        labels = 4 * STRETCH * batch * classes * at_once
    teachers = sum(map(variable_bytes, program.objective.teachers))
    weights = held * state_bytes(program) + teachers
    weights += at_once * variable_bytes(program.network)
    seen = batch * (1 + program.two_views)
    each = activation_bytes(program.network) + 4 * shown * pixels
    return Memory(images, weights, labels, at_once * seen * each)


def _memory(problem: Problem, plan: Plan) -> str:
    rows, largest = [], dict.fromkeys(CHIPS, 0.0)
    for each in plan.trainings:
        needed = [per_device(problem, each, chips) for chips in CHIPS]
        totals = [memory.total for memory in needed]
        first = (*dataclasses.astuple(needed[0]), totals[0])
        sizes = (_size(size, 1024) for size in (*first, *totals[1:]))
        rows.append((each.name, *sizes))
        for chips, size in zip(CHIPS, totals, strict=True):
            largest[chips] = max(largest[chips], size)
    parts = [field.name for field in dataclasses.fields(Memory)]
    header = ("trainings", *parts, *(f"of {chips}" for chips in CHIPS))
    lines = [
        "MEMORY of a chip while it trains: of the only one in parts, of one of more in "
        "all",
        _columns(header, rows),
    ]
    for chips, size in largest.items():
        small = [n for n, (_, room) in ACCELERATORS.items() if size > ROOM * room]
        fits = f"too much for {', '.join(small)}" if small else "fits all of them"
        lines.append(f"One of {chips}: {fits}, with {ROOM:.0%} of a chip's memory.")
    predictions = max((each.predictions for each in plan.trainings), default=0.0)
    if predictions:
        size = _size(2 * predictions, 1024)
        lines.append(f"On each host while a budget is scored: {size} of predictions.")
    return "\n".join(lines)


def _columns(header: tuple[str, ...], rows: list[tuple[str, ...]], left=1) -> str:
    """Lays out cells, the first columns to the left."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [cell.ljust(w) for cell, w in zip(row[:left], widths, strict=False)]
        padded += map(str.rjust, row[left:], widths[left:])
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    """Returns hours with about two digits."""
    if not value or value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 1 else 2
    return f"{value:.{digits}f}" if value >= 0.01 else f"{value:.0e}"


def _size(value: float, base: int = 1000) -> str:
    """Returns bytes in the largest of the units, powers of a base, that they fill."""
    if not value:
        return "0"
    power = min(int(math.log(max(value, 1), base)), 4)
    unit = ("B", "kB", "MB", "GB", "TB")[power]
    if base == 1024:
        unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{value / base**power:,.1f} {unit}"
