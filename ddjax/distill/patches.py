"""What the methods share that make images of patches of real ones.

Rows are places in the task's pool, not example ids.

Letters: N images of the pool, C classes, P patches a class, n rows, S an image's side,
s a patch's side.
"""

import dataclasses
import time

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.distill.crops import best_crops, cut_out
from ddjax.distill.statistics import looking_cost
from ddjax.distill.stitch import stitch
from ddjax.distill.task import Distilled, Task
from ddjax.errors import InputError
from ddjax.settings.patches import Patches
from ddjax.train.micro_batch import images_in_cache

_BLOCK = 64  # images that are on the device at a time
_DRAW, _CROP = range(2)  # streams of random numbers

_best_crops = jax.jit(best_crops, static_argnums=tuple(range(5)))
_cut_out = jax.jit(cut_out, static_argnums=0)


def patches_needed(task: Task, settings: Patches) -> int:
    """Returns P, how many patches a class is made of.

    Raises:
      InputError: the images are not square or too small to be divided.
    """
    _, height, width, _ = task.images.shape
    if height != width:
        raise InputError(
            f"images: found {height} x {width} pixels, allowed is equal height and "
            "width"
        )
    if settings.factor > height:
        raise InputError(
            f"factor: found {settings.factor}, allowed is at most {height}, the "
            "images' side in pixels"
        )
    return task.ipc * settings.factor**2


def by_class(task: Task) -> list[np.ndarray]:
    """Returns the rows of each class, by ascending id."""
    rows = np.lexsort((task.ids, task.labels))
    starts = np.searchsorted(task.labels[rows], np.arange(1, task.num_classes))
    return np.split(rows, starts)


def by_difficulty(task: Task, first: str) -> list[np.ndarray]:
    """Returns the rows of each class, by difficulty.

    Args:
      task: with a difficulty.
      first: "lowest" or "highest"; of equal ones the lower id.

    Raises:
      InputError: there is no difficulty, or not one number an image.
    """
    found = task.difficulty
    if found is None:
        raise InputError("difficulty: found None, allowed is a number for every image")
    found = np.asarray(found)
    if found.shape != task.labels.shape or np.isnan(found).any():
        raise InputError(
            f"difficulty: found shape {found.shape} with {np.isnan(found).sum()} NaN, "
            f"allowed are {len(task.labels)} numbers, one for every image"
        )
    sign = {"lowest": 1, "highest": -1}[first]
    return [
        rows[np.argsort(sign * found[rows], kind="stable")] for rows in by_class(task)
    ]


def require(rows_of_class: list[np.ndarray], needed: int) -> None:
    """Raises InputError unless every class has an image for each of its patches."""
    for label, rows in enumerate(rows_of_class):
        if len(rows) < needed:
            raise InputError(
                f"ipc * factor^2: found {needed} patches a class, each of another "
                f"image, but class {label} has {len(rows)} images to take them from, "
                "allowed is at most that"
            )


def from_crops(task: Task, settings: Patches, pools: list[np.ndarray]) -> Distilled:
    """Makes images of the best random crops of real ones.

    In each class candidates are drawn from a pool, the best crop of each is found by
    the first teacher's cross-entropy, and the best of these become patches: no two of
    them are of one image.

    Args:
      task: what is to be distilled.
      settings: of the method.
      pools: for each class the rows that candidates are drawn from.

    Raises:
      InputError: there are fewer candidates than patches, or the teacher's losses are
        not finite.
    """
    began = time.perf_counter()
    needed = patches_needed(task, settings)
    if settings.candidates < needed:
        raise InputError(
            f"candidates: found {settings.candidates}, allowed is at least {needed}, "
            f"the patches of {task.ipc} images of factor {settings.factor}"
        )
    require(pools, needed)
    # Who is drawn and all that follows depends on ids, not on places in the pool.
    lots = np.asarray(_lots(jax.random.fold_in(task.key, _DRAW), task.ids))
    first = [np.lexsort((task.ids[rows], lots[rows])) for rows in pools]
    drawn = [
        rows[order[: settings.candidates]]
        for rows, order in zip(pools, first, strict=True)
    ]
    drawn = [rows[np.argsort(task.ids[rows])] for rows in drawn]
    rows = np.concatenate(drawn)
    losses, windows, compiling = _scored(task, settings, rows)
    ends = np.cumsum([len(part) for part in drawn])
    kept = [
        part[_best(losses[part], settings.patch_loss, needed)]
        for part in np.split(np.arange(len(rows)), ends[:-1])
    ]
    info = {"patch_loss": [float(losses[part].mean()) for part in kept]}
    chosen = np.concatenate(kept)
    made = from_windows(task, settings, rows[chosen], windows[chosen])
    spent = time.perf_counter() - began
    teacher, passes = task.teachers[0], len(rows) * settings.crops
    looked = looking_cost(teacher.network, teacher.variables, passes)
    cost = made.cost + looked + Cost(compile_seconds=compiling)
    cost.seconds = spent - cost.compile_seconds
    return dataclasses.replace(made, cost=cost, info=info)


def from_windows(
    task: Task, settings: Patches, rows: np.ndarray, windows: np.ndarray
) -> Distilled:
    """Cuts patches out of real images and puts them together.

    Args:
      task: what is to be distilled.
      settings: of the method.
      rows: [C*P] int, class after class, in the order in which patches fill the cells.
      windows: [C*P,3] int32, see `crops.random_windows`.
    """
    began = time.perf_counter()
    side, factor, classes = task.images.shape[1], settings.factor, task.num_classes
    (patches,), compiling = _in_blocks(
        _cut_out, (side // factor,), (), task, rows, (windows,), _BLOCK
    )
    images = [stitch(part, factor, side) for part in np.split(patches, classes)]
    # As the patches: the k-th group of `ipc` is in cell k.
    sources = task.ids[rows].reshape(classes, factor**2, task.ipc)
    sources = sources.swapaxes(1, 2).reshape(-1, factor**2)
    return Distilled(
        images=np.concatenate(images),
        labels=np.repeat(np.arange(classes, dtype=np.int32), task.ipc),
        sources=sources.astype(np.int32),
        cost=Cost(time.perf_counter() - began - compiling, compiling),
    )


def _best(losses: np.ndarray, keep: str, count: int) -> np.ndarray:
    """Places of `count` losses, the best first; "medium" are those in the middle."""
    order = np.argsort(-losses if keep == "highest" else losses, kind="stable")
    first = (len(losses) - count) // 2 if keep == "medium" else 0
    return order[first : first + count]


@jax.jit
def _lots(key, ids_N):
    return jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(ids_N)


def _scored(task, settings, rows):
    """Each row's best loss [n] and window [n,3], and the seconds of compiling."""
    teacher, side = task.teachers[0], task.images.shape[1]
    size = side // settings.factor
    seen = images_in_cache(teacher.network, _BLOCK * settings.crops)
    batch = max(1, seen // settings.crops)
    keep = "highest" if settings.patch_loss == "highest" else "lowest"
    static = (teacher.network, settings.crops, size, keep, batch)
    shared = (
        teacher.variables,
        jax.random.fold_in(task.key, _CROP),
        *(np.float32(numbers) for numbers in (settings.area, task.mean, task.std)),
    )
    columns = (np.int32(task.labels[rows]), np.int32(task.ids[rows]))
    block = _BLOCK // batch * batch
    (losses, windows), compiling = _in_blocks(
        _best_crops, static, shared, task, rows, columns, block
    )
    if not np.isfinite(losses).all():
        raise InputError(
            f"teachers: {teacher.name!r} gives {(~np.isfinite(losses)).sum()} of "
            f"{len(losses)} images a loss that is not finite, allowed is a trained "
            "network"
        )
    return losses, windows, compiling


def _in_blocks(function, static, shared, task, rows, columns, size):
    """Maps a kernel over rows in blocks of one size, so that it is compiled once.

    Args:
      function: jitted; takes `static`, `shared`, images and columns, gives arrays.
      static, shared: its first arguments, the same for all blocks.
      task: whose images; its progress is told the rows that are done.
      rows: [n] int.
      columns: arrays with a leading axis n, beside the images.
      size: of a block.

    Returns:
      A list of its results, [n,...] each on the host, and the seconds of compiling.
    """
    parts, compiled, compiling = [], None, 0.0
    for start in range(0, len(rows), size):
        real = np.arange(start, min(start + size, len(rows)))
        block = np.resize(real, size)  # the last one is filled up with copies
        taken = (task.images[rows[block]], *(column[block] for column in columns))
        if compiled is None:
            began = time.perf_counter()
            compiled = function.lower(*static, *shared, *taken).compile()
            compiling = time.perf_counter() - began
        found = jax.tree.leaves(compiled(*shared, *taken))
        parts.append([np.asarray(values)[: len(real)] for values in found])
        task.progress(len(real))
    return [np.concatenate(values) for values in zip(*parts, strict=True)], compiling
