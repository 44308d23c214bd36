"""What is checked before any compute: settings against names, data and the device."""

import unicodedata
from collections.abc import Sequence

import jax
import numpy as np

from ddjax import catalogue, distill, keys, mesh, select
from ddjax.errors import InputError, named
from ddjax.labels import codecs
from ddjax.models import Network
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import Settings
from ddjax.stations import programs
from ddjax.stations.bundle import section_of
from ddjax.stations.context import Context
from ddjax.stations.images import READ, start_of
from ddjax.stations.imports import imported_features, read_imported
from ddjax.stations.needs import asked_teachers, needs_of, scoring_regimes
from ddjax.stations.teacher import check_teacher
from ddjax.stations.trace import snapshot_steps


def check_names(settings: Settings) -> None:
    """Checks every name that stands for a piece of code, or is an entry's own.

    Raises:
      InputError: an unknown source, network, method or regime; lists the known ones.
    """
    catalogue.check_names(settings)
    if settings.student.network.name in settings.transfer:
        raise InputError(
            f"transfer.{settings.student.network.name}: found the name of the "
            "students' network, by which results would be mixed up; choose another one"
        )
    for name in settings.distill:
        taken = (*select.METHODS, *settings.select.imported, FULL, READ)
        if name in taken:
            raise InputError(
                f"distill.{name}: found a name that is taken, allowed is none of a "
                "selection's"
            )
    for name in settings.select.imported:
        taken = (*select.METHODS, FULL, "ids")  # the last names an array of artifacts
        if name in taken:
            raise InputError(
                f"select.imported.{name}: found a name that is taken, allowed is none "
                "of a selection's"
            )
    if RANDOM not in settings.select.methods:
        raise InputError(
            f"select.methods: found {settings.select.methods}, which lacks "
            f"{RANDOM!r}, the selection that all others are compared with"
        )


def check(context: Context) -> None:
    """Checks the settings against the data and the device, before any compute.

    Raises:
      InputError: see the message; nothing has been written.
    """
    check_classes(context.source.classes)
    settings, asked = context.settings, asked_teachers(context)
    networks = {name: check_teacher(context, name) for name in asked}
    for name in dict.fromkeys(("teacher", *asked)):
        teacher, section = context.teacher_settings(name), section_of(name)
        if not teacher.path:
            key = f"{section}.batch_size"
            _check_batch(key, teacher.batch_size, len(context.pool))
    if not settings.regimes:
        return
    counts = np.bincount(context.pool.labels, minlength=context.source.num_classes)
    smallest = int(counts.argmin())
    for ipc in settings.select.ipcs:
        if ipc > counts[smallest]:
            raise InputError(
                f"select.ipcs: found {ipc}, but class "
                f"{context.source.classes[smallest]!r} has {counts[smallest]} training "
                "images after the validation split"
            )
    least = min(settings.select.ipcs) * context.source.num_classes
    _check_batch("student.batch_size", settings.student.batch_size, least)
    for name, other in settings.transfer.items():
        _check_batch(f"transfer.{name}.batch_size", other.batch_size, least)
    _check_selections(context, networks, int(counts.min()))
    for name, entry in settings.distill.items():
        outline = programs.outline(context, entry, start_of(context, name))
        method, key = distill.METHODS[entry.method], f"distill.{name}"
        method.check(outline, entry, key, settings.select.ipcs)
    for regime in settings.regimes:
        context.recipe(regime)
        codec = context.labels(regime).codec
        if codec:
            with named("", codec=f"labels.{regime}.codec"):
                codecs.parse(codec).check(context.source.num_classes)
    for judge in (context, *map(context.with_student, settings.transfer)):
        jax.eval_shape(judge.student_network.init, keys.key(0))


def check_classes(classes: Sequence[str]) -> None:
    """Checks that the names of classes can be shown and written.

    Raises:
      InputError: one is no text, or has characters that end lines or steer terminals.
    """
    for name in classes:
        odd = [c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
        if odd or not name:
            why = f"with {ascii(odd[0])}, which is no text" if odd else "of no letter"
            raise InputError(
                f"data.source: found the class {ascii(name)} {why}, allowed are names "
                "of printable characters in UTF-8; rename it"
            )


def check_devices(context: Context) -> None:
    """Checks the settings against the devices that are there.

    Raises:
      InputError: training images do not fit, or a batch cannot be shared as asked.
    """
    settings = context.settings
    if not context.streams:
        each = context.pool.images.nbytes // max(1, settings.mesh.data)
        mesh.check_memory(each, "data.pool")
    teachers = map(context.teacher_settings, asked_teachers(context))
    sizes = [teacher.batch_size for teacher in teachers if not teacher.path]
    if settings.regimes:
        judges = [context, *map(context.with_student, settings.transfer)]
        sizes += [judge.settings.student.batch_size for judge in judges]
    for size in sizes:
        mesh.grid(size, settings.mesh.data)


def _check_batch(key: str, found: int, allowed: int) -> None:
    if found > allowed:
        raise InputError(
            f"{key}: found {found}, allowed is at most the {allowed} images it "
            "trains on"
        )


def _check_selections(
    context: Context, networks: dict[str, Network], smallest: int
) -> None:
    """Checks what selections ask for.

    Args:
      context: the run.
      networks: of the teachers that are asked.
      smallest: images of the smallest class.
    """
    settings = context.settings.select
    for regime in scoring_regimes(context):
        labels = context.settings.labels.get(regime)
        if labels is None or labels.regime != regime:
            raise InputError(
                f"labels.{regime}: found {labels}, allowed is the plain regime, with "
                "which scoring runs are trained"
            )
    if scoring_regimes(context):
        for ipc in settings.ipcs:
            snapshot_steps(
                context.steps(ipc),
                context.settings.student.batch_size,
                len(context.pool),
                select.snapshots_needed(settings),
            )
    kept = smallest - int(settings.drop_hardest * smallest)
    if "d2" in settings.methods:
        if settings.neighbors >= kept:
            raise InputError(
                f"select.neighbors: found {settings.neighbors}, allowed is less than "
                f"the {kept} images that the smallest class keeps after "
                "select.drop_hardest"
            )
        if max(settings.ipcs) > kept:
            raise InputError(
                f"select.drop_hardest: found {settings.drop_hardest}, which leaves "
                f"{kept} images of the smallest class to d2, allowed is what leaves "
                f"the {max(settings.ipcs)} of select.ipcs"
            )
    if "features" in needs_of(context):
        network = context.student_network
        if settings.features == "teacher":
            network = networks["teacher"]
        if settings.layer and settings.layer not in network.layers:
            raise InputError(
                f"select.layer: found {settings.layer!r}, allowed is one of "
                f"{', '.join(network.layers)}"
            )
    if settings.features.endswith(".npy"):
        imported_features(context)
    for name in settings.methods:
        if name in settings.imported:
            for ipc in settings.ipcs:
                for seed in context.settings.protocol.seeds:
                    read_imported(context, name, ipc, seed)
