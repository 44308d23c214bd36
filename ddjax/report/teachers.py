"""What the training of teachers looked like: a figure, a table and a page.

A training is a mapping of arrays: `loss` [P], the mean training loss in P equal parts
of the training, NaN where nothing was recorded; `epochs` [S] and `validation` [S],
accuracies in percent on the validation split.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ddjax.artifacts import write_file
from ddjax.errors import InputError
from ddjax.report.html import cost_table, embedded, flat, template
from ddjax.report.plots import method_styles, new_figure, plain_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@plain_style()
def learning_curve_figure(
    trainings: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure:
    """Training loss and validation accuracy against epochs, a line per teacher.

    Args:
        trainings: name of a teacher to its training, see the module.

    Returns:
        The figure with two panels, loss above accuracy.

    Raises:
        InputError: there is no training.
    """
    if not trainings:
        raise InputError("trainings: found none, at least one is needed")
    styles = method_styles(trainings)
    figure = new_figure(7.6, 5.2)
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    for name, training in trainings.items():
        style = styles[name]
        last, points = int(training["epochs"][-1]), len(training["loss"])
        middles = (np.arange(points) + 0.5) * last / points
        seen = np.isfinite(training["loss"])
        losses.plot(
            middles[seen], training["loss"][seen], color=style.colour, label=name
        )
        accuracies.plot(
            training["epochs"],
            training["validation"],
            color=style.colour,
            marker=style.marker,
            markersize=4,
            label=name,
        )
    losses.set_ylabel("training loss (nats)")
    accuracies.set_ylabel("validation accuracy (%)")
    accuracies.set_xlabel("epochs")
    for axes in (losses, accuracies):
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if len(trainings) > 1:
        losses.legend(frameon=False, fontsize=9)
    figure.suptitle("Learning curves")
    return figure


def write_teachers_html(
    path: str | os.PathLike,
    *,
    title: str,
    table: pd.DataFrame,
    figures: Sequence[tuple[str, str | os.PathLike]],
    settings: Mapping[str, object],
    costs: Sequence[Mapping[str, object]],
    environment: Mapping[str, object],
    notes: Sequence[str],
) -> None:
    """Write the page of a run that only trains teachers, atomically.

    Args:
        path: file to create or replace; its folder must exist.
        title: heading of the page.
        table: one row per teacher and snapshot; shown as it is.
        figures, settings, costs, environment, notes: see `html.write_html`.

    Raises:
        InputError: if a figure's file is missing.
    """
    text = template("teachers.html.j2").render(
        title=title,
        notes=notes,
        names=list(table.columns),
        rows=[[_cell(value) for value in row] for row in table.to_numpy(object)],
        figures=[(caption, embedded(png)) for caption, png in figures],
        **cost_table(costs),
        settings=flat(settings),
        environment=flat(environment),
    )
    write_file(path, text.encode())


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
