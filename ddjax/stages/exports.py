"""Scores, subsets, images and the recommended subset as files for other programs."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from typing import Any

import numpy as np

from ddjax import artifacts, data, mesh, report
from ddjax.data.source import Examples, Source
from ddjax.process.console import shown_path
from ddjax.report import dictionary
from ddjax.stages.findings import Findings
from ddjax.stages.subsets import chosen_start, scores_of, subset_of
from ddjax.stages.synthetic import SyntheticSets


def write_exports(found: Findings) -> None:
    """Writes `scores/ipcI_seedS.csv` and `subsets/METHOD_ipcI_seedS.csv`.

    Examples have their id, the position in the source's training set, and beside it
    class, path and digest, as far as there are: by these a later run checks that the
    file is of its source. Of a method that searches, each regime has its own choice:
    `METHOD_REGIME_ipcI_seedS.csv`.

    Args:
      found: what the run found.
    """
    if not mesh.primary():
        return
    problem, parts, folder = found.problem, found.parts, found.run.folder
    settings, source, ids = problem.settings, problem.source, problem.pool.ids
    count = len(source.train)
    for kind in ("scores", "subsets"):
        with parts.part(kind):
            (folder / kind).mkdir(exist_ok=True)
    for ipc, artifact in found.subsets.items():
        for row, seed in enumerate(settings.protocol.seeds):
            end = f"ipc{ipc}_seed{seed}.csv"
            scores = scores_of(artifact, row)
            if scores:
                path = folder / "scores" / end
                with parts.part(f"scores/{end}"):
                    data.write_scores(path, ids, scores, count, texts_of(source, ids))
            for name in settings.select.methods:
                for regime, start in found.windows(name, ipc):
                    positions = subset_of(artifact, name, row, start)
                    stem = f"{name}_{regime}" if regime else name
                    path = folder / "subsets" / f"{stem}_{end}"
                    chosen = ids[positions]
                    with parts.part(f"subsets/{path.name}"):
                        data.write_subset(path, chosen, texts_of(source, chosen))


def texts_of(source: Source, ids: np.ndarray) -> dict[str, list[str]]:
    """Describes training images for files: class, path, digest.

    Names stand there as they are, also those that a spreadsheet takes for a formula:
    quoting would not keep it from that, and an apostrophe before the name would be part
    of it for every program that reads the file.

    Args:
      source: whose images they are.
      ids: [n] int.
    """
    found = data.texts(source, ids)
    return {name: texts for name, texts in found.items() if name != "label"}


def write_readme(folder: pathlib.Path, of: str) -> None:
    """Writes `README.md`, which describes the files; one that is a user's is kept.

    Args:
      folder: of the run.
      of: "students" or "teachers", see `dictionary.readme`.
    """
    path = folder / dictionary.README
    if path.exists():
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.readline().strip() != dictionary.MARK:
                return
    artifacts.write_file(path, dictionary.readme(of).encode())


def write_images(found: Findings) -> None:
    """Writes each synthetic set as PNG: `images/NAME_ipcI_seedS/CLASS/*.png`.

    Beside a set of learned floats, which PNG rounds to 8 bits, there is
    `images/NAME_ipcI_seedS.npz` with all that it learned.
    """
    if not mesh.primary():
        return
    for ipc, entries in found.sets.items():
        for name in found.problem.settings.distill:
            sets, written = entries[name], set()
            for seed, positions in sets.positions.items():
                if positions[0] in written:  # a set that several seeds share
                    continue
                written.add(positions[0])
                folder = found.run.folder / "images" / f"{name}_ipc{ipc}_seed{seed}"
                with found.parts.part(f"images/{folder.name}"):
                    folder.parent.mkdir(exist_ok=True)
                    chosen = sets.problem.pool.take(positions)
                    classes = found.problem.source.classes
                    _write_folder(chosen, classes, folder)
                    if chosen.images.dtype != np.uint8:
                        _write_floats(sets, seed, chosen, classes, folder)


def _write_floats(
    sets: SyntheticSets, seed: int, chosen: Examples, classes, folder: pathlib.Path
) -> None:
    """Writes a learned set as .npz, as `data.read_image_set` reads it."""
    soft = sets.problem.soft_labels
    path = folder.with_name(f"{folder.name}.npz")
    path.unlink(missing_ok=True)
    data.write_image_set(
        chosen.images,
        chosen.labels,
        classes,
        path,
        "npz",
        soft_labels=None if soft is None else soft[sets.positions[seed]],
        learning_rate=sets.rates.get(seed),
    )


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


@dataclasses.dataclass(frozen=True, eq=False)
class Recommended:
    """The recommended subset.

    Attributes:
      choice: method, regime, ipc and seed.
      ids: [n] int, which training images, ascending.
      text: a sentence on it, for the console and the report.
    """

    choice: dict[str, Any]
    ids: np.ndarray
    text: str


def recommend(found: Findings) -> Recommended | None:
    """Returns the subset that validation picks under the first regime.

    It is that of the first seed, at the largest budget.

    Returns:
      The subset, None where all students of selections failed.
    """
    problem, settings = found.problem, found.problem.settings
    methods, ipc = settings.select.methods, max(settings.select.ipcs)
    row = report.recommended(found.summary, methods, settings.regimes[0], ipc)
    if row is None:
        return None
    start = chosen_start(problem, found.own, row.method, row.regime, ipc)
    positions = subset_of(found.subsets[ipc], row.method, 0, start)
    seed = problem.seeds[0]
    choice = {"method": row.method, "regime": row.regime, "ipc": ipc, "seed": seed}
    text = report.recommendation(row, len(methods), seed)
    return Recommended(choice, np.sort(problem.pool.ids[positions]), text)


def write_recommended(
    found: Findings, answer: Recommended | None, export: str | os.PathLike | None
) -> list[str]:
    """Writes `subset.csv`, and a class folder where one is wanted.

    Args:
      found: what the run found.
      answer: of `recommend`.
      export: the folder that the images are written to; None: to none.

    Returns:
      Where they are, a sentence each.
    """
    path, source = found.run.folder / "subset.csv", found.problem.source
    if answer is None:
        if mesh.primary():
            path.unlink(missing_ok=True)  # of an earlier run
        return ["no subset is recommended, since no student of a selection succeeded"]
    if mesh.primary():
        data.write_subset(path, answer.ids, texts_of(source, answer.ids))
    lines = [
        answer.text,
        f"its {len(answer.ids)} images are listed in {shown_path(path)}",
    ]
    if export is not None:
        described = answer.choice | {"text": answer.text}
        if mesh.primary():
            data.write_export(source, answer.ids, export, described)
        lines.append(f"and written as class folders to {export}")
    return lines
