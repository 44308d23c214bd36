"""What a run leaves on disk, before compression and without manifests and figures.

Letters: R scoring runs, S snapshots, N images of the pool, M of validation, n of a
subset, C classes, D features.
"""

import dataclasses
import functools
import math

import jax
import numpy as np

from ddjax.labels import codecs
from ddjax.stations import programs, sweeps
from ddjax.stations.context import Context
from ddjax.stations.memory import state_bytes, variable_bytes
from ddjax.stations.needs import (
    asked_teachers,
    method_of,
    needs_of,
    scoring_regimes,
    snapshots_needed,
)
from ddjax.stations.trace import observe, run_seeds, snapshot_steps
from ddjax.train import programs as train_programs
from ddjax.train import student


@dataclasses.dataclass(frozen=True)
class Stored:
    """Artifacts of one kind.

    Attributes:
      name: which.
      holds: their arrays, in words and letters.
      bytes: of all of them, before compression.
    """

    name: str
    holds: str
    bytes: float


def storage(context: Context) -> list[Stored]:
    """Returns what the stations of a run leave on disk, in the order of the road.

    Args:
      context: of `estimate.open_plan`.
    """
    settings = context.settings
    found = [_teacher(context, name) for name in asked_teachers(context)]
    for ipc in settings.select.ipcs if settings.regimes else ():
        found += [_trace(context, regime, ipc) for regime in scoring_regimes(context)]
        found += _views_of_the_pool(context, ipc)
        found.append(_subsets(context, ipc))
        found += [_made(context, name, ipc) for name in settings.distill]
        uncompressed = set()
        for regime in settings.regimes:
            if context.labels(regime).codec:
                found += _labels(context, regime, ipc, uncompressed)
            found.append(_students(context, regime, ipc))
    asked = {*settings.regimes, *scoring_regimes(context)} if settings.regimes else ()
    if any(context.labels(regime).regime == "soft" for regime in asked):
        found.append(_fixed_labels(context))
    return [each for each in found if each.bytes]


def checkpoint(context: Context) -> tuple[str, float]:
    """Returns the sweep with the largest checkpoint, and its bytes on disk.

    The newest one replaces the one before once it is there: for a moment there are two.
    """
    found = {"": 0.0}
    for sweep in sweeps.sweeps(context):
        size = sweep.members * state_bytes(sweep.program)
        if sweep.name.startswith("scoring"):
            _, regime, ipc = sweep.name.split(", ")
            size += _records(context, regime, int(ipc.removeprefix("IPC ")))
            size += observed(context)
        found[sweep.name] = 2.0 * size
    return max(found.items(), key=lambda item: item[1])


def observed(context: Context) -> int:
    """Bytes of what the scoring runs said at a snapshot, [R,N,C] float32."""
    classes = context.source.num_classes
    return 4 * len(run_seeds(context)) * len(context.pool) * classes


def labels_stored(context: Context, regime: str, ipc: int) -> int:
    """Labels of views that a codec's stores hold."""
    labels, settings = context.labels(regime), context.settings
    images = ipc * context.source.num_classes
    sets = len(settings.select.methods) + len(settings.distill) + bool(settings.images)
    stores = sets * len(settings.protocol.seeds)
    # Windows that a search tries, beside the one that it chooses.
    stores += sum(sweeps.tried(context)) - sweeps.searched(context)
    return stores * (labels.pool(ipc) or context.passes(ipc, images)) * images


def image_sets(context: Context, name: str) -> int:
    """Sets that an entry of `distill` makes of a budget: one a seed at most."""
    seeds = len(context.settings.protocol.seeds)
    return min(context.settings.distill[name].sets or seeds, seeds)


def fixed_labels(context: Context) -> int:
    """Images that have a fixed label: those of the pool and of the made sets."""
    settings = context.settings
    sets = sum(image_sets(context, name) for name in settings.distill)
    made = (sets + bool(settings.images)) * sum(settings.select.ipcs)
    return len(context.pool) + made * context.source.num_classes


def _teacher(context: Context, name: str) -> Stored:
    settings = context.teacher_settings(name)
    bundle = settings.path and not settings.is_file
    kept = 1 + (0 if settings.path else len(settings.snapshots))
    each = 0 if bundle else variable_bytes(programs.teacher_network(context, name))
    return Stored(name, f"weights {kept} x [{each // 4}]", kept * each)


def _records(context: Context, regime: str, ipc: int) -> int:
    """Bytes of the fields of all scoring runs, [R,S,N] each."""
    settings, count = context.settings, len(context.pool)
    stops = snapshot_steps(
        context.steps(ipc),
        settings.student.batch_size,
        count,
        snapshots_needed(context),
    )
    each = sum(size for _, size in _fields(context, regime))
    return len(run_seeds(context)) * len(stops) * count * each


def _fields(context: Context, regime: str) -> list[tuple[str, int]]:
    """Names and bytes of what a trace records of an image at a snapshot."""
    network = train_programs.native(context.student_network)
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    label = jax.ShapeDtypeStruct((1,), np.int32)
    seen = jax.eval_shape(
        functools.partial(observe, network),
        train_programs.variables_of(network),
        image,
        label,
    )
    del seen["log_probs"]
    found = [(name, leaf.dtype.itemsize) for name, leaf in seen.items()]
    return [*found, ("step_kl", 4)] + [("el2n_sl", 4)] * (regime == "soft")


def _trace(context: Context, regime: str, ipc: int) -> Stored:
    runs, count = len(run_seeds(context)), len(context.pool)
    records, fields = _records(context, regime, ipc), _fields(context, regime)
    snapshots = records // (runs * count * sum(size for _, size in fields))
    weights = runs * variable_bytes(train_programs.native(context.student_network))
    return Stored(
        f"trace, {regime}, IPC {ipc}",
        f"fields {len(fields)} x [{runs},{snapshots},{count}], weights of the runs",
        records + weights,
    )


def _views_of_the_pool(context: Context, ipc: int) -> list[Stored]:
    """Features, last-layer gradients and GraNd: float32 of each image and seed."""
    settings, needs = context.settings, needs_of(context)
    seeds, count = len(settings.protocol.seeds), len(context.pool)
    by_trace = settings.select.features == "trace" and "features" in needs
    usual = by_trace and not settings.select.layer
    found = []
    if "gradients" in needs or usual:
        both = _features(context, "student") + context.source.num_classes
        total = count + len(context.validation)
        name = f"last layer, IPC {ipc}"
        found.append(
            Stored(name, f"[{seeds},{total},{both}]", 4 * seeds * total * both)
        )
    if by_trace and not usual:
        width = _features(context, "student")
        size = 4 * seeds * count * width
        found.append(Stored(f"features, IPC {ipc}", f"[{seeds},{count},{width}]", size))
    first = ipc == settings.select.ipcs[0]  # the teacher's serve all budgets
    if settings.select.features == "teacher" and "features" in needs and first:
        width = _features(context, "teacher")
        size = 4 * count * width
        found.append(Stored("features, teacher", f"[1,{count},{width}]", size))
    if "grand" in needs:
        found.append(
            Stored(f"GraNd, IPC {ipc}", f"[{seeds},{count}]", 4 * seeds * count)
        )
    return found


def _features(context: Context, whose: str) -> int:
    """D, the length of a feature."""
    network = train_programs.native(context.student_network)
    if whose == "teacher":
        network = programs.teacher_network(context, whose)
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    layer = context.settings.select.layer
    seen = jax.eval_shape(
        lambda variables, image: network.features(variables, image, layer),
        train_programs.variables_of(network),
        image,
    )
    return seen.shape[-1]


def _subsets(context: Context, ipc: int) -> Stored:
    settings, count = context.settings, len(context.pool)
    seeds, images = len(settings.protocol.seeds), ipc * context.source.num_classes
    methods = [method_of(context, name) for name in settings.select.methods]
    options = settings.select.options()
    subsets = sum(len(method.tried(options)) or 1 for method in methods)
    scores = len({method.score for method in methods if method.score})
    size = 4 * (seeds * (subsets * images + scores * count) + count)
    holds = f"subsets {subsets} x [{seeds},{images}]"
    holds += f", scores {scores} x [{seeds},{count}]" if scores else ""
    return Stored(f"subsets, IPC {ipc}", holds, size)


def _made(context: Context, name: str, ipc: int) -> Stored:
    sets, images = image_sets(context, name), ipc * context.source.num_classes
    shape = "x".join(map(str, context.source.shape))
    size = sets * images * math.prod(context.source.shape)
    return Stored(f"images, {name}, IPC {ipc}", f"{sets} x {images} of {shape}", size)


def _labels(context: Context, regime: str, ipc: int, uncompressed: set) -> list[Stored]:
    """The stores of a regime, and float32 ones that several codecs are made from.

    Args:
      context: the run.
      regime: whose labels have a codec.
      ipc: the budget.
      uncompressed: teachers and number of labels that have a float32 store already.
    """
    classes, asked = context.source.num_classes, context.teachers(regime)
    count = labels_stored(context, regime, ipc)
    used = {
        context.labels(name).codec
        for name in context.settings.regimes
        if context.teachers(name) == asked and context.labels(name).codec
    }
    found, key = [], (asked, count)
    if len(used) > 1 and "fp32" not in used and key not in uncompressed:
        uncompressed.add(key)
        name = f"labels, uncompressed, IPC {ipc}"
        found.append(Stored(name, f"{count} labels, fp32", 4.0 * count * classes))
    codec = context.labels(regime).codec
    size = count * codecs.parse(codec).bits_per_label(classes) / 8
    name = f"stored labels, {regime}, IPC {ipc}"
    return [*found, Stored(name, f"{count} labels, {codec}", size)]


def _students(context: Context, regime: str, ipc: int) -> Stored:
    students = sum(
        sweep.trainings
        for judge in sweeps.judges(context)
        for sweep in [sweeps.students(judge, regime, ipc)]
    )
    # A curve of losses, accuracies and losses of two splits, and the curves asked for.
    each = 4 * student.CURVE_POINTS + 4 * 8 + 2 * 4 * context.settings.protocol.curves
    name = f"students, {regime}, IPC {ipc}"
    holds = f"curves {students} x [{student.CURVE_POINTS}]"
    return Stored(name, holds, students * each)


def _fixed_labels(context: Context) -> Stored:
    count, classes = fixed_labels(context), context.source.num_classes
    return Stored("fixed labels", f"[{count},{classes}]", 4.0 * count * classes)
