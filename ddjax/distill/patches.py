"""Synthetic images stitched of patches of real ones.

Rows are places in the task's pool, not example ids.

Letters: N images of the pool, C classes, P patches a class, n rows or images, f patches
a side of an image, s a patch's side, S an image's side, K channels.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.crops import best_crops, cut_out, random_windows
from ddjax.distill.task import Ipcs, Method, Outline, SyntheticSet, Task
from ddjax.errors import InputError
from ddjax.train.micro_batch import images_in_cache

_BLOCK = 64  # images that are on the device at a time
_DRAW, _CROP = range(2)  # streams of random numbers

_best_crops = jax.jit(best_crops, static_argnums=tuple(range(5)))
_cut_out = jax.jit(cut_out, static_argnums=0)


@dataclasses.dataclass(frozen=True)
class Patches:
    """How real images are cropped, ranked and stitched: rded, ca2d and others.

    pca reads only `factor`, random_crops `factor` and `area`. Methods that optimise
    images from RDED's images read all of it.
    """

    factor: int = setting(
        1,
        "An image is a grid of factor x factor patches. RDED takes 2 from 128 pixels a "
        "side on and 1 below, where a half-size patch is too small to show its class.",
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
    crop: str = setting(
        "lowest",
        "Which crop of a candidate is kept, by the teacher's cross-entropy.",
        ("lowest", "highest"),
    )
    start: float = setting(
        0.0,
        "Which of the kept crops become patches: those from this place on in the "
        "order of their losses, 0 the lowest (RDED's), 0.5 those in the middle, which "
        'is how sre2lpp and cv_dd start, 1 the highest. The paper of ca2d keeps "the '
        'most influential" (by notes on it) and does not define; with the defaults '
        "ca2d differs from rded by its pool alone, with `crop` highest and `start` 1 "
        "it keeps the patches with the largest gradient.",
        "[0, 1]",
    )

    def check(self, key: str) -> None:
        """Raises InputError where values do not fit each other."""
        allowed = "(lowest, highest) with lowest <= highest"
        require(self.area[0] <= self.area[1], f"{key}.area", self.area, allowed)


@dataclasses.dataclass(frozen=True, eq=False)
class Stitched(Method):
    """A method that stitches images of patches of the pool's.

    Attributes:
      candidates: (entry, P) -> images of a class that are cropped, at most; None: none
        are, patches are whole images.
    """

    candidates: Callable[[Any, int], int] | None = None

    def check(self, outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        cropped = self.candidates is not None
        check_patches(outline, entry.patches, join(key, "patches"), ipcs, cropped)
        super().check(outline, entry, key, ipcs)

    def work(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        if self.candidates is None:
            return Cost()
        limit = self.candidates(entry, ipc * entry.patches.factor**2)
        return crops_cost(outline, entry.patches, limit)


def check_patches(
    outline: Outline, patches: Patches, key: str, ipcs: Ipcs, cropped: bool = True
) -> None:
    """Refuses patches that the pool cannot give.

    Args:
      outline: of the task.
      patches: the options.
      key: where they stand.
      ipcs: the budgets.
      cropped: whether there are candidates.

    Raises:
      InputError: the images are not square or smaller than `factor`, a class has fewer
        images than patches, or there are fewer candidates than that.
    """
    check_square(outline)
    height = outline.image_shape[0]
    allowed = f"at most the {height} pixels of an image's side"
    require(patches.factor <= height, f"{key}.factor", patches.factor, allowed)
    needed, smallest = max(ipcs) * patches.factor**2, int(outline.class_counts.min())
    allowed = f"what takes at most the {smallest} images of the smallest class, each "
    allowed += f"for one patch, not {needed}"
    require(needed <= smallest, f"{key}.factor", patches.factor, allowed)
    if cropped:
        found, allowed = patches.candidates, f"at least the {needed} patches of a class"
        require(found >= needed, f"{key}.candidates", found, allowed)


def check_square(outline: Outline) -> None:
    """Refuses images that are not square."""
    height, width, _ = outline.image_shape
    if height != width:
        raise InputError(
            f"data.source: found images of {height} x {width} pixels, allowed for "
            "patches are square ones; --data.image_size=PIXELS makes them so"
        )


def crops_cost(outline: Outline, patches: Patches, limit: int) -> Cost:
    """Returns the cost of predicting the crops of at most `limit` images a class."""
    cropped = int(np.minimum(outline.class_counts, limit).sum())
    return outline.forward(cropped * patches.crops, 1)


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
    if task.difficulty is None:
        raise InputError("difficulty: found None, allowed is a number for every image")
    found = np.asarray(task.difficulty)
    if found.shape != task.labels.shape or np.isnan(found).any():
        raise InputError(
            f"difficulty: found shape {found.shape} with {np.isnan(found).sum()} NaN, "
            f"allowed are {len(task.labels)} numbers, one for every image"
        )
    sign = {"lowest": 1, "highest": -1}[first]
    return [
        rows[np.argsort(sign * found[rows], kind="stable")] for rows in by_class(task)
    ]


def from_crops(task: Task, patches: Patches, pools: list[np.ndarray]) -> SyntheticSet:
    """Stitches images of the best random crops of real ones.

    In each class candidates are drawn from a pool, the best crop of each is found by
    the first teacher's cross-entropy, and a window of these, RDED's being the lowest,
    becomes patches: no two of them are of one image.

    Args:
      task: what is to be distilled.
      patches: how.
      pools: for each class the rows that candidates are drawn from, at least P.

    Returns:
      The set; `info["patch_loss"]` is the mean loss of each class's patches. Its cost
      has the seconds of compiling only.

    Raises:
      InputError: the teacher's losses are not finite.
    """
    needed = task.ipc * patches.factor**2
    drawn = _drawn(task, pools, patches.candidates)
    drawn = [rows[np.argsort(task.ids[rows])] for rows in drawn]
    rows = np.concatenate(drawn)
    losses, windows, compiling = _scored(task, patches, rows)
    ends = np.cumsum([len(part) for part in drawn])
    kept = [
        part[_window(losses[part], patches.start, needed)]
        for part in np.split(np.arange(len(rows)), ends[:-1])
    ]
    chosen = np.concatenate(kept)
    found = from_windows(task, patches.factor, rows[chosen], windows[chosen])
    cost = found.cost + Cost(compile_seconds=compiling)
    info = {"patch_loss": [float(losses[part].mean()) for part in kept]}
    return dataclasses.replace(found, cost=cost, info=info)


def from_random_crops(task: Task, patches: Patches) -> SyntheticSet:
    """Stitches images of one random crop each of random images.

    The images are the first of the candidates of `from_crops`, and the crop is the
    first of theirs.

    Args:
      task: what is to be distilled; it needs no teacher.
      patches: `factor` and `area`.
    """
    needed = task.ipc * patches.factor**2
    rows = np.concatenate(_drawn(task, by_class(task), needed))
    windows = _first_windows(
        jax.random.fold_in(task.key, _CROP),
        np.int32(task.ids[rows]),
        task.images.shape[1],
        np.asarray(patches.area, np.float32),
    )
    return from_windows(task, patches.factor, rows, np.asarray(windows))


def median_images(task: Task) -> SyntheticSet:
    """Takes real images of median true-class probability under the first teacher.

    Of each class sorted by that probability, the one in the middle (rank n / 2, rounded
    up and counted from 0), then the next above, the next below, and so on; of equal
    ones the lower id comes first.

    Args:
      task: what is to be distilled.

    Returns:
      The set; its cost has the seconds of compiling only.

    Raises:
      InputError: the teacher's losses are not finite.

    Source: `store_medium` of VILA-Lab/DELT, data_selection.py. There, ranks beyond the
    class end in an error; here they are left out.
    """
    pools, kept = by_class(task), []
    losses, compiling = _losses(task, pools)
    for pool, loss in zip(pools, losses, strict=True):
        order, middle = np.argsort(-loss, kind="stable"), -(-len(pool) // 2)
        away = np.arange(2 * len(pool) + 1)
        ranks = middle + np.where(away % 2, (away + 1) // 2, -(away // 2))
        ranks = ranks[(ranks >= 0) & (ranks < len(pool))]
        kept.append(pool[order[ranks[: task.ipc]]])
    chosen = np.concatenate(kept)
    return SyntheticSet(
        np.asarray(task.images[chosen]),
        task.slot_labels,
        task.ids[chosen, None].astype(np.int32),
        Cost(compile_seconds=compiling),
    )


def from_easiest(task: Task, factor: int, candidates: int) -> SyntheticSet:
    """Stitches whole images with the lowest cross-entropy of the first teacher.

    In each class candidates are drawn; the lowest of them, ipc * factor^2, are shrunk
    and stitched, the lowest into the first cells; of equal ones the lower id.

    Args:
      task: what is to be distilled.
      factor: f.
      candidates: images a class that are predicted, at most.

    Returns:
      The set; `info["patch_loss"]` is the mean loss of each class's images. Its cost
      has the seconds of compiling only.

    Raises:
      InputError: the teacher's losses are not finite.
    """
    drawn = _drawn(task, by_class(task), candidates)
    pools = [rows[np.argsort(task.ids[rows])] for rows in drawn]
    losses, compiling = _losses(task, pools)
    lowest = [_window(loss, 0.0, task.ipc * factor**2) for loss in losses]
    chosen = np.concatenate([a[b] for a, b in zip(pools, lowest, strict=True)])
    whole = np.array([0, 0, task.images.shape[1]], np.int32)
    found = from_windows(task, factor, chosen, np.tile(whole, (len(chosen), 1)))
    cost = found.cost + Cost(compile_seconds=compiling)
    means = [float(a[b].mean()) for a, b in zip(losses, lowest, strict=True)]
    return dataclasses.replace(found, cost=cost, info={"patch_loss": means})


def from_windows(
    task: Task, factor: int, rows: np.ndarray, windows: np.ndarray
) -> SyntheticSet:
    """Cuts patches out of real images and stitches them.

    Args:
      task: what is to be distilled.
      factor: f.
      rows: [C*P] int, class after class, in the order in which patches fill the cells.
      windows: [C*P,3] int32, see `crops.random_windows`.

    Returns:
      The set; its cost has the seconds of compiling only.
    """
    side, classes = task.images.shape[1], task.num_classes
    (patches,), compiling = _in_blocks(
        _cut_out, (side // factor,), (), task, rows, (windows,), _BLOCK
    )
    images = [stitch(part, factor, side) for part in np.split(patches, classes)]
    # As the patches: the k-th group of `ipc` is in cell k.
    sources = task.ids[rows].reshape(classes, factor**2, task.ipc)
    sources = sources.swapaxes(1, 2).reshape(-1, factor**2)
    return SyntheticSet(
        images=np.concatenate(images),
        labels=task.slot_labels,
        sources=sources.astype(np.int32),
        cost=Cost(compile_seconds=compiling),
    )


def stitch(patches: np.ndarray, factor: int, side: int) -> np.ndarray:
    """Puts n * f^2 patches together to n images of f x f cells.

    Cells are counted row by row, and the k-th group of n patches fills cell k of all
    images: with the best patch first, every image gets an equally good one of each
    rank. If f does not divide S, the first S % f rows and columns of cells are a pixel
    larger, and their patches are stretched to the nearest pixel.

    Args:
      patches: [n*f*f,s,s,K] of any dtype, s = S // f.
      factor: f, at least 1.
      side: S, pixels, at least f.

    Returns:
      [n,S,S,K] of the same dtype.

    Source: `mix_images` of LINs-lab/RDED.
    """
    size = side // factor
    lengths_f = size + (np.arange(factor) < side % factor)
    # For every row or column of an image: its cell, and its line of the patch.
    cell_S = np.repeat(np.arange(factor), lengths_f)
    line_S = np.concatenate([np.arange(n) * size // n for n in lengths_f])
    patches = np.asarray(patches)
    grid = patches.reshape(factor, factor, -1, *patches.shape[1:])
    images_SSnK = grid[cell_S[:, None], cell_S, :, line_S[:, None], line_S]
    return np.ascontiguousarray(np.moveaxis(images_SSnK, 2, 0))


def _window(losses: np.ndarray, start: float, count: int) -> np.ndarray:
    """Places of `count` losses of consecutive rank; see `select.window` for `start`."""
    first = round(start * (len(losses) - count))
    return np.argsort(losses, kind="stable")[first : first + count]


def _drawn(task: Task, pools: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Random rows of each pool, at most `count`, in the order in which they are drawn.

    The draw, and all that follows, depends on ids, not on places in the pool.
    """
    lots = np.asarray(_lots(jax.random.fold_in(task.key, _DRAW), task.ids))
    return [rows[np.lexsort((task.ids[rows], lots[rows]))[:count]] for rows in pools]


@jax.jit
def _lots(key, ids_N):
    return jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(ids_N)


@functools.partial(jax.jit, static_argnums=2)
def _first_windows(key, ids_n, side, area):
    draw = functools.partial(random_windows, key, crops=1, side=side, area=area)
    return jax.vmap(lambda example_id: draw(example_id)[0])(ids_n)


def _scored(task: Task, patches: Patches, rows: np.ndarray):
    """Each row's best loss [n] and window [n,3], and the seconds of compiling."""
    teacher, side = task.teachers[0], task.images.shape[1]
    size = side // patches.factor
    fitting = images_in_cache(teacher.network, _BLOCK * patches.crops)
    batch = max(1, fitting // patches.crops)
    static = (teacher.network, patches.crops, size, patches.crop, batch)
    shared = (
        teacher.variables,
        jax.random.fold_in(task.key, _CROP),
        *(np.asarray(x, np.float32) for x in (patches.area, task.mean, task.std)),
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


def _losses(task: Task, pools: list[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """The losses of whole images, pool by pool, and the seconds of compiling."""
    # A whole image is the only crop that covers all of it.
    whole = Patches(crops=1, area=(1.0, 1.0))
    losses, _, compiling = _scored(task, whole, np.concatenate(pools))
    return np.split(losses, np.cumsum([len(pool) for pool in pools])[:-1]), compiling


def _in_blocks(function, static, shared, task, rows, columns, size):
    """Maps a kernel over rows in blocks of one size, so that it is compiled once.

    Args:
      function: jitted; takes `static`, `shared`, images and columns, gives arrays.
      static, shared: its first arguments, the same for all blocks.
      task: whose images; its progress counts the rows that are done.
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
