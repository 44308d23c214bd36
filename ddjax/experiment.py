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
from ddjax.stations.students import Member, Outcome, Students
from ddjax.stations.subsets import (
    judged,
    search_windows,
    subset_key,
    subset_of,
    subsets_station,
)
from ddjax.stations.teacher import labels_station, load_teacher, teacher_station
from ddjax.stations.trace import select_settings, snapshot_steps, trace_station


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
    for regime in settings.regimes:
        for name in context.teachers(regime):
            if name not in teachers:
                teachers[name] = teacher_station(context, name)
                accuracy = teachers[name].artifact.info["accuracy"]
                context.say(
                    f"{name}: {accuracy['validation']:.1f} % on validation, "
                    f"{accuracy['test']:.1f} % on test"
                )
        if context.labels(regime).regime == "soft" and fixed_labels is None:
            fixed_labels = labels_station(context, teachers["teacher"])
    students = Students(context, teachers, fixed_labels)
    rows, subsets, traces, chosen = [], {}, {}, {}
    tuned = dict.fromkeys((*settings.regimes, *(["hard"] if _traces(settings) else [])))
    for ipc in settings.select.ipcs:
        rates = {regime: tune(context, students, regime, ipc) for regime in tuned}
        chosen |= {(regime, ipc): found for regime, found in rates.items()}
        traces[ipc] = None
        if _traces(settings):
            traces[ipc] = trace_station(context, students, ipc, rates["hard"][FULL])
        subsets[ipc] = subsets_station(context, ipc, traces[ipc])
        for regime in settings.regimes:
            rows += _compare(
                context, students, regime, ipc, rates[regime], traces[ipc], subsets[ipc]
            )
    notes = results.learning_rate_notes(chosen, settings.student.learning_rates)
    if settings.protocol.select_on == "test":
        notes.append("Learning rates and windows were chosen on the test split.")
    return results.write(context, rows, subsets, traces, notes)


def _compare(context, students, regime, ipc, rates, trace, subsets) -> list[dict]:
    """Trains all methods' students of a regime and budget; one row a student."""
    settings = context.settings
    seeds = settings.protocol.seeds
    members, found = [], {}
    for name in settings.select.methods:
        start, spent = None, Cost()
        if select.METHODS[name].searches:
            start, spent = search_windows(
                context, students, subsets, name, regime, ipc, rates[RANDOM]
            )
        found[name] = (start, spent + _cost_to_find(name, trace, subsets, len(seeds)))
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


def _cost_to_find(name: str, trace: Artifact | None, subsets, runs: int) -> Cost:
    """What one subset of a method cost to find: its share of the trace, its picking."""
    method = select.METHODS[name]
    cost = Cost(seconds=subsets.info["seconds"][name])
    if method.needs_trace or method.needs_features:
        cost += Cost(
            seconds=trace.cost.seconds / runs,
            forward_passes=trace.cost.forward_passes // runs,
            train_passes=trace.cost.train_passes // runs,
        )
    return cost


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


def _traces(settings: Settings) -> bool:
    methods = [select.METHODS[name] for name in settings.select.methods]
    return any(method.needs_trace or method.needs_features for method in methods)


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
        ("select.methods", settings.select.methods, tuple(select.METHODS)),
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
    asked = dict.fromkeys(n for r in settings.regimes for n in context.teachers(r))
    batches = [("student.batch_size", settings.student.batch_size, least)]
    for name in {"teacher": None} | asked:
        key = "teacher" if name == "teacher" else f"committee.{name}"
        size = context.teacher_settings(name).batch_size
        batches.append((f"{key}.batch_size", size, len(context.pool)))
    for key, found, allowed in batches:
        if found > allowed:
            raise InputError(
                f"{key}: found {found}, allowed is at most the {allowed} images it "
                "trains on"
            )
    readings = select_settings(settings.select)
    if _traces(settings):
        for ipc in settings.select.ipcs:
            snapshot_steps(
                context.steps(ipc),
                settings.student.batch_size,
                len(context.pool),
                select.snapshots_needed(readings),
            )
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
