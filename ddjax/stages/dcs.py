"""DCS: how scores and distillation losses of subsets correlate with the test loss.

A selection counts once, with the means over its seeds: subsets of one selection are
alike, and taken as independent they would make every interval too narrow.
"""

from __future__ import annotations

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


def dcs_tables(found: Findings) -> dict[tuple[str, int], pd.DataFrame]:
    """Returns the DCS of every surrogate, over all selections at a regime and budget.

    Surrogates are the mean of each score that a selection reads, and, where there are
    features or gradients, the losses of distribution matching and gradient matching,
    and coverage.

    Args:
      found: what the run found.

    Returns:
      (regime, budget) -> a table of `report.dcs`; without an entry where there is no
      surrogate, or fewer than five selections.
    """
    import pandas as pd

    problem, members = found.problem, found.members
    seeds = problem.seeds
    tables = {}
    if len(problem.settings.select.methods) < _FEWEST:
        return tables
    for ipc, artifact in found.subsets.items():
        known, inputs = {}, [found.inputs[ipc].inputs(row) for row in range(len(seeds))]
        for regime in problem.settings.regimes:
            trained = members[
                (members["ipc"] == ipc)
                & (members["regime"] == regime)
                & (members["status"] == "ok")
                & members["method"].isin(problem.settings.select.methods)
            ]
            if trained["method"].nunique() < _FEWEST:
                continue
            rows = []
            for student in trained.itertuples():
                start = chosen_start(problem, members, student.method, regime, ipc)
                key = student.method, seeds.index(student.seed), start
                if key not in known:
                    positions = subset_of(artifact, *key)
                    scores = scores_of(artifact, key[1])
                    known[key] = _values(inputs[key[1]], scores, positions)
                measured = {"method": student.method, "test_loss": student.test_loss}
                rows.append(measured | known[key])
            means = pd.DataFrame(rows).groupby("method").mean().dropna(axis="columns")
            values = means.drop(columns="test_loss")
            if len(values.columns):
                tables[regime, ipc] = report.dcs(
                    {name: values[name] for name in values}, means["test_loss"]
                )
    return tables


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
