"""Synthetic images made of patches of real images: rded, ca2d and pca."""

import dataclasses

from ddjax.declare import setting
from ddjax.declare.walk import require

KEEP = ("lowest", "highest")
PATCHES = (*KEEP, "medium")


@dataclasses.dataclass(frozen=True)
class Patches:
    """How real images are cropped, chosen and stitched.

    rded reads the first five, pca only `factor`, ca2d all: what its paper leaves open
    are the last three, besides `factor`.
    """

    factor: int = setting(
        1,
        "An image is a grid of factor x factor patches. RDED takes 2 from 128 pixels a "
        "side on and 1 below, where a half-size patch is too small to be seen.",
        "[1, 32]",
    )
    crops: int = setting(
        5, "Random crops of a candidate, of which one can become a patch.", "[1, 1000]"
    )
    candidates: int = setting(
        300, "Images a class that are cropped, drawn at random.", "[1, 1000000]"
    )
    area: tuple[float, ...] = setting(
        (0.08, 1.0),
        "(lowest, highest) fraction of the image that a crop covers.",
        "(0, 1]",
        counts="[2, 2]",
    )
    patch_loss: str = setting(
        "lowest",
        "Which patches are kept by the teacher's cross-entropy. The lowest are RDED's. "
        'The paper of ca2d is said to keep "the most influential", which it does not '
        "define; `highest` reads that as the patches with the largest gradient. The "
        "default is what an independent re-implementation does, and lets ca2d differ "
        "from rded by its pool alone. `medium`, the images in the middle by the loss "
        "of their best crop, is how sre2lpp and cv_dd start.",
        PATCHES,
    )
    pool: int = setting(
        300,
        "ca2d: how many images a class the difficulty leaves to draw candidates from. "
        "The paper's number is not known. 300 puts the images that CAD picks in the "
        "place of RDED's 300 random ones. 0: just as many as there are patches, which "
        "is the coreset of CAD-Prune itself; then only crops are chosen, and no longer "
        "images.",
        "[0, 1000000]",
    )
    pool_difficulty: str = setting(
        "highest",
        "ca2d: which end of the difficulty is kept, as `select.cad_prune.keep` for "
        "CAD-Prune: the highest CAD, those that still fluctuate when a run of the "
        "student's length ends.",
        KEEP,
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        allowed = "(lowest, highest) with lowest <= highest"
        require(self.area[0] <= self.area[1], f"{key}.area", self.area, allowed)
