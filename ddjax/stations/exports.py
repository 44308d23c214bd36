"""Scores, subsets and images as files that other programs and later runs can read."""

from __future__ import annotations

import os
import pathlib
import shutil
from typing import TYPE_CHECKING

import numpy as np

from ddjax import artifacts, data, mesh
from ddjax.artifacts import Artifact
from ddjax.data.source import Examples, Source
from ddjax.stations.context import Context
from ddjax.stations.images import ImageSets
from ddjax.stations.needs import method_of
from ddjax.stations.subsets import chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd


def write_exports(
    context: Context, members: pd.DataFrame, subsets: dict[int, Artifact]
) -> None:
    """Writes `scores/ipcI_seedS.csv` and `subsets/METHOD_ipcI_seedS.csv`.

    Examples go by their id, the position in the source's training set; where they have
    files, class and path stand beside it. Of a method that searches, each regime has
    its own choice: `METHOD_REGIME_ipcI_seedS.csv`.

    Args:
      context: the run.
      members: one row a student, with the windows that searches picked.
      subsets: budget -> artifact.
    """
    if not mesh.primary():
        return
    folder, settings = context.workdir.path, context.settings
    source, ids = context.source, context.pool.ids
    count = len(source.train)
    for kind in ("scores", "subsets"):
        (folder / kind).mkdir(exist_ok=True)
    for ipc, artifact in subsets.items():
        for row, seed in enumerate(settings.protocol.seeds):
            end = f"ipc{ipc}_seed{seed}.csv"
            scores = scores_of(artifact, row)
            if scores:
                path = folder / "scores" / end
                data.write_scores(path, ids, scores, count, texts_of(source, ids))
            for name in settings.select.methods:
                searches = method_of(context, name).searches
                for regime in settings.regimes if searches else ("",):
                    start = chosen_start(context, members, name, regime, ipc)
                    positions = subset_of(artifact, name, row, start)
                    stem = f"{name}_{regime}" if regime else name
                    path = folder / "subsets" / f"{stem}_{end}"
                    chosen = ids[positions]
                    data.write_subset(path, chosen, texts_of(source, chosen))


def texts_of(source: Source, ids: np.ndarray) -> dict[str, list[str]]:
    """Returns class and path of training images; {} where they have no files.

    Args:
      source: whose images they are.
      ids: [n] int.
    """
    if source.paths is None:
        return {}
    root = os.path.abspath(source.root)
    return {
        "class": [source.classes[label] for label in source.train.labels[ids]],
        "path": [os.path.join(root, source.paths[index]) for index in ids],
    }


def write_images(context: Context, sets: dict[int, dict[str, ImageSets]]) -> None:
    """Writes each made image set as PNG: `images/NAME_ipcI_seedS/CLASS/*.png`.

    Args:
      context: the run.
      sets: budget -> entry of `distill` -> its image sets.
    """
    if not mesh.primary():
        return
    for ipc, entries in sets.items():
        for name in context.settings.distill:
            made = entries[name]
            written = set()
            for seed, positions in made.positions.items():
                if positions[0] in written:  # a set that several seeds share
                    continue
                written.add(positions[0])
                folder = context.workdir.path / "images" / f"{name}_ipc{ipc}_seed{seed}"
                folder.parent.mkdir(exist_ok=True)
                chosen = made.context.pool.take(positions)
                _write_folder(chosen, context.source.classes, folder)


def _write_folder(chosen: Examples, classes, folder: pathlib.Path) -> None:
    """Writes images as PNG; files of others in the folder stay."""
    new = folder.with_name(f".new-{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    data.write_image_set(chosen.images, chosen.labels, classes, new)
    for path in sorted(file for file in new.rglob("*") if file.is_file()):
        place = folder / path.relative_to(new)
        artifacts.tell(place, path.read_bytes())
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
    shutil.rmtree(new)
