"""Scores and subsets as files that other programs and later runs can read."""

import pandas as pd

from ddjax import data
from ddjax.artifacts import Artifact
from ddjax.stations.context import Context
from ddjax.stations.evidence import method_of
from ddjax.stations.subsets import chosen_start, scores_of, subset_of


def write_exports(
    context: Context, members: pd.DataFrame, subsets: dict[int, Artifact]
) -> None:
    """Writes `scores/ipcI_seedS.csv` and `subsets/METHOD_ipcI_seedS.csv`.

    Examples go by their id, the position in the source's training set. Of a method that
    searches, each regime has its own choice: `METHOD_REGIME_ipcI_seedS.csv`.

    Args:
      context: the run.
      members: one row a student, with the windows that searches picked.
      subsets: budget -> artifact.
    """
    folder, settings = context.workdir.path, context.settings
    ids, count = context.pool.ids, len(context.source.train)
    for kind in ("scores", "subsets"):
        (folder / kind).mkdir(exist_ok=True)
    for ipc, artifact in subsets.items():
        for row, seed in enumerate(settings.protocol.seeds):
            end = f"ipc{ipc}_seed{seed}.csv"
            scores = scores_of(artifact, row)
            if scores:
                data.write_scores(folder / "scores" / end, ids, scores, count)
            for name in settings.select.methods:
                searches = method_of(context, name).searches
                for regime in settings.regimes if searches else ("",):
                    start = chosen_start(context, members, name, regime, ipc)
                    positions = subset_of(artifact, name, row, start)
                    stem = f"{name}_{regime}" if regime else name
                    path = folder / "subsets" / f"{stem}_{end}"
                    data.write_subset(path, ids[positions])
