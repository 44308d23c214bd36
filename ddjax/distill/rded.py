"""RDED: images stitched of the crops of real ones that a teacher finds easiest."""

from ddjax.distill.patches import by_class, from_crops
from ddjax.distill.task import Distilled, Task
from ddjax.settings.patches import Patches


def rded(task: Task, settings: Patches) -> Distilled:
    """Keeps the best random crops of random images of each class.

    Of every class `candidates` images are drawn, or all if there are fewer, and `crops`
    random crops of each. The crop with the lowest cross-entropy of the first teacher
    stands for its image; the ipc * factor^2 lowest of these are stitched, the best of
    them into the first cells.

    Args:
      task: what is to be distilled; equal images, ids and key give the same result in
        whatever order the pool is.
      settings: `pool` and `pool_difficulty` are not read.

    Returns:
      The images; `info["patch_loss"]` is the mean loss of each class's patches.

    Raises:
      InputError: the images are not square or smaller than `factor`, a class has fewer
        images (or `candidates` is less) than there are patches, or the teacher's losses
        are not finite.

    Source: Sun et al., "On the Diversity and Realism of Distilled Dataset", arXiv
    2312.03526; LINs-lab/RDED, folder synthesize. There, a class with fewer images than
    candidates ends in an error, and so do fewer candidates than patches, unless one is
    left for the last cell, which all images then share; images are cropped as they lie
    on disk, here as the pool holds them, all of one size; mean and deviation are
    ImageNet's for every data set, here the data's own; the result is cut down to whole
    values and compressed as JPEG, here rounded once; nothing is seeded.
    """
    return from_crops(task, settings, by_class(task))
