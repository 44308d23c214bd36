"""The trace: compute-aligned scoring runs of a budget, which serve all scores."""

import pathlib
from typing import Any

import jax
import numpy as np

from ddjax import keys, mesh, scores
from ddjax.artifacts import Artifact, Draft
from ddjax.errors import InputError
from ddjax.losses.softmax import log_softmax
from ddjax.scores import step_kl
from ddjax.scores.trace import label_distance
from ddjax.stations.context import Context
from ddjax.stations.needs import snapshots_needed
from ddjax.stations.students import Students
from ddjax.stations.watching import watching
from ddjax.train import checkpoint, student
from ddjax.train.members import Members

_WEIGHTS = "weights"
_RUN_OFFSET = 1_000_003  # between the seeds of a seed's scoring runs


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


def run_seeds(context: Context) -> list[int]:
    """Returns the seeds of all scoring runs; those of a seed's subsets in a row.

    The first run of a seed has the seed itself, the others seeds far from it.
    """
    runs = context.settings.select.runs
    return [
        (seed + run * _RUN_OFFSET) % 2**31
        for seed in context.settings.protocol.seeds
        for run in range(runs)
    ]


def trace_station(
    context: Context, students: Students, ipc: int, learning_rate: float, regime: str
) -> Artifact:
    """Returns the scoring runs of a budget, `select.runs` of them a seed.

    The student's own recipe on the whole pool, with as many image passes as a student
    may spend, its schedule compressed to that length.

    Args:
      context: the run.
      students: what trains.
      ipc: the budget.
      learning_rate: of the scoring runs.
      regime: their labels, `hard` or `soft`.

    Returns:
      An artifact with the arrays of `scores.Trace`, [R,S,N] for R runs, and the weights
      at the end of every run (`trace_weights`).
    """

    students.choose_driver()
    steps = context.steps(ipc)
    seeds = run_seeds(context)
    batch_size = context.settings.student.batch_size
    least = snapshots_needed(context)
    stops = snapshot_steps(steps, batch_size, len(context.pool), least)
    settings = students.recipe(regime) | {
        "steps": steps,
        "stops": list(stops),
        "seeds": seeds,
        "learning_rate": learning_rate,
    }
    parents = students.parents(regime)
    partial = context.workdir.partial_folder("trace", settings, parents)
    label = f"trace, {regime}, IPC {ipc}"

    def make(folder: pathlib.Path) -> Draft:
        runner = students.runner(regime)
        runner.take_cost()
        members = Members(
            np.array(seeds, np.int32),
            [np.arange(len(context.pool), dtype=np.int32)] * len(seeds),
            students.hparams(regime, steps, np.full(len(seeds), learning_rate)),
        )
        labels = None
        if regime == "soft":
            logits = np.asarray(students.fixed_labels.arrays["logits"])
            labels = np.asarray(log_softmax(logits))

        def measure(states, before):
            pool = context.pool
            seen = runner.ask(observe, states, len(seeds), pool.images, pool.labels)
            now = seen.pop("log_probs")
            if labels is not None:
                seen["el2n_sl"] = label_distance(now, labels)
            # The first snapshot has changed by nothing.
            seen["step_kl"] = step_kl(now, before.get("log_probs", now))
            return seen, {"log_probs": now}

        with watching(context, label, steps * len(seeds), runner) as watch:
            states, records = runner.train(
                members,
                steps,
                stops=stops,
                measure=measure,
                folder=partial,
                checkpoint_seconds=context.settings.sweep.checkpoint_seconds,
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
        info = {"epochs": steps * batch_size / len(context.pool)}
        return Draft(arrays, info, runner.take_cost())

    return context.station("trace", label, settings, parents, make)


def observe(network, variables, images, labels) -> dict[str, jax.Array]:
    """Returns what a trace needs to know of images: [B] each, and log-probs [B,C]."""
    logits, _ = network.apply(variables, images)
    return scores.snapshot(logits, labels) | {"log_probs": log_softmax(logits)}


def trace_of(artifact: Artifact, run: int) -> scores.Trace:
    """Returns the trace of one of an artifact's scoring runs."""
    return scores.Trace(**{name: a[run] for name, a in artifact.arrays.items()})


def trace_weights(context: Context, artifact: Artifact, run: int) -> Any:
    """Returns the student's variables at the end of one of the scoring runs."""
    count = len(artifact.arrays["true_prob"])
    one = jax.eval_shape(context.student_network.init, keys.key(0))
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), one
    )
    weights = checkpoint.load_tree(artifact.path / _WEIGHTS, like)
    return jax.tree.map(lambda leaf: leaf[run], weights)
