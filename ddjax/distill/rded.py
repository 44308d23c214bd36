"""RDED, and methods that select other patches: CA2D, PCA, random crops."""

import dataclasses
from typing import Any

import numpy as np

from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.patches import (
    Patches,
    Stitched,
    by_class,
    by_difficulty,
    from_crops,
    from_random_crops,
    from_windows,
)
from ddjax.distill.task import Ipcs, Outline, SyntheticSet, Task


def rded(task: Task, entry: Any) -> SyntheticSet:
    """RDED: images stitched of the crops of real ones that a teacher finds easiest.

    Of every class `candidates` images are drawn, or all if there are fewer, and `crops`
    random crops of each. The crop with the lowest cross-entropy of the first teacher
    stands for its image; the ipc * factor^2 lowest of these are stitched, the best of
    them into the first cells.

    Equal images, ids and key give the same set in whatever order the pool is. Its
    `info["patch_loss"]` is the mean loss of each class's patches.

    Source: Sun et al., "On the Diversity and Realism of Distilled Dataset", arXiv
    2312.03526; LINs-lab/RDED, folder synthesize. There, a class with fewer images than
    candidates ends in an error, and so do fewer candidates than patches, unless one is
    left for the last cell, which all images then share; images are cropped as they lie
    on disk, here as the pool holds them, all of one size; mean and deviation are
    ImageNet's for every data set, here the data's own; the result is cut down to whole
    values and compressed as JPEG, here rounded once; nothing is seeded.
    """
    return from_crops(task, entry.patches, by_class(task))


@dataclasses.dataclass(frozen=True)
class Ca2d:
    """What ca2d, whose paper leaves it open, draws candidates from."""

    pool: int = setting(
        300,
        "How many images a class the difficulty leaves to draw candidates from. The "
        "paper's number is not known. 300 puts the images that CAD picks in the place "
        "of RDED's 300 random ones. 0: just as many as there are patches, which is the "
        "coreset of CAD-Prune itself; then only crops are selected, and no longer "
        "images.",
        "[0, 1000000]",
    )
    pool_difficulty: str = setting(
        "highest",
        "Which end of the difficulty is kept, as select.cad_prune.keep for CAD-Prune: "
        "the highest CAD, those that still fluctuate when a run of the student's "
        "length ends.",
        ("lowest", "highest"),
    )


def ca2d(task: Task, entry: Any) -> SyntheticSet:
    """CA2D: as RDED, from the images that CAD-Prune would keep.

    The `pool` images of each class with the highest difficulty come first, then
    everything is as in `rded`. The difficulty is CAD of a run as long as the student's
    budget; what the paper leaves open are options, see `Ca2d` and `Patches`.

    Source: "Hard Truths", arXiv 2604.18811, from notes on it and an independent
    re-implementation: its code was not found.
    """
    size = entry.ca2d.pool or task.ipc * entry.patches.factor**2
    ordered = by_difficulty(task, entry.ca2d.pool_difficulty)
    return from_crops(task, entry.patches, [rows[:size] for rows in ordered])


def _refuse_small_pools(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    del outline
    pool, needed = entry.ca2d.pool, max(ipcs) * entry.patches.factor**2
    allowed = f"0 or at least the {needed} patches of a class"
    require(pool == 0 or pool >= needed, join(key, "ca2d.pool"), pool, allowed)


def pca(task: Task, entry: Any) -> SyntheticSet:
    """PCA: the easiest images of each class, reduced and stitched.

    The ipc * factor^2 images of the lowest EL2N, whole; of equal ones the lower id, and
    the easiest in the first cells. No teacher and no crops: of `patches` only `factor`
    is read. Students of these images should crop within one patch, which is a matter of
    their augmentation. At factor 1 the result is the easiest images as they are.

    Source: "Rethinking Large-scale Dataset Compression", arXiv 2502.06434, from notes
    on it: the method is not in its released code, and the number of patches in an image
    was not found.
    """
    factor = entry.patches.factor
    needed = task.ipc * factor**2
    rows = np.concatenate([rows[:needed] for rows in by_difficulty(task, "lowest")])
    whole = np.array([0, 0, task.images.shape[1]], np.int32)
    return from_windows(task, factor, rows, np.tile(whole, (len(rows), 1)))


def random_crops(task: Task, entry: Any) -> SyntheticSet:
    """Random crops of random images, which no teacher ranks: a control for RDED.

    One crop of each of ipc * factor^2 random images of a class, drawn as RDED draws its
    candidates and their crops. Ours.
    """
    return from_random_crops(task, entry.patches)


RDED = Stitched(
    rded,
    "RDED",
    {"patches": Patches},
    candidates=lambda entry, needed: entry.patches.candidates,
)
CA2D = Stitched(
    ca2d,
    "CA2D",
    {"patches": Patches, "ca2d": Ca2d},
    difficulty="cad",
    refuses=_refuse_small_pools,
    candidates=lambda entry, needed: min(
        entry.patches.candidates, entry.ca2d.pool or needed
    ),
)
PCA = Stitched(pca, "PCA", {"patches": Patches}, difficulty="el2n", uses_teachers=False)
RANDOM_CROPS = Stitched(
    random_crops, "random crops", {"patches": Patches}, uses_teachers=False
)
