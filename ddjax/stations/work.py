"""The work of each station: images through networks, and operations.

Nothing is read, compiled or computed. Operations are XLA's count of the programs as
they are lowered, with its own convolutions, as on an accelerator; a multiply-add is
two.
"""

import dataclasses
import functools
import math

from ddjax import distill
from ddjax.select import snapshots_needed
from ddjax.stations import programs, storage, sweeps
from ddjax.stations.context import Context
from ddjax.stations.needs import needs_of, scoring_regimes
from ddjax.stations.trace import run_seeds, snapshot_steps
from ddjax.train import programs as train_programs

_LOOKS = 20  # at the validation split while a teacher trains, at most


@dataclasses.dataclass(frozen=True)
class Row:
    """What one station costs.

    Attributes:
      station: its name.
      forward_passes, train_passes: images through a network, as `artifacts.Cost`.
      flops: floating-point operations.
    """

    station: str
    forward_passes: int = 0
    train_passes: int = 0
    flops: float = 0.0


def teacher(context: Context, name: str) -> Row:
    """A teacher's training; none for one from a bundle or a file."""
    settings = context.teacher_settings(name)
    if settings.path:
        return Row(name)
    count = len(context.pool)
    steps = math.ceil(settings.epochs * count / settings.batch_size)
    program = programs.teacher_program(context, name)
    forward = min(settings.epochs, _LOOKS) * len(context.validation)
    step = train_programs.step_flops(program, context.source.num_classes)
    return Row(
        f"{name}, {settings.network.name}",
        forward,
        steps * program.passes,
        steps * step + forward * train_programs.forward_flops(program.network),
    )


def _trainings(context: Context, regime: str, ipc: int, count: int, seen: int) -> Row:
    """`count` students of a context's network, each judged on `seen` images."""
    program = programs.student_program(context, regime)
    step = train_programs.step_flops(
        program,
        context.source.num_classes,
        context.supervision(regime, ipc),
        stored=bool(context.labels(regime).codec),
    )
    steps = context.steps(ipc)
    each = steps * step + seen * train_programs.forward_flops(program.network)
    return Row("", count * seen, count * steps * program.passes, count * each)


def students(context: Context, regime: str, ipc: int) -> Row:
    """The students that are compared, and those of the searches for windows."""
    settings, count = context.settings, sweeps.compared(context, regime)
    seen = len(context.validation) + len(context.test)
    row = _trainings(context, regime, ipc, count, seen)
    if not context.transfer:
        tried = sweeps.searched(context) * len(settings.select.window_starts)
        row = _sum(row, _trainings(context, regime, ipc, tried, _choosing(context)))
    who = context.transfer or settings.student.network.name
    return dataclasses.replace(row, station=f"students, {who}, {regime}, IPC {ipc}")


def tuning(judges: list[Context], regime: str, ipc: int) -> Row:
    """The students of several networks that learning rates are tried on."""
    row = Row("")
    for context in judges:
        count = sweeps.tuned(context, regime)
        row = _sum(row, _trainings(context, regime, ipc, count, _choosing(context)))
    return dataclasses.replace(row, station=f"tuning, {regime}, IPC {ipc}")


def _choosing(context: Context) -> int:
    """Images that a student is judged on where something is chosen."""
    on_test = context.settings.protocol.select_on == "test"
    return len(context.validation) + on_test * len(context.test)


def scoring(context: Context, ipc: int) -> list[Row]:
    """The scoring runs, and what is asked of them at their end."""
    settings, count = context.settings.select, len(context.pool)
    rows, runs = [], len(run_seeds(context))
    seeds = len(context.settings.protocol.seeds)
    network = train_programs.native(context.student_network)
    for regime in scoring_regimes(context):
        stops = snapshot_steps(
            context.steps(ipc),
            context.settings.student.batch_size,
            count,
            snapshots_needed(settings),
        )
        row = _trainings(context, regime, ipc, runs, len(stops) * count)
        station = f"scoring runs, {regime}, IPC {ipc}"
        rows.append(dataclasses.replace(row, station=station))
    needs, by_teacher = needs_of(context), settings.features == "teacher"
    forward = 0
    if "gradients" in needs or ("features" in needs and not by_teacher):
        forward = seeds * (count + len(context.validation))
    flops = forward * train_programs.forward_flops(network)
    if "features" in needs and by_teacher:
        forward += count
        teacher = programs.teacher_network(context, "teacher")
        flops += count * train_programs.forward_flops(teacher)
    trained = runs * count if "grand" in needs else 0
    flops += trained * 3 * train_programs.forward_flops(network)
    rows.append(Row(f"gradients and features, IPC {ipc}", forward, trained, flops))
    return rows


def made(context: Context, name: str, ipc: int) -> Row:
    """The image sets of an entry of `distill`."""
    entry = context.settings.distill[name]
    outline = programs.outline(context, entry)
    cost = distill.METHODS[entry.method].work(outline, entry, ipc)
    sets, station = storage.image_sets(context, name), f"images, {name}, IPC {ipc}"
    passes = sets * cost.forward_passes, sets * cost.train_passes
    return Row(station, *passes, sets * cost.flops)


def labels(context: Context, regime: str, ipc: int, labelled: set) -> Row:
    """Labels of views that are stored; `labelled` are those that were, by whom."""
    labels, station = context.labels(regime), f"stored labels, {regime}, IPC {ipc}"
    if not labels.codec:
        return Row(station)
    count = storage.labels_stored(context, regime, ipc)
    asked = context.teachers(regime)
    networks = [programs.teacher_network(context, name) for name in asked]
    once = (asked, count) not in labelled  # other codecs copy these labels
    labelled.add((asked, count))
    each = sum(map(train_programs.forward_flops, networks))
    return Row(station, once * count, 0, once * count * each)


def fixed_labels(context: Context) -> Row:
    """One label of each image of the pool and of the made sets."""
    count = storage.fixed_labels(context)
    each = train_programs.forward_flops(programs.teacher_network(context, "teacher"))
    return Row("fixed labels", count, 0, count * each)


def _sum(*rows: Row) -> Row:
    values = (dataclasses.astuple(row)[1:] for row in rows)
    return Row("", *map(functools.partial(sum), zip(*values, strict=True)))
