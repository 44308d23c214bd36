"""The pipeline: an experiment as a list of stages, which is built once.

`run` executes it, `ddjax.plan` adds its work up, and a run that resumes finds the
artifacts of its stages in the folder.
"""

from __future__ import annotations

import collections
import os
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ddjax import data, mesh
from ddjax.errors import InputError
from ddjax.observe import Profiler, require_tensorboard
from ddjax.problem import Problem, open_problem
from ddjax.process import console, switches
from ddjax.run import Run
from ddjax.settings import Settings
from ddjax.stages import imports
from ddjax.stages.checks import check, check_devices, check_names
from ddjax.stages.comparison import sets_comparison, subsets_comparison
from ddjax.stages.experts import experts_stage
from ddjax.stages.inputs import inputs_stages
from ddjax.stages.labels import fixed_labels_stage
from ddjax.stages.losses import losses_stage
from ddjax.stages.outputs import replacing
from ddjax.stages.report import report_stage, teachers_report_stage
from ddjax.stages.requirements import (
    experts_of_set,
    required_teachers,
    selection_of,
    trained_regimes,
)
from ddjax.stages.stage import Stage, stages_in
from ddjax.stages.students import students_stage
from ddjax.stages.subsets import subsets_stage
from ddjax.stages.synthetic import (
    READ,
    number_of_images,
    read_stage,
    synthetic_stage,
)
from ddjax.stages.teacher import teacher_stage
from ddjax.stages.tuning import arms_tuning_stage, tuning_stage, windows_stage
from ddjax.workdir import Workdir

if TYPE_CHECKING:
    import pandas as pd

_NOTABLE = 10.0  # seconds; what takes less is not mentioned


def build(problem: Problem, export: str | os.PathLike | None = None) -> list[Stage]:
    """Returns the stages of an experiment, parents before children; the report last.

    Args:
      problem: the problem; its pixels are not read.
      export: a folder that the images of the recommended subset are written to, as
        class folders, see `ddjax.data.write_export`; None: none are.
    """
    stages: list[Stage] = []
    draws = [(draw, _draw(draw, stages)) for draw in problem.draws]
    if problem.settings.regimes:
        stages.append(report_stage(problem, draws, export))
    else:
        stages.append(teachers_report_stage(problem, draws[0][1]["teachers"]))
    return stages


def _draw(problem: Problem, stages: list[Stage]) -> dict[str, Any]:
    """Adds the stages of one draw and returns those that the report needs."""

    def add(*more: Stage) -> Stage:
        stages.extend(more)
        return more[-1]

    settings = problem.settings
    if problem.draw is not None:
        add(Stage(f"draw {problem.draw}", {}, _begin(problem.draw), counts=False))
    teachers = {
        name: add(teacher_stage(problem, name)) for name in required_teachers(problem)
    }
    if not settings.regimes:
        return {"teachers": teachers}
    networks = problem.networks()

    def students_of(
        pool: Stage | None, images: int, regimes: tuple[str, ...]
    ) -> dict[str, Stage]:
        """The students of every network on a pool, with the pool's fixed labels."""
        labels = None
        if "soft" in map(problem.labelled, regimes):
            labels = add(fixed_labels_stage(problem, teachers["teacher"], pool, images))
        return {
            network: add(students_stage(of, pool, teachers, labels))
            for network, of in networks.items()
        }

    trained = trained_regimes(problem)
    students = {"": students_of(None, len(problem.pool), trained)}
    experts: dict[Any, Stage] = {}
    for name, entry in settings.distill.items():
        options = experts_of_set(entry)
        if options is not None and options not in experts:
            section = f"distill.{name}.experts"
            stage = experts_stage(problem, students[""][""], options, section)
            experts[options] = add(stage)
    tunings, comparisons = {}, []
    subsets, sets, inputs, losses = {}, {}, {}, {}
    for ipc in settings.select.ipcs:
        for regime in trained:
            stage = tuning_stage(problem, students[""][""], regime, ipc)
            tunings["", regime, ipc] = add(stage)
        of_budget = {regime: tunings["", regime, ipc] for regime in trained}
        labels = students[""][""].parents["fixed_labels"]
        inputs[ipc] = add(
            *inputs_stages(problem, students[""][""], teachers, of_budget, labels, ipc)
        )
        subsets[ipc] = add(subsets_stage(problem, inputs[ipc], ipc))
        sets[ipc] = {
            name: add(
                synthetic_stage(
                    problem,
                    name,
                    ipc,
                    inputs[ipc],
                    teachers,
                    experts.get(experts_of_set(entry)),
                )
            )
            for name, entry in settings.distill.items()
        }
        if problem.images is not None:
            sets[ipc][READ] = add(read_stage(problem, teachers))
        losses[ipc] = {
            name: add(
                losses_stage(
                    problem,
                    name,
                    ipc,
                    subsets[ipc],
                    sets[ipc],
                    experts.get(experts_of_set(entry)),
                )
            )
            for name, entry in settings.distill.items()
            if entry.losses
        }
        for name, stage in sets[ipc].items():
            images = number_of_images(problem, name, ipc)
            students[name] = students_of(stage, images, settings.regimes)
        for regime in settings.regimes:
            windows = {
                name: add(
                    windows_stage(
                        problem,
                        students[""][""],
                        subsets[ipc],
                        tunings["", regime, ipc],
                        name,
                        regime,
                        ipc,
                    )
                )
                for name in settings.select.methods
                if selection_of(problem, name).searches
            }
            for network, of in networks.items():
                trainer = students[""][network]
                if network:
                    stage = tuning_stage(of, trainer, regime, ipc)
                    tunings[network, regime, ipc] = add(stage)
                tuning = tunings[network, regime, ipc]
                if settings.protocol.tune_each:
                    stage = arms_tuning_stage(
                        of, trainer, subsets[ipc], windows, tuning, regime, ipc
                    )
                    tuning = tunings[network, regime, ipc] = add(stage)
                comparison = subsets_comparison(
                    of,
                    trainer,
                    tuning,
                    inputs[ipc],
                    subsets[ipc],
                    windows,
                    regime,
                    ipc,
                )
                comparisons.append(add(comparison))
                for name, found in sets[ipc].items():
                    comparison = sets_comparison(
                        of, students[name][network], tuning, found, name, regime, ipc
                    )
                    comparisons.append(add(comparison))
    return {
        "teachers": teachers,
        "tunings": tunings,
        "comparisons": comparisons,
        "subsets": subsets,
        "sets": sets,
        "inputs": inputs,
        "losses": losses,
    }


def _begin(seed: int) -> Callable[[Run], None]:
    def make(run: Run) -> None:
        run.draw = f"seed {seed}: "
        run.say(f"seed {seed}: a pool, a validation split and teachers of its own")

    return make


def execute(run: Run, stages: list[Stage]) -> Any:
    """Executes stages in order and returns the last one's result."""
    results: dict[Stage, Any] = {}
    uses = collections.Counter(
        parent for stage in stages for parent in set(stages_in(stage.parents))
    )
    counted = [stage for stage in stages if stage.counts]
    weights = {stage: stage.plan().weight for stage in counted}
    spent, done, begun = 0.0, 0.0, 0
    for stage in stages:
        if stage.counts:
            left = sum(weights[each] for each in counted[begun:])
            begun += 1
            about = _left(spent / done * left) if done else ""
            run.say(f"stage {begun} of {len(counted)}: {stage.name}{about}")
        start, artifacts = time.perf_counter(), len(run.costs)
        results[stage] = stage.execute(run, results)
        for parent in set(stages_in(stage.parents)):
            uses[parent] -= 1
            if not uses[parent]:
                del results[parent]  # and what it holds on the devices
        reused = any(row["reused"] for row in run.costs[artifacts:])
        if stage.counts and weights[stage] and not reused:
            spent += time.perf_counter() - start
            done += weights[stage]
    return results[stages[-1]]


def _left(seconds: float) -> str:
    """Returns in words how long this stage and later ones take, "" if not long."""
    if seconds < _NOTABLE:
        return ""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f" (about {seconds / size:.0f} {unit} left)"
    return f" (about {seconds:.0f} s left)"


def run(
    settings: Settings,
    workdir: str | os.PathLike,
    export: str | os.PathLike | None = None,
) -> pd.DataFrame:
    """Runs an experiment, or what is left of it, and writes its report.

    Args:
      settings: what to do.
      workdir: the folder of artifacts and results; the same settings resume there.
      export: see `build`.

    Returns:
      The summary that is also written as `summary.csv`. Its `attrs["missing"]` names
      the parts of the report that could not be written.

    Raises:
      InputError: the settings, the data or the folder are wrong, before compute; or
        training diverged at every learning rate, or an artifact is damaged.
    """
    switches.check()
    check_names(settings)
    if settings.observe.tensorboard:
        require_tensorboard()
    problem = open_problem(settings)
    for draw in problem.draws:
        check(draw)
    check_devices(problem)
    if export is not None:
        _check_export(problem, workdir, export)
    identity = {"experiment": settings.name, "source": problem.source.digest}
    identity |= switches.identity()
    with Workdir(workdir, identity) as opened, console.kept():
        folder = opened.path if mesh.primary() else None
        profiler = Profiler(folder, settings.observe.profile_steps)
        place = Run(opened, profiler, settings.observe.tensorboard)
        with replacing(place):
            place.say(describe(problem))
            return execute(place, build(problem, export))


def _check_export(
    problem: Problem, workdir: str | os.PathLike, export: str | os.PathLike
) -> None:
    if not problem.settings.regimes:
        raise InputError(
            f"export: found {export}, but a run without regimes selects no images"
        )
    folder = pathlib.Path(export).expanduser().resolve()
    if pathlib.Path(workdir).resolve().is_relative_to(folder):
        raise InputError(
            f"export: found {export}, allowed is a folder that does not hold the "
            f"workdir {workdir}"
        )
    data.check_export(problem.source, folder)


def describe(problem: Problem) -> str:
    """Returns in words what is compared, on which images."""
    settings, source = problem.settings, problem.source
    remarks = (*source.remarks, *imports.remarks(problem), *settings.remarks)
    images = "".join(f"{remark}\n" for remark in remarks) + (
        f"{settings.name}: {source.name}, {len(problem.pool)} training, "
        f"{len(problem.validation)} validation and {len(problem.test)} test images"
    )
    if not settings.regimes:
        return f"{images}; teachers only: {', '.join(required_teachers(problem))}"
    methods, ipcs = settings.select.methods, settings.select.ipcs
    seeds, regimes = settings.protocol.seeds, settings.regimes
    plain = sum(problem.labels(regime).plain for regime in regimes)
    sets = len(settings.distill) + (problem.images is not None)
    count = (len(methods) + sets) * len(regimes) + plain  # full data: plain ones only
    networks = 1 + len(settings.transfer)
    students = count * len(ipcs) * len(seeds) * networks
    crossed = [
        f"{len(methods)} selections",
        f"IPC {', '.join(map(str, ipcs))}",
        ", ".join(regimes),
        f"{len(seeds)} seeds",
    ]
    if sets:
        crossed[0] += f" and {sets} kinds of synthetic sets"
    if networks > 1:
        crossed.append(f"{networks} networks")
    full = ", full data included" if plain else ""
    return f"{images}; {' x '.join(crossed)}: {students} students{full}"
