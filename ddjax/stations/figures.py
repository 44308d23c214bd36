"""The figures of a run, and in which order the report shows them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ddjax import mesh, report
from ddjax.artifacts import Artifact
from ddjax.report.statistics import RANDOM
from ddjax.scores import SCORES
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.embeddings import REAL, embeddings_station
from ddjax.stations.evidence import Evidence
from ddjax.stations.images import READ, ImageSets
from ddjax.stations.parts import Parts
from ddjax.stations.subsets import chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_SHOWN = 2  # images of a class that a contact sheet has
_FEW = 12  # up to so many selections can be told apart in one panel
_MANY = 5  # from so many on they are compared with each other, not with random only


# A figure that is not drawn yet: caption, function, file's name.
Planned = tuple[str, Callable[[], "Figure"], str]


def draw(
    context: Context,
    parts: Parts,
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
      parts: takes note of figures that cannot be drawn or written.
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
    drawn: list[Planned] = []
    with parts.part("figures of the results"):
        drawn += _of_results(context, summary, styles)
    if tables:
        caption = "What foretells the test loss of a subset (DCS)"
        drawn.append((caption, partial(report.dcs_figure, tables), "dcs"))
    for ipc, artifact in subsets.items():
        if context.settings.protocol.curves:
            of_ipc = members[members["ipc"] == ipc]
            figure = partial(report.dynamics_figure, of_ipc, styles)
            drawn.append(
                (f"How students learn, IPC {ipc}", figure, f"dynamics_ipc{ipc}")
            )
        with parts.part(f"figures of the subsets, IPC {ipc}"):
            positions = _first_subsets(context, members, artifact, ipc)
            drawn += _of_subsets(
                context, artifact, positions, sets[ipc], evidence[ipc], styles
            )
        if sets[ipc] and "teacher" in teachers:
            teacher = teachers["teacher"]
            with parts.part(f"figures of the sets, IPC {ipc}"):
                drawn += _of_sets(context, teacher, ipc, positions, sets[ipc], styles)
    return write_figures(context, parts, drawn)


def write_figures(
    context: Context, parts: Parts, drawn: list[Planned]
) -> list[tuple[str, pathlib.Path]]:
    """Draws and writes figures; returns (caption, path) of those that succeed."""
    folder, figures = context.workdir.path / "figures", []
    for caption, make, name in drawn:
        path = folder / f"{name}.png"
        with parts.part(f"figures/{name}.png"):
            if mesh.primary():  # no other may take away what it writes
                path.unlink(missing_ok=True)  # of an earlier run
            folder.mkdir(exist_ok=True)
            report.save_png(make(), path)
            figures.append((caption, path))
    return figures


def _of_results(context, summary, styles) -> list[Planned]:
    """What the students tell."""
    if report.compares_labels(summary):
        figure = partial(report.labels_figure, summary)
        drawn: list[Planned] = [("Random subsets by labels", figure, "labels")]
        if summary["label_bytes"].notna().any():
            figure = partial(report.bytes_figure, summary)
            drawn.append(("Accuracy against bytes of labels", figure, "bytes"))
        return drawn
    accuracy = partial(report.accuracy_figure, summary, styles)
    drawn = [("Accuracy against images per class", accuracy, "accuracy")]
    methods = (*context.settings.select.methods, *context.settings.distill)
    if len(methods) <= _FEW:
        gaps = partial(report.gap_figure, summary, styles)
        drawn.append(("Quality gap to random", gaps, "gap"))
    if len(methods) >= _MANY:
        matrix = partial(report.matrix_figure, summary)
        drawn.insert(0, ("Quality gap of every selection", matrix, "matrix"))
    # What a set that was read cost to make is not known.
    known = summary[summary["method"] != READ]
    compared = known["gap"].notna() & known["method"].isin(methods)
    if (len(methods) >= _MANY or context.settings.distill) and compared.any():
        cost = partial(report.cost_figure, known, styles)
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
    """What the selections of a budget chose, figures as `Planned`."""
    ipc, drawn = evidence.ipc, []
    sheet = partial(_sheet, context, positions, sets)
    verb = "Chosen and made" if sets else "Chosen"
    shown = (f"{verb} images, IPC {ipc}, first seed", sheet, f"images_ipc{ipc}")
    scores = scores_of(subsets, 0)
    if "traces" in evidence.found and "el2n" not in scores:
        inputs = evidence.inputs(0)
        scores = {"el2n": SCORES["el2n"].of(inputs)} | scores
    if "el2n" in scores:
        figure = partial(
            report.difficulty_figure, scores["el2n"], "EL2N", positions, styles
        )
        caption = f"Difficulty of the chosen images, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"difficulty_ipc{ipc}"))
    if len(scores) > 1:
        figure = partial(report.correlation_figure, scores)
        caption = f"Rank correlation of the scores, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"correlation_ipc{ipc}"))
    if len(positions) >= _MANY:
        figure = partial(report.overlap_figure, positions, len(context.pool))
        caption = f"Images that selections share, IPC {ipc}, first seed"
        drawn.append((caption, figure, f"overlap_ipc{ipc}"))
    return [*drawn, shown]


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
    """What the teacher sees in the sets of a budget, figures as `Planned`."""
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
    difficulty = partial(report.set_difficulty_figure, real, hard, styles)
    points, labels, rows = (arrays[name] for name in ("points", "labels", "set"))
    classes = context.source.classes
    places = partial(report.tsne_figure, points, labels, rows, names, classes)
    end = f"IPC {ipc}, first seed"
    return [
        (f"What the teacher finds hard, {end}", difficulty, f"set_difficulty_ipc{ipc}"),
        (f"Sets among the real images, {end}", places, f"tsne_ipc{ipc}"),
    ]
