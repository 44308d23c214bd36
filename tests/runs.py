"""What tests of whole runs share: compiled programs, and reading a run's folder.

What is imported here is imported by every test: nothing of ddjax is.
"""

import contextlib
import functools
import json
import os

import pytest

SECONDS = {"train_seconds", "find_seconds"}  # the fields that measure time
COMPILED = {}  # programs of all runs of this process
_DRAWING = []  # something where figures are drawn


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
def sharing():
    """Lets all runs of a process share what they compile, and wait for nothing else.

    Figures are made but not drawn, unless within `drawing`, and no disk is waited for.
    """
    from ddjax import pipeline, report
    from ddjax.artifacts import write_file
    from ddjax.run import Run
    from ddjax.stages import figures

    class Report:
        def __getattr__(self, name):
            return getattr(report, name)

        def save_png(self, figure, path):
            if _DRAWING:
                report.save_png(figure, path)
            else:
                write_file(path, b"\x89PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "Run", functools.partial(Run, compiled=COMPILED))
        patch.setattr(figures, "report", Report())
        patch.setattr(os, "fsync", lambda file: None)
        yield


@contextlib.contextmanager
def drawing():
    """Lets runs draw their figures."""
    _DRAWING.append(True)
    yield
    _DRAWING.pop()


@contextlib.contextmanager
def running(folder):
    """Yields a run whose folder is held open."""
    from ddjax.run import Run
    from ddjax.workdir import Workdir

    with Workdir(folder, {"experiment": "test"}) as workdir:
        yield Run(workdir, compiled=COMPILED)


def known(result, name="known"):
    """A stage whose result is there already."""
    from ddjax.stages.stage import Stage

    return Stage(name, {}, lambda run: result)


def result(run, stage, results=None):
    """Executes a stage and, first, all that it hangs on."""
    from ddjax.stages.stage import stages_in

    results = {} if results is None else results
    for parent in stages_in(stage.parents):
        if parent not in results:
            result(run, parent, results)
    results[stage] = stage.execute(run, results)
    return results[stage]


def teacher_of(run, problem, name="teacher"):
    from ddjax.stages.teacher import teacher_stage

    return result(run, teacher_stage(problem, name))


def labels_of(run, problem, teacher):
    from ddjax.stages.labels import fixed_labels_stage

    stage = fixed_labels_stage(problem, known(teacher), None, len(problem.pool))
    return result(run, stage)


def students_of(problem):
    """The stage of students on the source's images, and of what they require."""
    from ddjax.stages.labels import fixed_labels_stage
    from ddjax.stages.requirements import required_teachers, trained_regimes
    from ddjax.stages.students import students_stage
    from ddjax.stages.teacher import teacher_stage

    names = required_teachers(problem)
    teachers = {name: teacher_stage(problem, name) for name in names}
    labels = None
    if "soft" in map(problem.labelled, trained_regimes(problem)):
        count = len(problem.pool)
        labels = fixed_labels_stage(problem, teachers["teacher"], None, count)
    return students_stage(problem, None, teachers, labels)


def subsets_of(run, problem, ipc, inputs=None):
    """The subsets of a budget; without inputs of selections that require none."""
    from ddjax.stages.inputs import SelectionInputs
    from ddjax.stages.subsets import subsets_stage

    inputs = inputs or SelectionInputs(problem, ipc, {}, {})
    return result(run, subsets_stage(problem, known(inputs), ipc))
