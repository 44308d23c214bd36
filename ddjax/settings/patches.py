"""Images made of patches of real images: rded, ca2d and pca."""

import dataclasses

from ddjax.settings import checks

KEEP = ("lowest", "highest")
PATCHES = (*KEEP, "medium")


@dataclasses.dataclass(frozen=True)
class Patches:
    """How real images are cropped, chosen and stitched.

    rded reads the first five, pca only `factor`, ca2d all: what its paper leaves open
    are the last three, besides `factor`.
    """

    # An image is a grid of factor x factor patches. RDED takes 2 from 128 pixels a side
    # and 1 below, where a half-size patch is too small to be seen.
    factor: int = 1
    crops: int = 5  # random crops of a candidate, of which one can become a patch
    candidates: int = 300  # images a class that are cropped, drawn at random
    area: tuple[float, ...] = (0.08, 1.0)  # fractions of the image a crop may cover
    # Which patches are kept by the teacher's cross-entropy. The lowest are RDED's. The
    # paper of ca2d is said to keep "the most influential", which it does not define;
    # "highest" reads that as the patches with the largest gradient. The default is what
    # an independent re-implementation does, and lets ca2d differ from rded by its pool
    # alone. "medium", the images in the middle by the loss of their best crop, is how
    # sre2lpp and cv_dd start.
    patch_loss: str = "lowest"  # or highest, medium
    # ca2d: how many images a class the difficulty leaves to draw candidates from. The
    # paper's number is not known. 300 puts the images that CAD picks in the place of
    # RDED's 300 random ones. 0: just as many as there are patches, which is the coreset
    # of CAD-Prune itself; then only crops are chosen, and no longer images.
    pool: int = 300
    # ca2d: which end of the difficulty is kept, as `select.cad_keep` for CAD-Prune: the
    # highest CAD, those that still fluctuate when a run of the student's length ends.
    pool_difficulty: str = "highest"  # or lowest

    def check(self, section: str) -> None:
        """Raises InputError where a value makes no sense; `section` is its prefix."""
        checks.finite(f"{section}.factor", self.factor, 1)
        checks.finite(f"{section}.crops", self.crops, 1)
        checks.finite(f"{section}.candidates", self.candidates, 1)
        checks.require(
            len(self.area) == 2 and 0 < self.area[0] <= self.area[1] <= 1,
            f"{section}.area",
            self.area,
            "a pair (lowest, highest) with 0 < lowest <= highest <= 1",
        )
        checks.one_of(f"{section}.patch_loss", self.patch_loss, PATCHES)
        checks.finite(f"{section}.pool", self.pool, 0)
        checks.one_of(f"{section}.pool_difficulty", self.pool_difficulty, KEEP)
