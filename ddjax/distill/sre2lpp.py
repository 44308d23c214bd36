"""SRe2L++: SRe2L from patches of images."""

from ddjax.distill.batches import across_classes
from ddjax.distill.synthesis import look_at, synthesise
from ddjax.distill.task import Distilled, Task
from ddjax.settings.recover import Recover


def sre2lpp(task: Task, settings: Recover, start: Distilled | None = None) -> Distilled:
    """SRe2L that starts from patches of real images.

    Args:
      task: what is distilled.
      settings: how.
      start: images to start from, which `init` = "", rded, asks for. The method's are
        RDED's, of medium difficulty: `patches.patch_loss` = medium.

    Returns:
      The image set.

    Raises:
      InputError: there are no images to start from, or as `sre2l`.

    Source: Cui et al., "Dataset Distillation via Committee Voting", arXiv 2501.07575,
    its baseline; Jiacheng8/CV-DD, recover/recover.py. Deviations as `sre2l`.
    """
    teacher = task.teachers[0]
    looks = (teacher.network,), (look_at(teacher),)
    return synthesise(
        task,
        settings,
        lambda batch, views: looks,
        across_classes(task.num_classes, task.ipc, settings.batch),
        "rded",
        start,
    )
