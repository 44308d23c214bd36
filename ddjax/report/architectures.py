"""The same subsets under several judges, networks or recipes: table and figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ddjax.errors import InputError
from ddjax.report.correlation import spearman
from ddjax.report.plots import new_figure, plain_style
from ddjax.report.statistics import (
    FULL,
    RANDOM,
    ordered_methods,
    ordered_regimes,
    summarise,
)
from ddjax.report.table import signed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def by_architecture(members: pd.DataFrame) -> pd.DataFrame:
    """Summarise students per judge, and say how alike judges rank the subsets.

    Args:
        members: one row per student, see `statistics`, with a column `network` that
            names the judge, a network or an entry of the settings; the first is the one
            that subsets were chosen with.

    Returns:
        The rows of `statistics.summarise` of each judge, with the columns `network`
        and `rank_correlation`: Spearman's between the mean accuracies of the
        selections (random among them, full data not) under this judge and under the
        first, NaN for the first and where fewer than two selections can be ranked.
    """
    import pandas as pd

    names = list(dict.fromkeys(members["network"]))
    parts = []
    for name in names:
        part = summarise(members[members["network"] == name])
        part.insert(0, "network", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["rank_correlation"] = np.nan
    chosen = table[table["method"] != FULL]
    for (regime, ipc), rows in chosen.groupby(["regime", "ipc"], sort=False):
        accuracy = rows.pivot(index="method", columns="network", values="accuracy")
        panel = (table["regime"] == regime) & (table["ipc"] == ipc)
        for name in names[1:]:
            both = accuracy[[names[0], name]].dropna()
            rho = spearman(both[names[0]], both[name]).rho
            here = panel & (table["network"] == name)
            table.loc[here, "rank_correlation"] = rho
    return table


@plain_style()
def architectures_figure(table: pd.DataFrame) -> Figure:
    """Accuracy and gap to random of every selection under every judge.

    Args:
        table: the result of `by_architecture`.

    Returns:
        The figure: a panel per budget (down) and regime (across), a row per method, a
        column per judge with its rank correlation with the first one; a cell holds
        the mean test accuracy in % and the paired gap to random in points, which is
        also its colour, on one scale for all panels.

    Raises:
        InputError: the table is empty.
    """
    if table.empty:
        raise InputError("table: there are no students to draw")
    names = list(dict.fromkeys(table["network"]))
    regimes = ordered_regimes(table["regime"])
    budgets = sorted(int(ipc) for ipc in table["ipc"].unique())
    gaps = table["gap"].astype(float).abs()
    limit = max(1.0, float(gaps.quantile(0.8)) if gaps.notna().any() else 1.0)
    methods = ordered_methods(table["method"])
    width = 1.8 + len(regimes) * (0.4 + 0.85 * len(names))
    height = 1.2 + len(budgets) * (1.2 + 0.34 * len(methods))
    figure = new_figure(width, height)
    grid = figure.subplots(len(budgets), len(regimes), squeeze=False)
    for y, ipc in enumerate(budgets):
        for x, regime in enumerate(regimes):
            here = (table["regime"] == regime) & (table["ipc"] == ipc)
            image = _draw(grid[y, x], table[here], methods, names, limit)
            grid[y, x].set_title(f"{regime} labels, IPC {ipc}", fontsize=9, loc="left")
            if x:
                grid[y, x].set_yticklabels([])
    bar = figure.colorbar(image, ax=grid, extend="both", pad=0.01, aspect=30)
    bar.set_label("points above random", fontsize=8)
    figure.suptitle("Test accuracy (gap to random) under every judge")
    return figure


def _draw(
    axes: Axes, rows: pd.DataFrame, methods: list[str], names: list[str], limit: float
):
    import pandas as pd

    gaps = np.full((len(methods), len(names)), np.nan)
    labels = list(names)
    for row in rows.itertuples():
        y, x = methods.index(row.method), names.index(row.network)
        gaps[y, x] = 0.0 if row.method == RANDOM else row.gap
        text = "–" if pd.isna(row.accuracy) else f"{row.accuracy:.1f}"
        if row.method != RANDOM and not pd.isna(row.gap):
            text += f"\n({signed(row.gap)})"
        dark = abs(gaps[y, x]) > 0.6 * limit
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        ).set_in_layout(False)
        if not pd.isna(row.rank_correlation):
            labels[x] = f"{row.network}\nρ {row.rank_correlation:.2f}"
    axes.set_xticks(range(len(names)), labels, rotation=30, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    axes.tick_params(length=0, labelsize=8)
    look = {"cmap": "RdBu", "vmin": -limit, "vmax": limit, "aspect": "auto"}
    return axes.imshow(gaps, **look)
