"""The figures of a run, and in which order the report shows them."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax import report, select
from ddjax.artifacts import Artifact
from ddjax.report.statistics import RANDOM
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.embeddings import REAL, embeddings_station
from ddjax.stations.evidence import Evidence
from ddjax.stations.images import READ, ImageSets
from ddjax.stations.subsets import chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 2  # images of a class that a contact sheet has
_FEW = 12  # up to so many selections can be told apart in one panel
_MANY = 5  # from so many on they are compared with each other, not with random only


def draw(
    context: Context,
    members: pd.DataFrame,
    summary: pd.DataFrame,
    subsets: dict[int, Artifact],
    sets: dict[int, dict[str, ImageSets]],
    evidence: dict[int, Evidence],
    tables: dict[tuple[str, int], pd.DataFrame],
    teachers: dict[str, Teacher],
) -> list[tuple[str, pathlib.Path]]:
    """Writes figures/*.png.

    Args:
      context: the run.
      members: one row a student.
      summary: of `report.summarise`.
      subsets: budget -> artifact.
      sets: budget -> entry of `distill` -> its image sets.
      evidence: budget -> what the selections looked at.
      tables: of `dcs_tables`.
      teachers: by name.

    Returns:
      (caption, path) in the order to show.
    """
    styles = report.method_styles(summary["method"].unique())
    drawn = _of_results(context, summary, styles)
    if tables:
        caption = "What foretells the test loss of a subset (DCS)"
        drawn.append((caption, report.dcs_figure(tables), "dcs"))
    for ipc, artifact in subsets.items():
        if context.settings.protocol.curves:
            figure = report.dynamics_figure(members[members["ipc"] == ipc], styles)
            drawn.append(
                (f"How students learn, IPC {ipc}", figure, f"dynamics_ipc{ipc}")
            )
        positions = _first_subsets(context, members, artifact, ipc)
        drawn += _of_subsets(
            context, artifact, positions, sets[ipc], evidence[ipc], styles
        )
        if sets[ipc] and "teacher" in teachers:
            teacher = teachers["teacher"]
            drawn += _of_sets(context, teacher, ipc, positions, sets[ipc], styles)
    folder = context.workdir.path / "figures"
    folder.mkdir(exist_ok=True)
    figures = []
    for caption, figure, name in drawn:
        path = folder / f"{name}.png"
        report.save_png(figure, path)
        figures.append((caption, path))
    return figures


def _of_results(context, summary, styles) -> list[tuple[str, Any, str]]:
    """What the students tell, as (caption, figure, name)."""
    if report.compares_labels(summary):
        drawn = [("Random subsets by labels", report.labels_figure(summary), "labels")]
        if summary["label_bytes"].notna().any():
            figure = report.bytes_figure(summary)
            drawn.append(("Accuracy against bytes of labels", figure, "bytes"))
        return drawn
    accuracy = report.accuracy_figure(summary, styles)
    drawn = [("Accuracy against images per class", accuracy, "accuracy")]
    methods = (*context.settings.select.methods, *context.settings.distill)
    if len(methods) <= _FEW:
        gaps = report.gap_figure(summary, styles)
        drawn.append(("Quality gap to random", gaps, "gap"))
    if len(methods) >= _MANY:
        matrix = report.matrix_figure(summary)
        drawn.insert(0, ("Quality gap of every selection", matrix, "matrix"))
    # What a set that was read cost to make is not known.
    known = summary[summary["method"] != READ]
    compared = known["gap"].notna() & known["method"].isin(methods)
    if (len(methods) >= _MANY or context.settings.distill) and compared.any():
        cost = report.cost_figure(known, styles)
        drawn.append(("What a set costs and gains", cost, "cost"))
    return drawn


def _first_subsets(context, members, subsets, ipc) -> dict[str, np.ndarray]:
    """The first seed's positions of every selection of a budget."""
    regime = context.settings.regimes[0]
    return {
        name: subset_of(
            subsets, name, 0, chosen_start(context, members, name, regime, ipc)
        )
        for name in context.settings.select.methods
    }


def _of_subsets(context, subsets, positions, sets, evidence, styles):
    """What the selections of a budget chose, as (caption, figure, name)."""
    ipc = evidence.ipc
    drawn, scores = [], scores_of(subsets, 0)
    if "traces" in evidence.found and "el2n" not in scores:
        inputs = evidence.inputs(0)
        scores = {"el2n": select.SCORES["el2n"].of(inputs)} | scores
    if "el2n" in scores:
        figure = report.difficulty_figure(scores["el2n"], "EL2N", positions, styles)
        caption = f"Difficulty of the chosen images, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"difficulty_ipc{ipc}"))
    if len(scores) > 1:
        figure = report.correlation_figure(scores)
        caption = f"Rank correlation of the scores, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"correlation_ipc{ipc}"))
    if len(positions) >= _MANY:
        figure = report.overlap_figure(positions, len(context.pool))
        caption = f"Images that selections share, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"overlap_ipc{ipc}"))
    sheet = _sheet(context, positions, sets)
    verb = "Chosen and made" if sets else "Chosen"
    drawn.append((f"{verb} images, IPC {ipc}, first seed", sheet, f"images_ipc{ipc}"))
    return drawn


def _sheet(context, positions, sets):
    """The images of every method's first subset or set."""
    images, labels, shown, first = [], [], {}, 0
    seed = context.settings.protocol.seeds[0]
    for name, chosen in positions.items():
        few = _first_of_classes(chosen, context.pool.labels)
        images.append(context.pool.images[few])
        labels.append(context.pool.labels[few])
        shown[name] = first + np.arange(len(few))
        first += len(few)
    for name, made in sets.items():
        chosen = made.context.pool.take(made.positions[seed])
        images.append(chosen.images)
        labels.append(chosen.labels)
        shown[name] = first + np.arange(len(chosen))
        first += len(chosen)
    return report.contact_sheet(
        np.concatenate(images), np.concatenate(labels), shown, context.source.classes
    )


def _first_of_classes(positions, labels) -> np.ndarray:
    """Returns the first few positions of each class."""
    ordered = np.sort(positions)
    own = labels[ordered]
    found = [ordered[own == label][:_SHOWN] for label in np.unique(own)]
    return np.sort(np.concatenate(found))


def _of_sets(context, teacher, ipc, positions, sets, styles):
    """What the teacher sees in the sets of a budget, as (caption, figure, name)."""
    seed = context.settings.protocol.seeds[0]
    chosen = [RANDOM] * (RANDOM in positions)
    chosen += [name for name in positions if name != RANDOM][:1]
    shown = {name: context.pool.take(positions[name]) for name in chosen}
    shown |= {
        name: made.context.pool.take(made.positions[seed])
        for name, made in sets.items()
    }
    found = embeddings_station(context, ipc, teacher, shown)
    names, arrays = found.info["sets"], found.arrays
    hard = {
        name: arrays["el2n"][arrays["set"] == row] for row, name in enumerate(names)
    }
    real = hard.pop(REAL)
    difficulty = report.set_difficulty_figure(real, hard, styles)
    places = report.tsne_figure(
        arrays["points"], arrays["labels"], arrays["set"], names, context.source.classes
    )
    end = f"IPC {ipc}, first seed"
    return [
        (f"What the teacher finds hard, {end}", difficulty, f"set_difficulty_ipc{ipc}"),
        (f"Sets among the real images, {end}", places, f"tsne_ipc{ipc}"),
    ]
