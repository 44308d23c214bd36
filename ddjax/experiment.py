"""The road: source, teacher, trace, subsets, images, students, results, report."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ddjax import console, data, mesh, switches
from ddjax.artifacts import Artifact, Cost
from ddjax.errors import InputError
from ddjax.observe import Profiler, require_tensorboard
from ddjax.report.statistics import FULL, RANDOM
from ddjax.settings import Settings
from ddjax.stations import estimate, imports, results
from ddjax.stations.alignment import check_images, check_teacher_classes
from ddjax.stations.bundle import Teacher
from ddjax.stations.checks import check, check_devices, check_names
from ddjax.stations.context import Context
from ddjax.stations.evidence import Evidence, gather
from ddjax.stations.fixed_labels import labels_station
from ddjax.stations.images import READ, make_image_sets, read_image_sets
from ddjax.stations.needs import asked_teachers, method_of, scoring_regimes
from ddjax.stations.opening import open_context
from ddjax.stations.students import Member, Students
from ddjax.stations.subsets import search_windows, subset_of, subsets_station
from ddjax.stations.teacher import teacher_station
from ddjax.stations.tuning import tune
from ddjax.stations.written import replacing
from ddjax.workdir import Workdir

if TYPE_CHECKING:
    import pandas as pd


def run(
    settings: Settings,
    workdir: str | os.PathLike,
    export: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Runs an experiment, or what is left of it, and writes its report.

    Args:
      settings: what to do.
      workdir: the folder of artifacts and results; the same settings resume there.
      export: a folder that the images of the recommended subset are written to, as
        class folders, see `ddjax.data.write_export`; None: none are.

    Returns:
      The summary that is also written as `summary.csv`. Its `attrs["missing"]` says
      which parts of the report could not be written.

    Raises:
      InputError: the settings, the data or the folder are wrong; before compute.
    """
    switches.check()
    check_names(settings)
    if settings.observe.tensorboard:
        require_tensorboard()
    context = open_context(settings)
    check(context)
    check_devices(context)
    if export is not None:
        _check_export(context, workdir, export)
    identity = {"experiment": settings.name, "source": context.source.digest}
    identity |= switches.identity()
    with Workdir(workdir, identity) as opened, console.kept():
        context.workdir = opened
        folder = opened.path if mesh.primary() else None
        context.profiler = Profiler(folder, settings.observe.profile_steps)
        with replacing(context):
            if not settings.regimes:
                return _teach(context)
            return _travel(context, export)


def _check_export(
    context: Context, workdir: str | os.PathLike, export: str | os.PathLike
) -> None:
    if not context.settings.regimes:
        raise InputError(
            f"export: found {export}, but a run without regimes selects no images"
        )
    folder = pathlib.Path(export).expanduser().resolve()
    if pathlib.Path(workdir).resolve().is_relative_to(folder):
        raise InputError(
            f"export: found {export}, allowed is a folder that does not hold the "
            f"workdir {workdir}"
        )
    data.check_export(context.source, folder)


def dry_run(settings: Settings) -> pd.DataFrame:
    """Prints what an experiment will do and cost; computes and writes nothing.

    Args:
      settings: what to do; the data need not be there if `ddjax.data.facts` knows them.

    Returns:
      The printed table, see `estimate.table`.

    Raises:
      InputError: the settings are wrong, or nothing is known about the data.
    """
    context = estimate.open_plan(settings)
    print(_plan(context))
    table = estimate.table(estimate.estimate(context))
    print(estimate.text(context, table))
    return table


def _teach(context: Context) -> pd.DataFrame:
    """Trains or reads teachers, and nothing else."""
    context.say(_plan(context))
    teachers, notes = _take_teachers(context)
    return results.write_teachers(context, teachers, notes)


def _take_teachers(context: Context) -> tuple[dict[str, Teacher], list[str]]:
    """Returns the teachers by name, and remarks on what they are worth."""
    teachers, source = {}, context.source
    notes = [*source.remarks, *imports.remarks(context)]
    for name in asked_teachers(context):
        teacher = teachers[name] = teacher_station(context, name)
        accuracy = teacher.accuracy
        context.say(
            f"{name}: {accuracy['validation']:.1f} % on validation, "
            f"{accuracy['test']:.1f} % on test, in "
            f"{console.shown_path(teacher.artifact.path)}"
        )
        notes += check_teacher_classes(context, name, teacher)
        chance = 100 / source.num_classes
        if accuracy["validation"] < 2 * chance:
            notes.append(
                f"{name}: its {accuracy['validation']:.1f} % on validation are little "
                f"more than chance, {chance:.1f} %: is its last layer trained, and are "
                "its classes in the order that it was told?"
            )
        measured = teacher.artifact.info["source"]
        if measured["digest"] != source.digest:
            notes.append(
                f"{name}: its accuracies were measured on {measured['name']}, not on "
                "this source."
            )
    return teachers, notes


def _travel(context: Context, export: str | os.PathLike | None) -> pd.DataFrame:
    settings = context.settings
    context.say(_plan(context))
    teachers, notes = _take_teachers(context)
    trained = dict.fromkeys((*settings.regimes, *scoring_regimes(context)))
    own = _judges(context, teachers, trained)
    rows, evidence, subsets, chosen, sets = [], {}, {}, {}, {}
    if context.images is not None:
        notes += [f"{settings.images}: {note}" for note in context.images.notes]
        notes += check_images(context, teachers)
    for ipc in settings.select.ipcs:
        rates = {regime: tune(own[""], regime, ipc) for regime in trained}
        chosen |= {(regime, ipc): found for regime, found in rates.items()}
        whole = {regime: rates[regime][FULL] for regime in scoring_regimes(context)}
        evidence[ipc] = gather(context, own[""], ipc, whole)
        subsets[ipc] = subsets_station(context, evidence[ipc])
        sets[ipc] = {
            name: make_image_sets(context, name, evidence[ipc], teachers)
            for name in settings.distill
        }
        if context.images is not None:
            sets[ipc][READ] = read_image_sets(context)
        judges = {"": own} | {
            name: _judges(made.context, teachers, settings.regimes)
            for name, made in sets[ipc].items()
        }
        for regime in settings.regimes:
            picks = {
                "": _pick(own[""], regime, rates[regime], evidence[ipc], subsets[ipc])
            } | {
                name: [Pick(name, None, made.positions, made.cost)]
                for name, made in sets[ipc].items()
            }
            rows += _judge(judges, "", regime, ipc, rates[regime], picks)
            for network in settings.transfer:
                students = own[network]
                found = tune(students, regime, ipc)
                more = _judge(judges, network, regime, ipc, found, picks)
                rows += [row | {"network": network} for row in more]
                notes += results.learning_rate_notes(
                    {(regime, ipc): found},
                    students.context.settings.student.learning_rates,
                    network,
                )
    notes += results.learning_rate_notes(chosen, settings.student.learning_rates)
    if settings.protocol.select_on == "test":
        notes.append("Learning rates and windows were chosen on the test split.")
    return results.write(
        context, rows, subsets, sets, evidence, teachers, notes, export
    )


def _judges(
    context: Context, teachers: dict[str, Teacher], regimes: Iterable[str]
) -> dict[str, Students]:
    """Returns the students of a pool, by entry of `transfer`; "": the first network."""
    fixed_labels = None
    if any(context.labels(regime).regime == "soft" for regime in regimes):
        fixed_labels = labels_station(context, teachers["teacher"])
    judges = {"": Students(context, teachers, fixed_labels)}
    for name in context.settings.transfer:
        judges[name] = Students(context.with_student(name), teachers, fixed_labels)
    return judges


class Pick(NamedTuple):
    """What a selection chose for a budget, or a method made for it.

    Attributes:
      method: the selection, the image set, or FULL.
      start: where its window starts, None without one.
      positions: seed -> positions in the pool.
      found: what it cost to find.
    """

    method: str
    start: float | None
    positions: dict[int, np.ndarray]
    found: Cost


def _pick(
    students: Students,
    regime: str,
    rates: dict[str, float],
    evidence: Evidence,
    subsets: Artifact,
) -> list[Pick]:
    """Returns the subsets of a budget, windows chosen with students of a regime."""
    context, ipc = students.context, evidence.ipc
    settings, seeds = context.settings, context.settings.protocol.seeds
    picks = []
    for name in settings.select.methods:
        start, spent = None, Cost()
        method = method_of(context, name)
        if method.searches:
            start, spent = search_windows(
                context, students, subsets, name, regime, ipc, rates[RANDOM]
            )
        picked = Cost(seconds=subsets.info["seconds"][name])
        positions = {
            seed: subset_of(subsets, name, row, start) for row, seed in enumerate(seeds)
        }
        found = evidence.cost(method.needs) + picked + spent
        picks.append(Pick(name, start, positions, found))
    if context.labels(regime).plain:
        whole = np.arange(len(context.pool), dtype=np.int32)
        picks.append(Pick(FULL, None, dict.fromkeys(seeds, whole), Cost()))
    return picks


def _judge(
    judges: dict[str, dict[str, Students]],
    network: str,
    regime: str,
    ipc: int,
    rates: dict[str, float],
    picks: dict[str, list[Pick]],
) -> list[dict]:
    """Trains one network on what was chosen and made; one row a student.

    Args:
      judges: image set, "" for the source's images -> entry of `transfer` -> students.
      network: entry of `transfer`; "": the first network.
      regime: the students' labels.
      ipc: the budget.
      rates: of `tune`.
      picks: image set -> subsets of it.
    """
    rows = []
    for images, picked in picks.items():
        label = f"students of {images}" if images else "students"
        students = judges[images][network]
        rows += _compare(label, students, regime, ipc, rates, picked)
    return rows


def _compare(
    label: str,
    students: Students,
    regime: str,
    ipc: int,
    rates: dict[str, float],
    picks: list[Pick],
) -> list[dict]:
    """Trains all subsets' students of a regime and budget; one row a student."""
    members = [
        Member(
            pick.method,
            ipc,
            seed,
            rates[FULL if pick.method == FULL else RANDOM],
            positions,
            pick.start,
        )
        for pick in picks
        for seed, positions in pick.positions.items()
    ]
    found = {pick.method: pick.found for pick in picks}
    outcomes = students.train(label, regime, members, read_test=True)
    return [
        results.member_row(
            students.context, regime, outcome, found[outcome.member.method]
        )
        for outcome in outcomes
    ]


def _plan(context: Context) -> str:
    settings, source = context.settings, context.source
    remarks = (*source.remarks, *imports.remarks(context), *settings.remarks)
    images = "".join(f"{remark}\n" for remark in remarks) + (
        f"{settings.name}: {source.name}, {len(context.pool)} training, "
        f"{len(context.validation)} validation and {len(context.test)} test images"
    )
    if not settings.regimes:
        return f"{images}; teachers only: {', '.join(asked_teachers(context))}"
    methods, ipcs = settings.select.methods, settings.select.ipcs
    seeds, regimes = settings.protocol.seeds, settings.regimes
    plain = sum(context.labels(regime).plain for regime in regimes)
    made = len(settings.distill) + (context.images is not None)
    compared = len(methods) + made
    count = compared * len(regimes) + plain  # full data: plain ones only
    networks = 1 + len(settings.transfer)
    students = count * len(ipcs) * len(seeds) * networks
    crossed = [
        f"{len(methods)} selections",
        f"IPC {', '.join(map(str, ipcs))}",
        ", ".join(regimes),
        f"{len(seeds)} seeds",
    ]
    if made:
        crossed[0] += f" and {made} kinds of made images"
    if networks > 1:
        crossed.append(f"{networks} judges")
    return f"{images}; {' x '.join(crossed)}: {students} students, full data included"
