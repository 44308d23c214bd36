"""The trace: one compute-aligned scoring run a budget, which serves all scores."""

import pathlib

import numpy as np

from ddjax import scores, select
from ddjax.artifacts import Artifact, Draft
from ddjax.errors import InputError
from ddjax.settings import Select
from ddjax.stations.context import Context, progress_bar
from ddjax.stations.students import Students, inspect
from ddjax.train.members import Members


def select_settings(settings: Select) -> select.Settings:
    """Returns the readings of the literature as the selections take them."""
    return select.Settings(
        cad_span=settings.cad_span or None,
        cad_windows=settings.cad_windows,
        cad_quantity=settings.cad_quantity,
        cad_keep=settings.cad_keep,
        never_learned=settings.never_learned,
    )


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
            "that select.cad_span and select.cad_windows need"
        )
    return tuple(int(mark) for mark in np.minimum(np.ceil(marks), steps))


def trace_station(
    context: Context, students: Students, ipc: int, learning_rate: float
) -> Artifact:
    """Returns the scoring runs of a budget, one a seed.

    The student's own recipe on the whole pool with hard labels, with as many image
    passes as a student may spend, its schedule compressed to that length.

    Args:
      context: the run.
      students: what trains.
      ipc: the budget.
      learning_rate: of the scoring run.

    Returns:
      An artifact with the arrays of `scores.Trace`, [R,S,N] for R seeds, and
      `features` [R,N,D], the last layer's inputs at the last snapshot.
    """
    steps = context.steps(ipc)
    seeds = context.settings.protocol.seeds
    batch_size = context.settings.student.batch_size
    readings = select_settings(context.settings.select)
    stops = snapshot_steps(
        steps, batch_size, len(context.pool), select.snapshots_needed(readings)
    )
    settings = students.recipe("hard") | {
        "steps": steps,
        "stops": list(stops),
        "seeds": list(seeds),
        "learning_rate": learning_rate,
    }
    parents = students.parents("hard")
    partial = context.workdir.partial_folder("trace", settings, parents)

    def make(folder: pathlib.Path) -> Draft:
        del folder
        runner = students.runner("hard")
        runner.take_cost()
        members = Members(
            np.array(seeds, np.int32),
            [np.arange(len(context.pool), dtype=np.int32)] * len(seeds),
            students.hparams("hard", steps, np.full(len(seeds), learning_rate)),
        )

        last = {}

        def measure(states):
            pool = context.pool
            seen = runner.ask(inspect, states, len(seeds), pool.images, pool.labels)
            last["features"] = seen.pop("features")
            return seen

        with progress_bar(f"trace, IPC {ipc}", steps * len(seeds)) as bar:
            _, records = runner.train(
                members,
                steps,
                stops=stops,
                measure=measure,
                folder=partial,
                checkpoint_seconds=context.settings.sweep.checkpoint_seconds,
                progress=bar.update,
            )
        arrays = {name: np.moveaxis(a, 0, 1) for name, a in records.items()} | last
        if not np.isfinite(arrays["true_prob"]).all():
            raise InputError(
                f"student.learning_rates: with {learning_rate}, chosen for the full "
                "data, the scoring run diverged; offer smaller ones"
            )
        info = {"epochs": steps * batch_size / len(context.pool)}
        return Draft(arrays, info, runner.take_cost())

    return context.station("trace", f"trace, IPC {ipc}", settings, parents, make)


def trace_of(artifact: Artifact, row: int) -> scores.Trace:
    """Returns the trace of one of an artifact's scoring runs."""
    fields = ("true_prob", "el2n", "margin", "correct", "entropy")
    return scores.Trace(**{name: artifact.arrays[name][row] for name in fields})
