"""The answer of a run: which images to train on."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax import data, mesh, report
from ddjax.artifacts import Artifact
from ddjax.console import shown_path
from ddjax.stations.context import Context
from ddjax.stations.exports import texts_of
from ddjax.stations.subsets import chosen_start, subset_of

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class Recommended:
    """The recommended subset.

    Attributes:
      choice: method, regime, ipc and seed.
      ids: [n] int, which training images, ascending.
      text: what is said of it.
    """

    choice: dict[str, Any]
    ids: np.ndarray
    text: str


def recommend(
    context: Context,
    members: pd.DataFrame,
    summary: pd.DataFrame,
    subsets: dict[int, Artifact],
) -> Recommended | None:
    """Returns the subset that validation picks under the first regime.

    It is that of the first seed, at the largest budget.

    Args:
      context: the run.
      members: one row a student, with the windows that searches picked.
      summary: of the members.
      subsets: budget -> artifact.

    Returns:
      The subset, None where all students of selections failed.
    """
    settings = context.settings
    methods, ipc = settings.select.methods, max(settings.select.ipcs)
    row = report.recommended(summary, methods, settings.regimes[0], ipc)
    if row is None:
        return None
    start = chosen_start(context, members, row.method, row.regime, ipc)
    positions = subset_of(subsets[ipc], row.method, 0, start)
    seed = settings.protocol.seeds[0]
    choice = {"method": row.method, "regime": row.regime, "ipc": ipc, "seed": seed}
    text = report.recommendation(row, len(methods), seed)
    return Recommended(choice, np.sort(context.pool.ids[positions]), text)


def write_recommended(
    context: Context, found: Recommended | None, export: str | os.PathLike | None
) -> list[str]:
    """Writes `subset.csv`, and a class folder where one is asked for.

    Args:
      context: the run.
      found: of `recommend`.
      export: the folder that the images are written to; None: to none.

    Returns:
      Where they are, a sentence each.
    """
    path, source = context.workdir.path / "subset.csv", context.source
    if found is None:
        if mesh.primary():
            path.unlink(missing_ok=True)  # of an earlier run
        return ["no subset is recommended, since no student of a selection succeeded"]
    if mesh.primary():
        data.write_subset(path, found.ids, texts_of(source, found.ids))
    lines = [
        found.text,
        f"its {len(found.ids)} images are listed in {shown_path(path)}",
    ]
    if export is not None:
        described = found.choice | {"text": found.text}
        if mesh.primary():
            data.write_export(source, found.ids, export, described)
        lines.append(f"and written as class folders to {export}")
    return lines
