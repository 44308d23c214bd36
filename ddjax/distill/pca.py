"""PCA: the easiest images of each class, made smaller and stitched."""

import numpy as np

from ddjax.distill.patches import by_difficulty, from_windows, patches_needed, require
from ddjax.distill.task import Distilled, Task
from ddjax.settings.patches import Patches


def pca(task: Task, settings: Patches) -> Distilled:
    """Stitches the ipc * factor^2 easiest images of each class, whole and made smaller.

    No teacher and no crops. Students of these images should crop within one patch,
    which is a matter of their augmentation. At factor 1 the result is the easiest
    images as they are.

    Args:
      task: what is to be distilled, with a difficulty: EL2N, of which the lowest is the
        easiest; of equal ones the lower id.
      settings: only `factor` is read.

    Returns:
      The images; the easiest fill the first cells.

    Raises:
      InputError: there is no difficulty, the images are not square or smaller than
        `factor`, or a class has fewer images than there are patches.

    Source: "Rethinking Large-scale Dataset Compression", arXiv 2502.06434, from notes
    on it: the method is not in its released code, and the number of patches in an image
    was not found.
    """
    needed = patches_needed(task, settings)
    ordered = by_difficulty(task, "lowest")
    require(ordered, needed)
    rows = np.concatenate([rows[:needed] for rows in ordered])
    whole = np.int32([0, 0, task.images.shape[1]])
    return from_windows(task, settings, rows, np.tile(whole, (len(rows), 1)))
