"""The trace: compute-aligned scoring runs of a budget, which serve all scores.

Letters: R scoring runs, S snapshots, B images, N of the pool, C classes.
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from ddjax import keys, mesh, scores
from ddjax.artifacts import Artifact, Draft
from ddjax.errors import InputError
from ddjax.losses.softmax import log_softmax
from ddjax.problem import Problem
from ddjax.report.statistics import FULL
from ddjax.run import Run
from ddjax.scores import step_kl
from ddjax.scores.trace import label_distance
from ddjax.stages.rates import Rates
from ddjax.stages.requirements import snapshots_required
from ddjax.stages.stage import Plan, Stage, Stored, Trainings
from ddjax.stages.students import Students, planned_program, training_work
from ddjax.train import checkpoint, student
from ddjax.train.members import Members
from ddjax.train.programs import native, variable_bytes, variables_of

_WEIGHTS = "weights"
_RUN_OFFSET = 1_000_003  # between the seeds of a seed's scoring runs


def trace_stage(
    problem: Problem, students: Stage, tuning: Stage, regime: str, ipc: int
) -> Stage:
    """The stage of a budget's scoring runs, `select.runs` of them a seed.

    The student's own recipe on the whole pool, with as many image passes as a student
    may spend, or with `select.passes`, its schedule compressed or stretched to that
    length. The artifact has the arrays of
    `scores.Trace`, [R,S,N], and the weights at the end of every run (`trace_weights`).

    Args:
      problem: the problem.
      students: of the source's images.
      tuning: of the regime and budget; the full data's rate is taken.
      regime: their labels, `hard` or `soft`.
      ipc: the budget.
    """
    label = f"trace, {regime}, IPC {ipc}"

    def make(run: Run, students: Students, rates: Rates) -> Artifact:
        return _trace(run, students, label, regime, ipc, rates.of(FULL))

    plan = functools.partial(_plan, problem, label, regime, ipc)
    return Stage(label, {"students": students, "rates": tuning}, make, plan)


def _plan(problem: Problem, label: str, regime: str, ipc: int) -> Plan:
    runs, count = len(run_seeds(problem)), len(problem.pool)
    snapshots, steps = len(snapshots_of(problem, ipc)), recorded_steps(problem, ipc)[-1]
    row = f"scoring runs, {regime}, IPC {ipc}"
    work = training_work(
        problem, regime, ipc, runs, row=row, images=snapshots * count, steps=steps
    )
    fields = _fields(problem, regime)
    recorded = runs * snapshots * count * sum(fields.values())
    streamed = problem.settings.data.stream
    training = Trainings(
        row,
        planned_program(problem, regime),
        "loop" if streamed else problem.settings.sweep.driver,
        count=runs,
        members=runs,
        steps=steps,
        images=count,
        whole=runs,
        held=count,
        recorded=recorded,
        predictions=4.0 * runs * count * problem.num_classes,
    )
    weights = runs * variable_bytes(native(problem.student_network))
    holds = f"fields {len(fields)} x [{runs},{snapshots},{count}], weights of the runs"
    return Plan((work,), (training,), (Stored(label, holds, 1, recorded + weights),))


def scoring_steps(problem: Problem, ipc: int) -> int:
    """Returns the steps of the schedule of a budget's scoring runs.

    Raises:
      InputError: `select.passes` are fewer than a student's.
    """
    passes, batch_size = problem.settings.select.passes, _batch_size(problem)
    least = problem.steps(ipc)
    steps = -(-passes // batch_size) or least
    if steps < least:
        raise InputError(
            f"select.passes: found {passes:,}, allowed is 0 or at least the "
            f"{least * batch_size:,} image passes of a student at IPC {ipc}"
        )
    return steps


def recorded_steps(problem: Problem, ipc: int) -> tuple[int, int]:
    """Returns before which step of a scoring run the record begins, and its last."""
    steps, part = scoring_steps(problem, ipc), problem.steps(ipc)
    spans = {"all": (0, steps), "start": (0, part), "end": (steps - part, steps)}
    return spans[problem.settings.select.recorded]


def snapshots_of(problem: Problem, ipc: int) -> tuple[int, ...]:
    """Returns after which steps a budget's scoring runs have snapshots.

    Raises:
      InputError: see `scoring_steps` and `snapshot_steps`.
    """
    before, last = recorded_steps(problem, ipc)
    required = snapshots_required(problem)
    size, count = _batch_size(problem), len(problem.pool)
    return tuple(
        before + step for step in snapshot_steps(last - before, size, count, required)
    )


def _batch_size(problem: Problem) -> int:
    return problem.settings.student.batch_size


def _fields(problem: Problem, regime: str) -> dict[str, int]:
    """Returns what a trace records of an image at a snapshot -> its bytes."""
    network = native(problem.student_network)
    image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
    label = jax.ShapeDtypeStruct((1,), np.int32)
    observed = functools.partial(observe, network)
    seen = jax.eval_shape(observed, variables_of(network), image, label)
    found = {name: leaf.dtype.itemsize for name, leaf in seen.items()}
    del found["log_probs"]
    return found | {"step_kl": 4} | ({"el2n_sl": 4} if regime == "soft" else {})


def snapshot_steps(steps: int, batch_size: int, examples: int, least: int):
    """Returns after which steps of the scoring run a snapshot is taken.

    Once an epoch where the run has at least `least` whole epochs; else `least`
    snapshots evenly spaced within epochs, an extension for small budgets.

    Args:
      steps: steps of the run.
      batch_size: images a step.
      examples: images of the pool.
      least: snapshots that the scores need.

    Returns:
      A tuple of increasing step counts in 1..steps.

    Raises:
      InputError: the run has fewer steps than snapshots.
    """
    epochs = steps * batch_size // examples
    if epochs >= least:
        marks = np.arange(1, epochs + 1) * examples / batch_size
    else:
        marks = np.arange(1, least + 1) * steps / least
    if steps < least:
        raise InputError(
            f"student.epochs: {steps} steps are too few for the {least} snapshots "
            "that the scores of select.methods require"
        )
    return tuple(int(mark) for mark in np.minimum(np.ceil(marks), steps))


def run_seeds(problem: Problem) -> list[int]:
    """Returns the seeds of all scoring runs; those of a seed's subsets in a row.

    The first run of a seed has the seed itself, the others seeds far from it.
    """
    runs = problem.settings.select.runs
    return [
        (seed + run * _RUN_OFFSET) % 2**31
        for seed in problem.seeds
        for run in range(runs)
    ]


def _trace(
    run: Run,
    students: Students,
    label: str,
    regime: str,
    ipc: int,
    learning_rate: float,
) -> Artifact:
    problem = students.problem
    schedule, steps = scoring_steps(problem, ipc), recorded_steps(problem, ipc)[-1]
    seeds = run_seeds(problem)
    stops = snapshots_of(problem, ipc)
    settings = students.recipe(regime) | {
        "schedule": schedule,
        "steps": steps,
        "stops": list(stops),
        "seeds": seeds,
        "learning_rate": learning_rate,
    }
    parents = students.parents(regime)
    partial = run.workdir.partial_folder("trace", settings, parents)

    def make(folder: pathlib.Path) -> Draft:
        runner = students.runner(regime)
        runner.take_cost()
        members = Members(
            np.array(seeds, np.int32),
            [np.arange(len(problem.pool), dtype=np.int32)] * len(seeds),
            students.hparams(regime, schedule, np.full(len(seeds), learning_rate)),
        )
        labels = None
        if regime == "soft":
            logits = np.asarray(students.fixed_labels.arrays["logits"])
            labels = np.asarray(log_softmax(logits))

        def measure(states, before):
            pool = problem.pool
            seen = runner.evaluate(
                observe, states, len(seeds), pool.images, pool.labels
            )
            now = seen.pop("log_probs")
            if labels is not None:
                seen["el2n_sl"] = label_distance(now, labels)
            # The first snapshot has changed by nothing.
            seen["step_kl"] = step_kl(now, before.get("log_probs", now))
            return seen, {"log_probs": now}

        with run.training(label, steps * len(seeds), runner) as watch:
            states, records = runner.train(
                members,
                steps,
                stops=stops,
                measure=measure,
                folder=partial,
                checkpoint_seconds=problem.settings.sweep.checkpoint_seconds,
                watch=watch,
            )
        arrays = {name: np.moveaxis(a, 0, 1) for name, a in records.items()}
        if not np.isfinite(arrays["true_prob"]).all():
            raise InputError(
                f"student.learning_rates: with {learning_rate}, chosen for the full "
                "data, the scoring run diverged; offer smaller ones"
            )
        parts = [student.evaluated_variables(runner.program, part) for part in states]
        weights = jax.tree.map(
            lambda *leaves: np.concatenate(leaves)[: len(seeds)], *mesh.fetch(parts)
        )
        checkpoint.save_tree(folder / _WEIGHTS, weights)
        info = {"epochs": steps * _batch_size(problem) / len(problem.pool)}
        return Draft(arrays, info, runner.take_cost())

    return run.artifact("trace", label, settings, parents, make)


def observe(network, variables, images, labels) -> dict[str, jax.Array]:
    """Returns what a trace records of images: [B] each, and log-probs [B,C]."""
    logits, _ = network.apply(variables, images)
    return scores.snapshot(logits, labels) | {"log_probs": log_softmax(logits)}


def trace_of(artifact: Artifact, run: int) -> scores.Trace:
    """Returns the trace of one of an artifact's scoring runs."""
    return scores.Trace(**{name: a[run] for name, a in artifact.arrays.items()})


def trace_weights(problem: Problem, artifact: Artifact, run: int) -> Any:
    """Returns the student's variables at the end of one of the scoring runs."""
    count = len(artifact.arrays["true_prob"])
    one = jax.eval_shape(problem.student_network.init, keys.key(0))
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), one
    )
    weights = checkpoint.load_tree(artifact.path / _WEIGHTS, like)
    return jax.tree.map(lambda leaf: leaf[run], weights)
