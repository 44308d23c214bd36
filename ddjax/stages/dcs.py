"""DCS: how scores and distillation losses of subsets correlate with the test loss.

A selection counts once, with the means over its seeds: subsets of one selection are
alike, and taken as independent they would make every interval too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ddjax import report
from ddjax.scores import surrogates
from ddjax.select import Inputs
from ddjax.stages.findings import Findings
from ddjax.stages.subsets import chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd

_FEWEST = 5  # selections; the ranks of fewer mean next to nothing


def dcs_tables(draws: list[Findings]) -> dict[tuple[str, int], pd.DataFrame]:
    """Returns the DCS of every surrogate, over all selections at a regime and budget.

    Surrogates are the mean of each score that a selection reads, and, where there are
    features or gradients, the losses of distribution matching and gradient matching,
    and coverage.

    Args:
      draws: what the run found.

    Returns:
      (regime, budget) -> a table of `report.dcs`; without an entry where there is no
      surrogate, or fewer than five selections.
    """
    import pandas as pd

    settings, tables = draws[0].problem.settings, {}
    if len(settings.select.methods) < _FEWEST:
        return tables
    for ipc in draws[0].subsets:
        rows: dict[str, list[dict]] = {}
        for found in draws:
            for regime, row in _rows(found, ipc):
                rows.setdefault(regime, []).append(row)
        for regime, of in rows.items():
            means = pd.DataFrame(of).groupby("method").mean().dropna(axis="columns")
            values = means.drop(columns="test_loss")
            if len(means) >= _FEWEST and len(values.columns):
                tables[regime, ipc] = report.dcs(
                    {name: values[name] for name in values}, means["test_loss"]
                )
    return tables


def _rows(found: Findings, ipc: int) -> Iterator[tuple[str, dict]]:
    """Yields regime, and method, test loss and surrogates of a student."""
    problem, subsets, members = found.problem, found.subsets[ipc], found.own
    seeds, known = problem.seeds, {}
    inputs = [found.inputs[ipc].inputs(row) for row in range(len(seeds))]
    trained = members[
        (members["ipc"] == ipc)
        & (members["status"] == "ok")
        & members["method"].isin(problem.settings.select.methods)
    ]
    for student in trained.itertuples():
        method, regime = student.method, student.regime
        start = chosen_start(problem, members, method, regime, ipc)
        key = method, seeds.index(student.seed), start
        if key not in known:
            scores = scores_of(subsets, key[1])
            known[key] = _values(inputs[key[1]], scores, subset_of(subsets, *key))
        yield regime, {"method": method, "test_loss": student.test_loss} | known[key]


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
