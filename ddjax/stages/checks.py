"""What is checked before any compute: settings against names, data and the device."""

import unicodedata
from collections.abc import Collection, Sequence

import jax
import numpy as np

from ddjax import distill, keys, mesh, models, scores, select
from ddjax.declare import walk
from ddjax.errors import InputError, named
from ddjax.labels import codecs
from ddjax.models import Network
from ddjax.problem import Problem, teacher_section
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import Settings
from ddjax.stages.imports import imported_features, read_imported
from ddjax.stages.requirements import (
    required_teachers,
    requirements,
    scoring_regimes,
    selection_of,
)
from ddjax.stages.synthetic import READ, outline_of, start_of
from ddjax.stages.teacher import check_teacher
from ddjax.stages.trace import snapshots_of

# Names of what artifacts hang on, beside teachers.
_PARENTS = ("data", "labels", "stores", "uncompressed")


def check_names(settings: Settings) -> None:
    """Checks every name that stands for a piece of code, or is an entry's own.

    Raises:
      InputError: an unknown source, network, method or regime; lists the known ones.
    """
    own = (*settings.select.imported, *settings.select.variants)
    known: dict[str, Collection[str]] = {
        "selections": (*select.METHODS, *own),
        "variants": select.METHODS,
        "methods": distill.METHODS,
        "networks": models.MODELS,
        "scores": scores.SCORES,
        "regimes": settings.labels,
    }
    walk.check_names(settings, known)
    if settings.student.network.name in settings.transfer:
        raise InputError(
            f"transfer.{settings.student.network.name}: found the name of the "
            "students' network, by which results would be mixed up; choose another one"
        )
    taken = {"teacher", *_PARENTS, *scores.REQUIREMENTS}
    for name in settings.ensemble:
        if name in taken:
            raise InputError(
                f"ensemble.{name}: found a name that is taken, allowed is none of "
                f"{', '.join(sorted(taken))}"
            )
    for name in settings.distill:
        taken = (*select.METHODS, *own, FULL, READ)
        if name in taken:
            raise InputError(
                f"distill.{name}: found a name that is taken, allowed is none of a "
                "selection's"
            )
    for kind, names in (
        ("imported", settings.select.imported),
        ("variants", settings.select.variants),
    ):
        # "ids" names an array of artifacts.
        taken = {*select.METHODS, *scores.SCORES, FULL, "ids"}
        if kind == "variants":
            taken.update(settings.select.imported)
        for name in taken.intersection(names):
            raise InputError(
                f"select.{kind}.{name}: found a name that is taken, allowed is none "
                "of a selection's or score's"
            )
    if RANDOM not in settings.select.methods:
        raise InputError(
            f"select.methods: found {settings.select.methods}, which lacks "
            f"{RANDOM!r}, the selection that all others are compared with"
        )


def check(problem: Problem) -> None:
    """Checks the settings against the data and the device, before any compute.

    Raises:
      InputError: see the message; nothing has been written.
    """
    check_classes(problem.source.classes)
    settings, names = problem.settings, required_teachers(problem)
    networks = {name: check_teacher(problem, name) for name in names}
    for name in dict.fromkeys(("teacher", *names)):
        teacher, section = problem.teacher_settings(name), teacher_section(name)
        if not teacher.path:
            key = f"{section}.batch_size"
            _check_batch(key, teacher.batch_size, len(problem.pool))
    if not settings.regimes:
        return
    counts = np.bincount(problem.pool.labels, minlength=problem.num_classes)
    smallest = int(counts.argmin())
    for ipc in settings.select.ipcs:
        if ipc > counts[smallest]:
            raise InputError(
                f"select.ipcs: found {ipc}, but class "
                f"{problem.source.classes[smallest]!r} has {counts[smallest]} training "
                "images after the validation split"
            )
    least = min(settings.select.ipcs) * problem.num_classes
    _check_batch("student.batch_size", settings.student.batch_size, least)
    for name, other in settings.transfer.items():
        _check_batch(f"transfer.{name}.batch_size", other.batch_size, least)
    _check_selections(problem, networks, int(counts.min()))
    for name, entry in settings.distill.items():
        outline = outline_of(problem, name, start_of(problem, name))
        method, key = distill.METHODS[entry.method], f"distill.{name}"
        method.check(outline, entry, key, settings.select.ipcs)
    for regime in settings.regimes:
        problem.recipe(regime)
        codec = problem.labels(regime).codec
        if codec:
            with named("", codec=f"labels.{regime}.codec"):
                codecs.parse(codec).check(problem.num_classes)
    for other in problem.networks().values():
        jax.eval_shape(other.student_network.init, keys.key(0))


def check_classes(classes: Sequence[str]) -> None:
    """Checks that the names of classes can be printed and written.

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


def check_devices(problem: Problem) -> None:
    """Checks the settings against the devices that are there.

    Raises:
      InputError: training images do not fit, or a batch cannot be divided as set.
    """
    settings = problem.settings
    if not problem.streams:
        each = problem.pool.images.nbytes // max(1, settings.mesh.data)
        mesh.check_memory(each, "data.pool")
    teachers = map(problem.teacher_settings, required_teachers(problem))
    sizes = [teacher.batch_size for teacher in teachers if not teacher.path]
    if settings.regimes:
        others = problem.networks().values()
        sizes += [other.settings.student.batch_size for other in others]
    for size in sizes:
        mesh.grid(size, settings.mesh.data)


def _check_batch(key: str, found: int, allowed: int) -> None:
    if found > allowed:
        raise InputError(
            f"{key}: found {found}, allowed is at most the {allowed} images it "
            "trains on"
        )


def _check_selections(
    problem: Problem, networks: dict[str, Network], smallest: int
) -> None:
    """Checks what selections require.

    Args:
      problem: the problem.
      networks: of the teachers that are required.
      smallest: images of the smallest class.
    """
    settings = problem.settings.select
    for regime in scoring_regimes(problem):
        labels = problem.settings.labels.get(regime)
        if labels is None or labels.regime != regime:
            raise InputError(
                f"labels.{regime}: found {labels}, allowed is the plain regime, with "
                "which scoring runs are trained"
            )
    if scoring_regimes(problem):
        for ipc in settings.ipcs:
            snapshots_of(problem, ipc)
    for method in (selection_of(problem, name) for name in settings.methods):
        if method.check:
            given = (*method.own, *settings.options())
            options = scores.options_of(given, method.options)
            method.check(options, settings.ipcs, smallest)
    if "features" in requirements(problem):
        network = problem.student_network
        if settings.features == "teacher":
            network = networks["teacher"]
        if settings.layer and settings.layer not in network.layers:
            raise InputError(
                f"select.layer: found {settings.layer!r}, allowed is one of "
                f"{', '.join(network.layers)}"
            )
    if settings.features.endswith(".npy"):
        imported_features(problem)
    for name in settings.methods:
        if name in settings.imported:
            for ipc in settings.ipcs:
                for seed in problem.seeds:
                    read_imported(problem, name, ipc, seed)
