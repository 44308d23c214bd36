"""CA2D: as RDED, from the images that CAD-Prune would keep."""

from ddjax.distill.patches import by_difficulty, from_crops, patches_needed
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.patches import Patches


def ca2d(task: Task, settings: Patches) -> Distilled:
    """Keeps the best random crops of images of one difficulty.

    The `pool` images of each class with the highest difficulty come first, then
    everything is as in `rded`. The difficulty is CAD of a run as long as the student's
    budget; what the paper leaves open are settings, see `Patches`.

    Args:
      task: what is to be distilled, with a difficulty.
      settings: of the method.

    Returns:
      The images; `info["patch_loss"]` is the mean loss of each class's patches.

    Raises:
      InputError: there is no difficulty, the pool is smaller than the number of
        patches, or as `rded`.

    Source: "Hard Truths", arXiv 2604.18811, from notes on it and an independent
    re-implementation: its code was not found.
    """
    needed = patches_needed(task, settings)
    size = settings.pool or needed
    if size < needed:
        raise InputError(
            f"pool: found {settings.pool}, allowed is 0 or at least {needed}, the "
            f"patches of {task.ipc} images of factor {settings.factor}"
        )
    ordered = by_difficulty(task, settings.pool_difficulty)
    return from_crops(task, settings, [rows[:size] for rows in ordered])
