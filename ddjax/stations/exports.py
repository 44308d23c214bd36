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
from ddjax.stations.parts import Parts
from ddjax.stations.subsets import chosen_start, scores_of, subset_of

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@")  # what one begins with


def write_exports(
    context: Context,
    parts: Parts,
    members: pd.DataFrame,
    subsets: dict[int, Artifact],
) -> None:
    """Writes `scores/ipcI_seedS.csv` and `subsets/METHOD_ipcI_seedS.csv`.

    Examples go by their id, the position in the source's training set; class, path and
    digest stand beside it, as far as there are, by which a later run sees whether the
    file is of its source. Of a method that searches, each regime has
    its own choice: `METHOD_REGIME_ipcI_seedS.csv`.

    Args:
      context: the run.
      parts: takes note of files that cannot be written.
      members: one row a student, with the windows that searches picked.
      subsets: budget -> artifact.
    """
    if not mesh.primary():
        return
    folder, settings = context.workdir.path, context.settings
    source, ids = context.source, context.pool.ids
    count = len(source.train)
    for kind in ("scores", "subsets"):
        with parts.part(kind):
            (folder / kind).mkdir(exist_ok=True)
    for ipc, artifact in subsets.items():
        for row, seed in enumerate(settings.protocol.seeds):
            end = f"ipc{ipc}_seed{seed}.csv"
            scores = scores_of(artifact, row)
            if scores:
                path = folder / "scores" / end
                with parts.part(f"scores/{end}"):
                    data.write_scores(path, ids, scores, count, texts_of(source, ids))
            for name in settings.select.methods:
                searches = method_of(context, name).searches
                for regime in settings.regimes if searches else ("",):
                    start = chosen_start(context, members, name, regime, ipc)
                    positions = subset_of(artifact, name, row, start)
                    stem = f"{name}_{regime}" if regime else name
                    path = folder / "subsets" / f"{stem}_{end}"
                    chosen = ids[positions]
                    with parts.part(f"subsets/{path.name}"):
                        data.write_subset(path, chosen, texts_of(source, chosen))


def texts_of(source: Source, ids: np.ndarray) -> dict[str, list[str]]:
    """Returns what files say of training images: class, path, digest.

    Args:
      source: whose images they are.
      ids: [n] int.
    """
    found = data.texts(source, ids)
    if "class" in found:
        found["class"] = [_cell(name) for name in found["class"]]
    return {name: texts for name, texts in found.items() if name != "label"}


def _cell(text: str) -> str:
    """Returns a text that a spreadsheet takes for a text, not for a formula."""
    number = text[1:].replace(".", "", 1).isdigit()
    return f"'{text}" if text[:1] in _FORMULA and not number else text


def write_images(
    context: Context, parts: Parts, sets: dict[int, dict[str, ImageSets]]
) -> None:
    """Writes each made image set as PNG: `images/NAME_ipcI_seedS/CLASS/*.png`.

    Args:
      context: the run.
      parts: takes note of sets that cannot be written.
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
                with parts.part(f"images/{folder.name}"):
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
