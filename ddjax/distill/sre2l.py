"""SRe2L: images whose activations look like those of a whole training set."""

from ddjax.distill.batches import across_classes
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.settings.recover import Recover


def sre2l(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """Recovers images of each class from the first teacher, from noise on.

    A batch holds one image of each of up to `batch` classes. Its loss is the teacher's
    cross-entropy plus `bn_weight` times the distance of its statistics from the running
    ones, see `matching`.

    Args:
      task: what is distilled; no real image is read unless `init` says so.
      settings: how.
      start: images to start from instead, `ipc` of every class, class after class.

    Returns:
      The image set.

    Raises:
      InputError: the teacher has no batch norm, or as `synthesise`.

    Source: Yin, Xing and Shen, "Squeeze, Recover and Relabel", arXiv 2306.13092;
    VILA-Lab/SRe2L. Deviations: each image is seen in its own view; a last block of
    classes is not smaller than the others by more than one; total variation and the L2
    penalty, which its scripts for ImageNet have and its recipes set to zero, are left
    out; pixels are rounded, not cut off and compressed as JPEG.
    """
    teacher = task.teachers[0]
    looks = (teacher.network,), (look_at(teacher),)
    return synthesise(
        task,
        settings,
        lambda batch, views: looks,
        across_classes(task.num_classes, task.ipc, settings.batch),
        "noise",
        start,
    )
