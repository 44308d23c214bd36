"""Runs the kernel of `recover` over all batches of an image set, and survives a stop.

One batch after the other is optimised, in segments; after each its state is written, so
that memory does not grow with the number of classes.

Letters: B images of a batch, M made images, N images of the pool, H W image, K
channels, S sources of an image, T iterations.
"""

import dataclasses
import functools
import io
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddjax.artifacts import Cost, digest, write_file
from ddjax.distill import recover
from ddjax.distill.recover import Batch, Look, Numbers, State
from ddjax.distill.task import Distilled, Task, Teacher
from ddjax.errors import InputError
from ddjax.models import Network, running_moments
from ddjax.settings.recover import Recover
from ddjax.train.student import normalise

SEGMENT = 100  # iterations between two writes

_views = jax.jit(recover.views, static_argnums=0)


def across_classes(task: Task, size: int) -> list[Batch]:
    """Returns batches of one image a class: SRe2L's order.

    Args:
      task: whose image set it is.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(task.num_classes), -(-task.num_classes // size))
    return [
        _batch(classes * task.ipc + index, task)
        for index in range(task.ipc)
        for classes in parts
    ]


def within_classes(task: Task, size: int) -> list[Batch]:
    """Returns batches of images of one class: LPLD's order.

    Args:
      task: whose image set it is.
      size: images of a batch, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(task.ipc), -(-task.ipc // size))
    return [
        _batch(label * task.ipc + indices, task)
        for label in range(task.num_classes)
        for indices in parts
    ]


def _batch(slots, task):
    slots = slots.astype(np.int32)
    return Batch(slots, slots // np.int32(task.ipc))


def look_at(teacher: Teacher, weight: float = 1.0) -> Look:
    """Returns the plain look at a teacher: its weights and its running statistics.

    Args:
      teacher: the teacher.
      weight: of its loss.

    Raises:
      InputError: it has no batch norm.
    """
    statistics = running_moments(teacher.variables)
    if not statistics:
        raise InputError(
            f"teachers: {teacher.name!r} has no batch norm, allowed are networks with "
            "batch norm, whose running statistics images are matched with"
        )
    look = Look(teacher.variables, statistics, np.float32(weight))
    return jax.tree.map(jnp.asarray, look)


def synthesise(
    task: Task,
    settings: Recover,
    networks: tuple[Network, ...],
    looks: Callable[[Batch, Callable[[], jax.Array]], tuple[Look, ...]],
    batches: list[Batch],
    init: str,
    start: Distilled | None = None,
    areas_T: np.ndarray | None = None,
    var_weight: float = 1.0,
) -> Distilled:
    """Makes an image set.

    Args:
      task: what is distilled; what was finished before an interruption is taken from
        its folder.
      settings: how.
      networks: of the teachers.
      looks: (batch, views) -> a look a network, called before a batch's first
        iteration in this call; `views()` are what the teachers see of its start images
        in iteration 0, [B,H,W,K].
      batches: which images are optimised together, each image once.
      init: what images start from unless the settings say: noise, random or rded.
      start: images to start from, which an `init` of rded or a path asks for; they go
        before any `init`.
      areas_T: [T] the lowest area of a crop at each iteration; None: the settings'.
      var_weight: of variances beside means.

    Returns:
      The image set; pixels are rounded to the nearest, where SRe2L cuts off. Its `info`
      has the curves `cross_entropy` and `statistics`, averages over every 100
      iterations and all batches. Its cost counts what an earlier call did too, but for
      compilation and what `looks` took.

    Raises:
      InputError: the start images or real ones are missing or do not fit, the folder
        holds another synthesis (another teacher is not noticed), or a loss is not
        finite.
    """
    if areas_T is None:
        areas_T = np.full(settings.iterations, settings.area)
    areas_T = areas_T.astype(np.float32)
    seed_key, start_key = jax.random.split(task.key)
    found, sources = _starts(task, settings.init or init, start, start_key)
    recipe = recover.recipe_of(settings)
    numbers = _numbers(task, settings, areas_T, var_weight, seed_key)
    images = np.zeros((len(sources), *task.images.shape[1:]), np.uint8)
    logs, cost = [], Cost()
    for number, batch in enumerate(batches):
        begun = found(batch.slots)
        about = [dataclasses.asdict(settings), var_weight, digest(areas_T)]
        about += [int(numbers.seed), batch.slots.tolist(), digest(np.asarray(begun))]
        kept = _Kept(task.folder, number, digest(about))
        if kept.images is None:
            clock = time.perf_counter()
            views = functools.partial(
                _views, recipe, numbers, begun, batch.slots, np.int32(0)
            )
            seen = jax.block_until_ready(looks(batch, views))
            spent = time.perf_counter() - clock
            # The first time, nearly all of it is compiling.
            cost += Cost(seconds=spent) if number else Cost(compile_seconds=spent)
            program = functools.partial(recover.advance, networks, recipe)
            arguments = (batch, seen, numbers)
            cost.compile_seconds += _run(program, kept, begun, arguments, task)
        images[batch.slots] = kept.images
        logs.append(kept.log)
        cost.train_passes += settings.iterations * len(batch.slots) * len(networks)
    cost.seconds += sum(float(log[:, 2].sum()) for log in logs)
    curves = np.mean(logs, axis=0)
    return Distilled(
        images=images,
        labels=np.repeat(np.arange(task.num_classes, dtype=np.int32), task.ipc),
        sources=sources,
        cost=cost,
        info={
            "cross_entropy": curves[:, 0].tolist(),
            "statistics": curves[:, 1].tolist(),
        },
    )


def _run(program, kept, begun, arguments, task) -> float:
    """Brings a batch to its end; returns the seconds that compiling took."""
    numbers = arguments[-1]
    total = len(numbers.areas)
    state = recover.begin(begun) if kept.state is None else kept.state
    done = int(state.adam.count)
    clock = time.perf_counter()
    # Without iterations: the program is compiled unless it was before.
    state, _ = jax.block_until_ready(program(state, *arguments, np.int32(done)))
    compiling = time.perf_counter() - clock
    for stop in range(done + SEGMENT, total + SEGMENT, SEGMENT):
        stop = min(stop, total)
        clock = time.perf_counter()
        state, parts = jax.block_until_ready(program(state, *arguments, np.int32(stop)))
        row = (*np.asarray(parts, np.float64), time.perf_counter() - clock)
        if not np.isfinite(row).all():
            raise InputError(
                f"teachers: their loss is {row[0]} + bn_weight * {row[1]} after "
                f"{stop} iterations, allowed are finite numbers"
            )
        pixels = None
        if stop == total:
            black, white = np.asarray(numbers.low), np.asarray(numbers.high)
            pixels = (np.asarray(state.images) - black) / (white - black) * 255
            pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
        kept.write(state, row, pixels)
        task.progress(stop - done)
        done = stop
    return compiling


class _Kept:
    """What is kept of a batch, in a file where there is a folder.

    Attributes:
      log: [segments, 3] float64, the parts of the loss and the seconds.
      state: of the images, unless nothing was done.
      images: [B,H,W,K] uint8, when they are finished.
    """

    def __init__(self, folder: pathlib.Path | None, number: int, identity: str):
        self.path = folder and folder / f"batch-{number:06d}.npz"
        self.identity = identity
        self.log = np.zeros((0, 3))
        self.state = self.images = None
        if self.path is None or not self.path.exists():
            return
        with np.load(self.path) as file:
            arrays = dict(file)
        if arrays["identity"] != identity:
            raise InputError(
                f"folder: {self.path} belongs to another synthesis, allowed is a "
                "folder of the same task and settings or an empty one"
            )
        self.log = arrays["log"]
        self.images = arrays.get("pixels")
        if self.images is None:
            # Copies, since the state is given away to be overwritten.
            images, *adam = (
                jnp.array(arrays[name]) for name in ("images", "count", "mu", "nu")
            )
            self.state = State(images, optax.ScaleByAdamState(*adam))

    def write(self, state: State, row: tuple[float, ...], pixels: np.ndarray | None):
        """Notes the end of a segment; `pixels` are the images if it was the last."""
        self.log = np.concatenate([self.log, [row]])
        self.images = pixels
        if self.path is None:
            return
        arrays = {"identity": self.identity, "log": self.log}
        if pixels is None:
            arrays |= {"images": state.images, **state.adam._asdict()}
        else:
            arrays |= {"pixels": pixels}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_file(self.path, buffer.getbuffer())


def _numbers(task, settings, areas_T, var_weight, key) -> Numbers:
    edges = normalise(np.array([[0.0], [255.0]]), task.mean, task.std)
    lowest = -settings.jitter if settings.two_sided else 0
    return Numbers(
        learning_rate=np.float32(settings.learning_rate),
        beta1=np.float32(settings.beta1),
        beta2=np.float32(settings.beta2),
        bn_weight=np.float32(settings.bn_weight),
        first_bn=np.float32(settings.first_bn),
        var_weight=np.float32(var_weight),
        roll=np.array([lowest, settings.jitter], np.int32),
        areas=areas_T,
        low=edges[0],
        high=edges[1],
        seed=jax.random.randint(key, (), 0, 2**31 - 1),
    )


def _starts(task, init, start, key):
    """Slots [B] -> normalised start images [B,H,W,K] float32, and sources [M,S]."""
    labels = np.repeat(np.arange(task.num_classes), task.ipc)
    if start is not None:
        if not np.array_equal(start.labels, labels):
            raise InputError(
                f"start: found {len(start.labels)} images, allowed are {task.ipc} of "
                f"each of {task.num_classes} classes, class after class"
            )
        images, sources = start.images, start.sources
    elif init == "noise":
        noise = functools.partial(_noise, task.images.shape[1:], key)
        return noise, np.zeros((len(labels), 0), np.int32)
    elif init == "random":
        places = _random(task, key)
        images, sources = task.images[places], task.ids[places, None]
    else:
        raise InputError(
            f"recover.init: found {init!r} and no start images, allowed without them "
            "are noise and random"
        )
    if images.shape[1:] != task.images.shape[1:]:
        raise InputError(
            f"start: found images of shape {images.shape[1:]}, allowed is "
            f"{task.images.shape[1:]} as in the pool"
        )
    return lambda slots: normalise(images[slots], task.mean, task.std), sources


@functools.partial(jax.jit, static_argnums=0)
def _noise(shape, key, slots_B):
    def one(slot):
        return jax.random.normal(jax.random.fold_in(key, slot), shape)

    return jax.vmap(one)(slots_B)


def _random(task, key) -> np.ndarray:
    """Places of `ipc` different images of each class, in random order."""
    counts = np.bincount(task.labels, minlength=task.num_classes)
    if counts.min() < task.ipc:
        raise InputError(
            f"ipc: found {task.ipc}, but class {counts.argmin()} has only "
            f"{counts.min()} real images to start from"
        )
    draws = np.asarray(jax.random.bits(key, (len(task.labels),)))
    order = np.lexsort((draws, task.labels))
    firsts = np.cumsum(counts) - counts
    return order[(firsts[:, None] + np.arange(task.ipc)).reshape(-1)]
