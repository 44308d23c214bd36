"""The figures of a run, and in which order the report shows them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ddjax import artifacts, mesh, report
from ddjax.data.image_sets.export import rounded
from ddjax.problem import Problem
from ddjax.report.statistics import RANDOM
from ddjax.run import Run
from ddjax.scores import SCORES
from ddjax.stages.embeddings import REAL, embed
from ddjax.stages.findings import Findings
from ddjax.stages.outputs import Parts
from ddjax.stages.subsets import scores_of, subset_of
from ddjax.stages.synthetic import SyntheticSets

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_CLASSES = 10  # of the strip of images
_SHOWN = 2  # images of a class that a contact sheet has
_MANY = 5  # from so many on they are compared with each other, not with random only


# A figure that is not drawn yet: caption, function, file's name.
Planned = tuple[str, Callable[[], "Figure"], str]


def draw(
    found: Findings, tables: dict[tuple[str, int], pd.DataFrame]
) -> list[tuple[str, pathlib.Path]]:
    """Writes figures/*.png.

    Args:
      found: what the run found.
      tables: of `dcs_tables`.

    Returns:
      (caption, path) in the order to show.
    """
    problem, parts = found.problem, found.parts
    styles = report.method_styles(found.summary["method"].unique())
    drawn: list[Planned] = []
    if tables:
        caption = "Rank correlation of numbers of a subset with the test loss (DCS)."
        drawn.append((caption, partial(report.dcs_figure, tables), "dcs"))
    for ipc in found.subsets:
        if problem.settings.protocol.curves:
            of_ipc = found.members[found.members["ipc"] == ipc]
            figure = partial(report.dynamics_figure, of_ipc, styles)
            drawn.append(
                (f"Accuracy while training, IPC {ipc}.", figure, f"dynamics_ipc{ipc}")
            )
        positions = None
        with parts.part(f"figures of the subsets, IPC {ipc}"):
            positions = _first_subsets(found, ipc)
            drawn += _of_subsets(found, ipc, positions, styles)
        sets, teachers = found.sets[ipc], found.teachers
        if positions is not None and sets and "teacher" in teachers:
            with parts.part(f"figures of the sets, IPC {ipc}"):
                drawn += _of_sets(found, ipc, positions, styles)
    return write_figures(found.run, parts, drawn)


def class_images(
    run: Run, parts: Parts, problem: Problem
) -> list[tuple[str, pathlib.Path]]:
    """Writes figures/classes.png, an image of each of up to ten classes."""
    path, classes = run.folder / "figures" / "classes.png", problem.source.classes
    pool = problem.pool
    with parts.part("figures/classes.png"):
        _, first = np.unique(pool.labels, return_index=True)
        spread = np.linspace(0, len(first) - 1, min(_CLASSES, len(first)))
        chosen = first[spread.round().astype(int)]
        taken = pool.take(np.sort(chosen))
        order = np.argsort(taken.labels, kind="stable")
        path.parent.mkdir(exist_ok=True)
        png = report.image_strip(np.asarray(taken.images)[order])
        artifacts.write_file(path, png)
        names = ", ".join(classes[label] for label in taken.labels[order])
        return [(f"An image of each of these classes: {names}.", path)]
    return []


def write_figures(
    run: Run, parts: Parts, drawn: list[Planned]
) -> list[tuple[str, pathlib.Path]]:
    """Draws and writes figures; returns (caption, path) of those that succeed."""
    folder, figures = run.folder / "figures", []
    for caption, make, name in drawn:
        path = folder / f"{name}.png"
        with parts.part(f"figures/{name}.png"):
            if mesh.primary():  # no other may take away what it writes
                path.unlink(missing_ok=True)  # of an earlier run
            folder.mkdir(exist_ok=True)
            report.save_png(make(), path)
            figures.append((caption, path))
    return figures


def _first_subsets(found: Findings, ipc: int) -> dict[str, np.ndarray]:
    """The first seed's positions of every selection of a budget."""
    positions = {}
    for name in found.problem.settings.select.methods:
        _, start = next(iter(found.windows(name, ipc)))
        positions[name] = subset_of(found.subsets[ipc], name, 0, start)
    return positions


def _of_subsets(found: Findings, ipc: int, positions, styles) -> list[Planned]:
    """The subsets of the selections of a budget, and the synthetic sets beside them."""
    drawn: list[Planned] = []
    sheet = partial(_sheet, found.problem, positions, found.sets[ipc])
    which = "Selected and synthetic" if found.sets[ipc] else "Selected"
    shown = (f"{which} images, IPC {ipc}, first seed.", sheet, f"images_ipc{ipc}")
    scores = scores_of(found.subsets[ipc], 0)
    if "traces" in found.inputs[ipc].found and "el2n" not in scores:
        inputs = found.inputs[ipc].inputs(0)
        scores = {"el2n": SCORES["el2n"].of(inputs)} | scores
    if "el2n" in scores:
        figure = partial(
            report.difficulty_figure, scores["el2n"], "EL2N", positions, styles
        )
        caption = report.difficulty_finding(scores["el2n"], positions, ipc)
        drawn.append((caption, figure, f"difficulty_ipc{ipc}"))
    if len(scores) > 1:
        figure = partial(report.correlation_figure, scores)
        caption = report.correlation_finding(scores, ipc)
        drawn.append((caption, figure, f"correlation_ipc{ipc}"))
    if len(positions) >= _MANY:
        figure = partial(report.overlap_figure, positions, len(found.problem.pool))
        caption = report.overlap_finding(positions, ipc)
        drawn.append((caption, figure, f"overlap_ipc{ipc}"))
    return [*drawn, shown]


def _sheet(problem: Problem, positions, sets: dict[str, SyntheticSets]) -> Figure:
    """The images of every method's first subset or set."""
    images, labels, shown, first = [], [], {}, 0

    def add(name, chosen):
        nonlocal first
        images.append(rounded(chosen.images))
        labels.append(chosen.labels)
        shown[name] = first + np.arange(len(chosen))
        first += len(chosen)

    for name, chosen in positions.items():
        few = _first_of_classes(chosen, problem.pool.labels)
        add(name, problem.pool.take(few))
    for name, found in sets.items():
        add(name, found.problem.pool.take(found.positions[problem.seeds[0]]))
    return report.contact_sheet(
        np.concatenate(images), np.concatenate(labels), shown, problem.source.classes
    )


def _first_of_classes(positions, labels) -> np.ndarray:
    """Returns the first few positions of each class."""
    ordered = np.sort(positions)
    own = labels[ordered]
    found = [ordered[own == label][:_SHOWN] for label in np.unique(own)]
    return np.sort(np.concatenate(found))


def _of_sets(found: Findings, ipc: int, positions, styles) -> list[Planned]:
    """The sets of a budget in the teacher's features, and their EL2N."""
    problem, seed = found.problem, found.problem.seeds[0]
    chosen = [RANDOM] * (RANDOM in positions)
    chosen += [name for name in positions if name != RANDOM][:1]
    shown = {name: problem.pool.take(positions[name]) for name in chosen}
    shown |= {
        name: sets.problem.pool.take(sets.positions[seed])
        for name, sets in found.sets[ipc].items()
    }
    embedded = embed(found.run, problem, ipc, found.teachers["teacher"], shown)
    names, arrays = embedded.info["sets"], embedded.arrays
    hard = {
        name: arrays["el2n"][arrays["set"] == row] for row, name in enumerate(names)
    }
    real = hard.pop(REAL)
    difficulty = partial(report.set_difficulty_figure, real, hard, styles)
    points, labels, rows = (arrays[name] for name in ("points", "labels", "set"))
    classes = problem.source.classes
    places = partial(report.tsne_figure, points, labels, rows, names, classes)
    hardest = max(hard, key=lambda name: np.median(hard[name]))
    finding = (
        f"{report.title(hardest)} has the hardest images for the teacher: median EL2N "
        f"{np.median(hard[hardest]):.2f}, real images {np.median(real):.2f} "
        f"(IPC {ipc}, first seed)."
    )
    places_of = f"t-SNE of the teacher's features, IPC {ipc}, first seed."
    return [
        (finding, difficulty, f"set_difficulty_ipc{ipc}"),
        (places_of, places, f"tsne_ipc{ipc}"),
    ]
