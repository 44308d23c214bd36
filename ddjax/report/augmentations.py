"""DC-BENCH's table: every method under several augmentations, and how these agree.

Source: justincui03/dc_benchmark (evaluator/evaluator_utils.py), arXiv 2207.09639:
methods times budgets times augmentations times networks, five students each. The rank
correlations are an addition.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ddjax.report.correlation import spearman
from ddjax.report.setups import Setup
from ddjax.report.statistics import FULL, mean_interval, ordered_methods

if TYPE_CHECKING:
    import pandas as pd

_PANEL = ["run", "source", "student", "labels", "ipc"]


def table(found: Sequence[Setup]) -> pd.DataFrame:
    """Returns the accuracy of every method under every augmentation of its network.

    Args:
      found: of `setups.setups`. Networks that a run trains under one augmentation
        alone are left out.

    Returns:
      A row for each run, network, kind of labels, budget, method (random first, full
      data last) and augmentation: run, source, student, labels, ipc, method, views,
      accuracy (mean over seeds, a fraction), ci95 (half width) and n. Empty where no
      network has two augmentations.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for setup in found:
        if len(_alike(found, setup)) < 2:
            continue
        for (method, ipc, regime), students in setup.cells.items():
            mean, half, n = mean_interval(students["accuracy"])
            rows.append(
                {
                    "run": setup.run.label,
                    "source": setup.run.source.get("name", ""),
                    "student": setup.student,
                    "labels": regime,
                    "ipc": ipc,
                    "method": method,
                    "views": setup.views,
                    "accuracy": mean,
                    "ci95": half,
                    "n": n,
                }
            )
    names = [*_PANEL, "method", "views", "accuracy", "ci95", "n"]
    made = pd.DataFrame(rows, columns=names)
    methods = ordered_methods(made["method"])
    return made.sort_values(
        [*_PANEL, "method"],
        key=lambda values: (
            values.map(methods.index) if values.name == "method" else values
        ),
        kind="stable",
    ).reset_index(drop=True)


def agreement(measured: pd.DataFrame) -> pd.DataFrame:
    """Returns how alike augmentations rank the methods.

    Args:
      measured: of `table`.

    Returns:
      A row for each run, network, kind of labels, budget and pair of augmentations:
      run, source, student, labels, ipc, views, other_views, and rho, low, high and n
      of `correlation.spearman` between the mean accuracies of the methods that both
      have, random among them, the full data not.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    ranked = measured[measured["method"] != FULL]
    for panel, part in ranked.groupby(_PANEL, sort=False):
        by_views = part.pivot(index="method", columns="views", values="accuracy")
        for one, other in itertools.combinations(dict.fromkeys(part["views"]), 2):
            both = by_views[[one, other]].dropna()
            of = spearman(both[one], both[other])
            rows.append((*panel, one, other, of.rho, of.low, of.high, of.n))
    names = [*_PANEL, "views", "other_views", "rho", "low", "high", "n"]
    return pd.DataFrame(rows, columns=names)


def _alike(found: Sequence[Setup], setup: Setup) -> set[str]:
    """The augmentations under which a run trains a setup's network."""
    return {
        other.views
        for other in found
        if other.run is setup.run and other.student == setup.student
    }
