"""The road: source, teacher, trace, subsets, students, results, report."""

import os

import jax
import numpy as np
import pandas as pd

from ddjax import data, mesh, models, select
from ddjax.artifacts import Artifact, Cost, Workdir
from ddjax.errors import InputError
from ddjax.labels import REGIMES, codecs
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import Settings
from ddjax.stations import results
from ddjax.stations.context import Context, open_context
from ddjax.stations.evidence import (
    Evidence,
    asks_teacher,
    gather,
    method_of,
    needs_of,
    scoring_regimes,
    subset_key,
)
from ddjax.stations.imports import imported_features, read_imported
from ddjax.stations.students import Member, Outcome, Students
from ddjax.stations.subsets import judged, search_windows, subset_of, subsets_station
from ddjax.stations.teacher import labels_station, load_teacher, teacher_station
from ddjax.stations.trace import snapshot_steps


def run(settings: Settings, workdir: str | os.PathLike) -> pd.DataFrame:
    """Runs an experiment, or what is left of it, and writes its report.

    Args:
      settings: what to do.
      workdir: the folder of artifacts and results; the same settings resume there.

    Returns:
      The summary that is also written as `summary.csv`.

    Raises:
      InputError: the settings, the data or the folder are wrong; before compute.
    """
    check_names(settings)
    context = open_context(settings)
    check(context)
    identity = {"experiment": settings.name, "source": context.source.digest}
    with Workdir(workdir, identity) as opened:
        context.workdir = opened
        return _travel(context)


def _travel(context: Context) -> pd.DataFrame:
    settings = context.settings
    context.say(_plan(context))
    teachers, fixed_labels = {}, None
    for name in _teachers(context):
        teachers[name] = teacher_station(context, name)
        accuracy = teachers[name].artifact.info["accuracy"]
        context.say(
            f"{name}: {accuracy['validation']:.1f} % on validation, "
            f"{accuracy['test']:.1f} % on test"
        )
    trained = dict.fromkeys((*settings.regimes, *scoring_regimes(context)))
    if any(context.labels(regime).regime == "soft" for regime in trained):
        fixed_labels = labels_station(context, teachers["teacher"])
    students = Students(context, teachers, fixed_labels)
    rows, evidence, subsets, chosen = [], {}, {}, {}
    for ipc in settings.select.ipcs:
        rates = {regime: tune(context, students, regime, ipc) for regime in trained}
        chosen |= {(regime, ipc): found for regime, found in rates.items()}
        whole = {regime: rates[regime][FULL] for regime in scoring_regimes(context)}
        evidence[ipc] = gather(context, students, ipc, whole)
        subsets[ipc] = subsets_station(context, evidence[ipc])
        for regime in settings.regimes:
            rows += _compare(
                context, students, regime, rates[regime], evidence[ipc], subsets[ipc]
            )
    notes = results.learning_rate_notes(chosen, settings.student.learning_rates)
    if settings.protocol.select_on == "test":
        notes.append("Learning rates and windows were chosen on the test split.")
    return results.write(context, rows, subsets, evidence, notes)


def _teachers(context: Context) -> tuple[str, ...]:
    """The teachers that students are taught by or selections ask, each once."""
    names = [n for r in context.settings.regimes for n in context.teachers(r)]
    return tuple(dict.fromkeys(names + ["teacher"] * asks_teacher(context)))


def _compare(
    context: Context,
    students: Students,
    regime: str,
    rates: dict[str, float],
    evidence: Evidence,
    subsets: Artifact,
) -> list[dict]:
    """Trains all methods' students of a regime and budget; one row a student."""
    settings, ipc = context.settings, evidence.ipc
    seeds = settings.protocol.seeds
    members, found = [], {}
    for name in settings.select.methods:
        start, spent = None, Cost()
        method = method_of(context, name)
        if method.searches:
            start, spent = search_windows(
                context, students, subsets, name, regime, ipc, rates[RANDOM]
            )
        picked = Cost(seconds=subsets.info["seconds"][name])
        found[name] = (start, evidence.cost(method.needs) + picked + spent)
        for row, seed in enumerate(seeds):
            positions = subset_of(subsets, name, row, start)
            members.append(Member(name, ipc, seed, rates[RANDOM], positions, start))
    if context.labels(regime).plain:
        whole = np.arange(len(context.pool), dtype=np.int32)
        members += [Member(FULL, ipc, seed, rates[FULL], whole) for seed in seeds]
        found[FULL] = (None, Cost())
    outcomes = students.train("students", regime, members, read_test=True)
    return [
        results.member_row(context, regime, outcome, found[outcome.member.method][1])
        for outcome in outcomes
    ]


def tune(
    context: Context, students: Students, regime: str, ipc: int
) -> dict[str, float]:
    """Chooses the learning rates of a regime and budget on the validation split.

    One rate for all subsets, found on random ones, and one for the full data, which
    stand beside the three plain regimes only.

    Returns:
      {RANDOM: rate, FULL: rate}
    """
    settings = context.settings
    protocol, rates = settings.protocol, settings.student.learning_rates
    methods = (RANDOM, FULL) if context.labels(regime).plain else (RANDOM,)
    if len(rates) == 1:
        return dict.fromkeys(methods, rates[0])
    seeds = protocol.seeds[: protocol.search_seeds]
    whole = np.arange(len(context.pool), dtype=np.int32)
    members = []
    for seed in seeds:
        key = subset_key(seed, ipc)
        positions = select.random(key, context.pool.labels, ipc)
        for rate in rates:
            members.append(Member(RANDOM, ipc, seed, rate, positions))
            if FULL in methods:
                members.append(Member(FULL, ipc, seed, rate, whole))
    outcomes = students.train(
        "tuning", regime, members, read_test=protocol.select_on == "test"
    )
    chosen = {}
    for method in methods:
        means = {rate: _mean(outcomes, method, rate, protocol) for rate in rates}
        best = max(means.values())
        ties = sorted(rate for rate in rates if means[rate] == best)
        chosen[method] = ties[len(ties) // 2]  # the middle of equally good ones
        if not np.isfinite(means[chosen[method]]):
            raise InputError(
                f"student.learning_rates: found {rates}, with all of which training "
                f"diverged ({method}, {regime}, IPC {ipc}); offer smaller ones"
            )
        shown = ", ".join(f"{rate:g}: {value:.1f}" for rate, value in means.items())
        context.say(
            f"learning rate, {regime}, IPC {ipc}, {method}: "
            f"{chosen[method]:g} (of {shown})"
        )
    return chosen


def _mean(outcomes: list[Outcome], method: str, rate: float, protocol) -> float:
    return float(
        np.mean(
            [
                judged(o, protocol)
                for o in outcomes
                if o.member.method == method and o.member.learning_rate == rate
            ]
        )
    )


def _plan(context: Context) -> str:
    settings, source = context.settings, context.source
    methods, ipcs = settings.select.methods, settings.select.ipcs
    plain = sum(context.labels(regime).plain for regime in settings.regimes)
    count = len(methods) * len(settings.regimes) + plain  # full data: plain ones only
    students = count * len(ipcs) * len(settings.protocol.seeds)
    return (
        f"{settings.name}: {source.name}, {len(context.pool)} training, "
        f"{len(context.validation)} validation and {len(context.test)} test images; "
        f"{len(methods)} selections x IPC {', '.join(map(str, ipcs))} x "
        f"{', '.join(settings.regimes)} x {len(settings.protocol.seeds)} seeds: "
        f"{students} students, full data included"
    )


def check_names(settings: Settings) -> None:
    """Checks every name that stands for a piece of code.

    Raises:
      InputError: an unknown source, network, method or regime; lists the known ones.
    """
    data.check_name(settings.data.source)
    known = (
        ("regimes", settings.regimes, tuple(settings.labels)),
        ("augment.cutmix_regimes", settings.augment.cutmix_regimes, REGIMES),
        (
            "select.methods",
            settings.select.methods,
            (*select.METHODS, *settings.select.imported),
        ),
        ("student.network.name", (settings.student.network.name,), models.MODELS),
        ("teacher.network.name", (settings.teacher.network.name,), models.MODELS),
        *(
            (f"committee.{name}.network.name", (teacher.network.name,), models.MODELS)
            for name, teacher in settings.committee.items()
        ),
    )
    for key, names, allowed in known:
        for name in names:
            if name not in allowed:
                raise InputError(
                    f"{key}: found {name!r}, allowed is one of {', '.join(allowed)}"
                )
    if not settings.regimes or len(set(settings.regimes)) < len(settings.regimes):
        raise InputError(
            f"regimes: found {settings.regimes}, allowed is each of "
            f"{', '.join(settings.labels)} at most once and at least one"
        )
    for name in settings.select.imported:
        taken = (*select.METHODS, FULL, "ids")  # the last names an array of artifacts
        if name in taken or not name.isidentifier():
            raise InputError(
                f"select.imported.{name}: found a name that is taken or no file can "
                "have, allowed are letters, digits and _, and not a selection's name"
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
    settings = context.settings
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
    asked = _teachers(context)
    batches = [("student.batch_size", settings.student.batch_size, least)]
    for name in dict.fromkeys(("teacher", *asked)):
        key = "teacher" if name == "teacher" else f"committee.{name}"
        size = context.teacher_settings(name).batch_size
        batches.append((f"{key}.batch_size", size, len(context.pool)))
    for key, found, allowed in batches:
        if found > allowed:
            raise InputError(
                f"{key}: found {found}, allowed is at most the {allowed} images it "
                "trains on"
            )
    _check_selections(context, int(counts.min()))
    for regime in settings.regimes:
        context.recipe(regime)
        codec = context.labels(regime).codec
        if codec:
            codecs.parse(codec).check(context.source.num_classes)
    mesh.check_memory(context.pool.images.nbytes, "data.pool")
    jax.eval_shape(context.student_network.init, jax.random.key(0))
    for name in asked:
        if context.teacher_settings(name).path:
            load_teacher(context, name)
        else:
            jax.eval_shape(context.teacher_network(name).init, jax.random.key(0))


def _check_selections(context: Context, smallest: int) -> None:
    """Checks what selections ask for; `smallest` is the size of the smallest class."""
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
        if settings.features == "teacher" and context.settings.teacher.path:
            network = load_teacher(context).network
        elif settings.features == "teacher":
            network = context.teacher_network("teacher")
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
