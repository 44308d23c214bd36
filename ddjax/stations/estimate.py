"""What a run will cost, told from shapes: no data, no compilation, no training.

Operations are XLA's count of the programs as they are lowered, with its own
convolutions, as on an accelerator; a multiply-add is two. Hours are those of one chip
that keeps up `UTILISATION` of its peak rate for dense bfloat16. Networks compute in
float32 unless their `dtype` says bfloat16, and are then slower than that.

Sources of `ACCELERATORS`: cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, "peak
compute per chip (bf16)" and the capacity of HBM. NVIDIA's figures, of the SXM modules
without sparsity, are second-hand: A100's from a note that cites its data sheet
(glennklockwood.com/garden/processors/A100), H100's as many quote it, and the H200 is
taken to compute as fast as the H100.

Letters: B images of a batch, n images of a subset, N of the pool, H W image, K
channels.
"""

import dataclasses
import functools
import math

import jax
import numpy as np
import pandas as pd

from ddjax import data, distill
from ddjax.data import facts
from ddjax.data.source import Examples
from ddjax.errors import InputError
from ddjax.labels import codecs
from ddjax.select import snapshots_needed
from ddjax.settings import Data, Settings
from ddjax.stations import programs
from ddjax.stations.checks import check, check_names
from ddjax.stations.context import Context, open_context
from ddjax.stations.needs import (
    asked_teachers,
    method_of,
    needs_of,
    scoring_regimes,
    teachers_of_set,
)
from ddjax.stations.trace import run_seeds, snapshot_steps

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
_LOOKS = 20  # at the validation split while a teacher trains, at most


@dataclasses.dataclass(frozen=True)
class Row:
    """What one station costs.

    Attributes:
      station: its name.
      forward_passes, train_passes: images through a network, as `artifacts.Cost`.
      flops: floating-point operations.
      bytes: of what it leaves on disk: images, stored labels, a teacher's weights.
    """

    station: str
    forward_passes: int = 0
    train_passes: int = 0
    flops: float = 0.0
    bytes: float = 0.0


def open_plan(settings: Settings) -> Context:
    """Checks the settings and returns a run's context, reading as little as it can.

    Args:
      settings: what to do. A source of `data.facts` is not opened: images that take no
        memory stand in for its own, and settings are not checked against them. Any
        other one is read.

    Raises:
      InputError: the settings are wrong, or neither the data nor facts are there.
    """
    chosen = settings.data
    # The source is checked below: a known one need not be there.
    check_names(dataclasses.replace(settings, data=Data()))
    if facts.known(chosen.source) is None:
        try:
            data.check_name(chosen.source)
            context = open_context(settings)
        except InputError as error:
            known = ", ".join(facts.FACTS)
            raise InputError(f"{error} (known without data are {known})") from error
        check(context)
        return context
    source = facts.stand_in(chosen.source, chosen.image_size or None)
    # Divided without pixels, which would have to be copied.
    train = dataclasses.replace(source.train, images=facts.blank(len(source.train), ()))
    if chosen.pool:
        train = data.thin(train, chosen.pool, seed=0)
    splits = data.split_validation(train, chosen.validation, seed=0)
    pool, validation = (_shaped(split, source.shape) for split in splits)
    return Context(settings, source, pool, validation, source.test)


def _shaped(split: Examples, shape: tuple[int, ...]) -> Examples:
    return dataclasses.replace(split, images=facts.blank(len(split), shape))


def estimate(context: Context) -> list[Row]:
    """Returns what the stations of a run cost, in the order of the road.

    Not counted are what takes no network (selections, codecs, the report) and repeated
    compilation; classes of a source that was not read count as equally large.

    Args:
      context: of `open_plan`.
    """
    settings = context.settings
    rows = [_teacher(context, name) for name in asked_teachers(context)]
    if not settings.regimes:
        return rows
    trained = dict.fromkeys((*settings.regimes, *scoring_regimes(context)))
    judges = [context, *map(context.with_student, settings.transfer)]
    for ipc in settings.select.ipcs:
        for regime in trained:
            asked = judges if regime in settings.regimes else judges[:1]
            rows.append(_tuning(asked, regime, ipc))
        rows += _scoring(context, ipc)
        rows += [_made(context, name, ipc) for name in settings.distill]
        labelled = set()
        for regime in settings.regimes:
            rows.append(_labels(context, regime, ipc, labelled))
            rows += [_students(judge, regime, ipc) for judge in judges]
    if any(context.labels(regime).regime == "soft" for regime in trained):
        rows.append(_fixed_labels(context))
    return [row for row in rows if row.flops or row.bytes]


def table(rows: list[Row]) -> pd.DataFrame:
    """Returns the rows and their sum, with hours on each of `ACCELERATORS`.

    Args:
      rows: of `estimate`.
    """
    frame = pd.DataFrame([dataclasses.asdict(row) for row in rows])
    total = frame.drop(columns="station").sum().to_dict()
    frame.loc[len(frame)] = {"station": "all", **total}
    for name, (peak, _) in ACCELERATORS.items():
        frame[name] = frame["flops"] / (UTILISATION * peak) / 3600
    return frame


def text(context: Context, frame: pd.DataFrame) -> str:
    """Returns the table of `table` for people, with what it assumes."""
    counts = {"forward_passes": "forward", "train_passes": "trained", "flops": "FLOPs"}
    shown = frame.rename(columns=counts | {"bytes": "disk MB"})
    shown["disk MB"] /= 1e6
    formats = dict.fromkeys(counts.values(), "{:.2e}".format)
    formats |= {"disk MB": "{:.1f}".format, "station": "{}".format}
    formats |= dict.fromkeys(ACCELERATORS, "{:.3g}".format)
    lines = shown.to_string(index=False, formatters=formats, justify="right")
    size = context.pool.images.nbytes
    small = [name for name, (_, memory) in ACCELERATORS.items() if size > memory / 2]
    room = f"Training images on the device: {size / 2**30:.2f} GiB"
    if small:
        room += f", more than the half that may be theirs on {', '.join(small)}"
    return (
        f"{lines}\n{room}.\nImages through a network (forward, trained), operations, "
        f"and hours on one chip at {UTILISATION:.0%} of its peak bfloat16 rate."
    )


def _teacher(context: Context, name: str) -> Row:
    settings = context.teacher_settings(name)
    if settings.path:
        return Row(name)
    count = len(context.pool)
    steps = math.ceil(settings.epochs * count / settings.batch_size)
    program = programs.teacher_program(context, name)
    forward = min(settings.epochs, _LOOKS) * len(context.validation)
    step = programs.step_flops(program, context.source.num_classes)
    weights = jax.eval_shape(program.network.init, jax.random.key(0))
    return Row(
        f"{name}, {settings.network.name}",
        forward,
        steps * program.passes,
        steps * step + forward * programs.forward_flops(program.network),
        sum(4 * leaf.size for leaf in jax.tree.leaves(weights)),
    )


def _trainings(context: Context, regime: str, ipc: int, count: int, seen: int) -> Row:
    """`count` students of a context's network, each judged on `seen` images."""
    program = programs.student_program(context, regime)
    step = programs.step_flops(
        program,
        context.source.num_classes,
        context.supervision(regime, ipc),
        stored=bool(context.labels(regime).codec),
    )
    steps = context.steps(ipc)
    each = steps * step + seen * programs.forward_flops(program.network)
    return Row("", count * seen, count * steps * program.passes, count * each)


def _students(context: Context, regime: str, ipc: int) -> Row:
    """The students that are compared, and those of the searches for windows."""
    settings = context.settings
    chosen, seeds = settings.select, len(settings.protocol.seeds)
    sets = len(settings.distill) + bool(settings.images)
    plain = context.labels(regime).plain  # beside these stand the full data's
    count = (len(chosen.methods) + sets + plain) * seeds
    seen = len(context.validation) + len(context.test)
    row = _trainings(context, regime, ipc, count, seen)
    if not context.transfer:
        tried = _searched(context) * len(chosen.window_starts)
        row = _sum(row, _trainings(context, regime, ipc, tried, _choosing(context)))
    who = context.transfer or settings.student.network.name
    return dataclasses.replace(row, station=f"students, {who}, {regime}, IPC {ipc}")


def _searched(context: Context) -> int:
    """Subsets that windows are searched for: methods times search seeds."""
    settings = context.settings
    methods = [method_of(context, name) for name in settings.select.methods]
    return sum(m.searches for m in methods) * settings.protocol.search_seeds


def _tuning(judges: list[Context], regime: str, ipc: int) -> Row:
    row = Row("")
    for context in judges:
        settings, rates = context.settings, context.settings.student.learning_rates
        compared = 1 + context.labels(regime).plain
        tried = len(rates) if len(rates) > 1 else 0
        count = tried * compared * settings.protocol.search_seeds
        row = _sum(row, _trainings(context, regime, ipc, count, _choosing(context)))
    return dataclasses.replace(row, station=f"tuning, {regime}, IPC {ipc}")


def _choosing(context: Context) -> int:
    """Images that a student is judged on where something is chosen."""
    on_test = context.settings.protocol.select_on == "test"
    return len(context.validation) + on_test * len(context.test)


def _scoring(context: Context, ipc: int) -> list[Row]:
    """The scoring runs, and what is asked of them at their end."""
    settings, count = context.settings.select, len(context.pool)
    rows, runs = [], len(run_seeds(context))
    seeds = len(context.settings.protocol.seeds)
    network = programs.native(context.student_network)
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
    flops = forward * programs.forward_flops(network)
    if "features" in needs and by_teacher:
        forward += count
        teacher = programs.teacher_network(context, "teacher")
        flops += count * programs.forward_flops(teacher)
    trained = runs * count if "grand" in needs else 0
    flops += trained * 3 * programs.forward_flops(network)
    rows.append(Row(f"gradients and features, IPC {ipc}", forward, trained, flops))
    return rows


def _made(context: Context, name: str, ipc: int) -> Row:
    """The image sets of an entry of `distill`."""
    entry, source = context.settings.distill[name], context.source
    method, seeds = distill.METHODS[entry.method], len(context.settings.protocol.seeds)
    images = ipc * source.num_classes
    networks = tuple(
        programs.teacher_network(context, t) for t in teachers_of_set(entry)
    )
    forward, trained, flops = 0, 0, 0.0
    if "patches" in method.sections(entry) and networks:
        patches = entry.patches
        shown = _candidates(context, entry, ipc) * patches.crops
        forward += shown
        flops += shown * programs.forward_flops(networks[0])
    if method.section == "recover":
        recover, looked = entry.recover, programs.looked_through(entry, networks)
        trained = recover.iterations * images * programs.asked(entry, networks)
        step = programs.synthesis_flops(entry, networks, source.num_classes, ipc)
        flops += recover.iterations * step
        if entry.method == "dwa":  # the climb of the teacher's weights
            climbed = recover.ascent_steps * images
            trained += climbed
            flops += climbed * 3 * programs.forward_flops(networks[0])
        if entry.method in ("lpld", "g_vbsm", "edc"):  # the statistics of real images
            forward += len(context.pool) * len(looked)
            each = sum(map(programs.forward_flops, looked))
            flops += len(context.pool) * each
    sets = min(entry.sets or seeds, seeds)
    return Row(
        f"images, {name}, IPC {ipc}",
        sets * forward,
        sets * trained,
        sets * flops,
        sets * images * math.prod(source.shape),
    )


def _candidates(context: Context, entry, ipc: int) -> int:
    """Images that are cropped for one set, of all classes."""
    patches, counts = entry.patches, np.bincount(context.pool.labels)
    limit = patches.candidates
    if distill.METHODS[entry.method].difficulty:
        limit = min(limit, patches.pool or ipc * patches.factor**2)
    return int(np.minimum(counts, limit).sum())


def _labels(context: Context, regime: str, ipc: int, labelled: set) -> Row:
    """Labels of views that are stored; `labelled` are those that were, by whom."""
    labels, settings = context.labels(regime), context.settings
    station = f"stored labels, {regime}, IPC {ipc}"
    if not labels.codec:
        return Row(station)
    images = ipc * context.source.num_classes
    sets = len(settings.select.methods) + len(settings.distill) + bool(settings.images)
    epochs = labels.pool(ipc) or context.passes(ipc, images)
    stores = sets * len(settings.protocol.seeds)
    # Windows that a search tries, beside the one that it chooses.
    stores += _searched(context) * (len(settings.select.window_starts) - 1)
    count = stores * epochs * images
    asked = context.teachers(regime)
    networks = [programs.teacher_network(context, name) for name in asked]
    once = (asked, epochs) not in labelled  # other codecs copy these labels
    labelled.add((asked, epochs))
    codec = codecs.parse(labels.codec)
    bits = codec.bits_per_label(context.source.num_classes)
    each = sum(map(programs.forward_flops, networks))
    return Row(station, once * count, 0, once * count * each, count * bits / 8)


def _fixed_labels(context: Context) -> Row:
    """One label of each image of the pool and of the made sets."""
    settings, seeds = context.settings, len(context.settings.protocol.seeds)
    classes = context.source.num_classes
    sets = sum(min(entry.sets or seeds, seeds) for entry in settings.distill.values())
    made = (sets + bool(settings.images)) * sum(settings.select.ipcs) * classes
    count = len(context.pool) + made
    each = programs.forward_flops(programs.teacher_network(context, "teacher"))
    return Row("fixed labels", count, 0, count * each, 4 * count * classes)


def _sum(*rows: Row) -> Row:
    values = (dataclasses.astuple(row)[1:] for row in rows)
    return Row("", *map(functools.partial(sum), zip(*values, strict=True)))
