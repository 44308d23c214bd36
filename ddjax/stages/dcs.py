"""DCS: how scores and distillation losses of subsets correlate with the test loss.

A selection or a kind of synthetic sets counts once, with the means over its seeds: its
subsets are alike, and taken as independent they would make every interval too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ddjax import report
from ddjax.artifacts import Artifact
from ddjax.scores import surrogates
from ddjax.select import Inputs
from ddjax.stages.findings import Findings
from ddjax.stages.subsets import array_name, chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd

_FEWEST = 5  # selections and sets; the ranks of fewer mean next to nothing


def dcs_tables(draws: list[Findings]) -> dict[tuple[str, int], pd.DataFrame]:
    """Returns the DCS of every surrogate at a regime and budget.

    Surrogates of selections are the mean of each score that a selection reads, and,
    where there are features or gradients, the losses of distribution matching and
    gradient matching, and coverage. Those of selections and synthetic sets are the
    losses of entries of `distill` that measure them, see `Distill.losses`.

    Args:
      draws: what the run found.

    Returns:
      (regime, budget) -> a table of `report.dcs`; without an entry where no surrogate
      is known of five selections and sets.
    """
    import pandas as pd

    tables = {}
    for ipc in draws[0].subsets:
        rows: dict[str, list[dict]] = {}
        for found in draws:
            for regime, row in _rows(found, ipc):
                rows.setdefault(regime, []).append(row)
        for regime, of in rows.items():
            means = pd.DataFrame(of).groupby("method").mean()
            values = means.drop(columns="test_loss").dropna(axis=1, thresh=_FEWEST)
            if len(values.columns):
                tables[regime, ipc] = report.dcs(
                    {name: values[name] for name in values}, means["test_loss"]
                )
    return tables


def _rows(found: Findings, ipc: int) -> Iterator[tuple[str, dict]]:
    """Yields regime, and method, test loss and surrogates of a student."""
    problem, subsets, members = found.problem, found.subsets[ipc], found.own
    seeds, sets, known = problem.seeds, found.sets[ipc], {}
    selections, inputs = problem.settings.select.methods, []
    if len(selections) >= _FEWEST:
        inputs = [found.inputs[ipc].inputs(row) for row in range(len(seeds))]
    trained = members[
        (members["ipc"] == ipc)
        & (members["status"] == "ok")
        & members["method"].isin((*selections, *sets))
    ]
    for student in trained.itertuples():
        method, regime, row = student.method, student.regime, seeds.index(student.seed)
        start = None
        if method not in sets:
            start = chosen_start(problem, members, method, regime, ipc)
        key = method, row, start
        if key not in known:
            known[key] = _losses(found.losses[ipc], array_name(method, start), row)
            if inputs and method not in sets:
                scores = scores_of(subsets, row)
                known[key] |= _values(inputs[row], scores, subset_of(subsets, *key))
        yield regime, {"method": method, "test_loss": student.test_loss} | known[key]


def _losses(measured: dict[str, Artifact], array: str, row: int) -> dict[str, float]:
    """Every loss that was measured of a subset or a set: surrogate -> mean of draws."""
    return {
        f"loss of {name}": float(losses.arrays[array][row].mean())
        for name, losses in measured.items()
        if array in losses.arrays
    }


def _values(inputs: Inputs, scores, positions) -> dict[str, float]:
    """Every surrogate of one subset; infinite scores have no mean and are left out."""
    values = {
        f"mean {name}": surrogates.mean_score(score, positions)
        for name, score in scores.items()
        if np.isfinite(score).all()
    }
    labels = inputs.labels
    if inputs.features is not None:
        for name, loss in (
            ("distribution matching", surrogates.feature_distance),
            ("coverage", surrogates.coverage),
        ):
            values[name] = loss(inputs.features, labels, positions)
    if inputs.gradients is not None:
        values["gradient matching"] = surrogates.gradient_distance(
            inputs.gradients, labels, positions
        )
    return values
