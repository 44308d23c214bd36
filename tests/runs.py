"""What tests of whole runs share: compiled programs, and reading a run's folder."""

import contextlib
import functools
import json

import pytest

from ddjax import pipeline
from ddjax.run import Run
from ddjax.stages.inputs import SelectionInputs
from ddjax.stages.labels import fixed_labels_stage
from ddjax.stages.requirements import fixed_labels_required, required_teachers
from ddjax.stages.stage import Stage, stages_in
from ddjax.stages.students import students_stage
from ddjax.stages.subsets import subsets_stage
from ddjax.stages.teacher import teacher_stage
from ddjax.workdir import Workdir

SECONDS = {"train_seconds", "find_seconds"}  # the fields that measure time


def rows_of(folder):
    lines = (folder / "members.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def numbers_of(folder):
    return [
        {name: value for name, value in row.items() if name not in SECONDS}
        for row in rows_of(folder)
    ]


def created(folder):
    """Artifact's name -> when it was finished, to the nanosecond."""
    return {
        path.parent.name: (
            path.stat().st_mtime_ns,
            json.loads(path.read_text())["created"],
        )
        for path in folder.glob("artifacts/*/manifest.json")
    }


@contextlib.contextmanager
def sharing_executables():
    """Lets all runs of a module share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "Run", functools.partial(Run, compiled={}))
        yield


@contextlib.contextmanager
def running(folder, compiled=None):
    """Yields a run whose folder is held open."""
    with Workdir(folder, {"experiment": "test"}) as workdir:
        yield Run(workdir, compiled=compiled)


def known(result, name="known"):
    """A stage whose result is there already."""
    return Stage(name, {}, lambda run: result)


def result(run, stage, results=None):
    """Executes a stage and, first, all that it hangs on."""
    results = {} if results is None else results
    for parent in stages_in(stage.parents):
        if parent not in results:
            result(run, parent, results)
    results[stage] = stage.execute(run, results)
    return results[stage]


def teacher_of(run, problem, name="teacher"):
    return result(run, teacher_stage(problem, name))


def labels_of(run, problem, teacher):
    stage = fixed_labels_stage(problem, known(teacher), None, len(problem.pool))
    return result(run, stage)


def students_of(problem):
    """The stage of students on the source's images, and of what they require."""
    teachers = {
        name: teacher_stage(problem, name) for name in required_teachers(problem)
    }
    labels = None
    if fixed_labels_required(problem):
        count = len(problem.pool)
        labels = fixed_labels_stage(problem, teachers["teacher"], None, count)
    return students_stage(problem, None, teachers, labels)


def subsets_of(run, problem, ipc, inputs=None):
    """The subsets of a budget; without inputs of selections that require none."""
    inputs = inputs or SelectionInputs(problem, ipc, {}, {})
    return result(run, subsets_stage(problem, known(inputs), ipc))
