"""Runs a kernel, `recover`'s or another, over all batches of a set; survives a stop.

One batch after the other is optimised, in segments; after each its state is written, so
that memory does not grow with the number of classes.

Letters: B images of a batch, M synthetic images, H W image, K channels, S sources of an
image, T iterations.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

from ddjax import mesh
from ddjax.artifacts import Cost, digest
from ddjax.distill import recover
from ddjax.distill.recover import PARTS, Batch, Form, Stage, State, Target
from ddjax.distill.task import SyntheticSet, Task, Teacher
from ddjax.errors import InputError
from ddjax.models import Network, running_moments
from ddjax.process import ending
from ddjax.train import checkpoint
from ddjax.train.batches import normalise
from ddjax.train.checkpoint import Checkpoint
from ddjax.train.flops import flops_of

SEGMENT = 100  # iterations between two writes

# (batch, views) -> the networks that a batch is optimised through, each with what is
# matched. It is called before a batch's first iteration in this process; views() are
# the augmented start images of iteration 0, [B,H,W,K].
TargetsOf = Callable[
    [Batch, Callable[[], jax.Array]], tuple[tuple[Network, Target], ...]
]

_ROWS: Any = PartitionSpec(mesh.DATA)  # the images of a batch are divided
_views = jax.jit(recover.views, static_argnums=0)


class Kernel(NamedTuple):
    """What moves the images of a batch.

    Attributes:
      advance: jitted; takes and gives what `recover.advance` does.
      parts: names of the loss's parts that it gives.
      targets: how the arrays of its targets are divided among devices, a prefix of
        their tree.
    """

    advance: Any = recover.advance
    parts: tuple[str, ...] = PARTS
    targets: Any = mesh.WHOLE


_RECOVER = Kernel()


def target_of(teacher: Teacher) -> Target:
    """Returns the plain target of a teacher: its own weights and running statistics.

    Raises:
      InputError: it has no batch norm.
    """
    statistics = running_moments(teacher.variables)
    if not statistics:
        raise InputError(
            f"teachers: {teacher.name!r} has no batch norm, allowed are networks with "
            "batch norm, whose running statistics images are matched with"
        )
    target = Target(teacher.variables, (statistics,), np.float32(1))
    return jax.tree.map(jnp.asarray, target)


def descend(
    task: Task,
    batches: list[Batch],
    start: Callable[[np.ndarray], jax.Array],
    targets_of: TargetsOf,
    form_of: Callable[[Batch], Form],
    stages_of: Callable[[Batch], tuple[Stage, ...]],
    numbers: Any,
    identity: Any,
    kernel: Kernel = _RECOVER,
) -> tuple[np.ndarray, dict[str, list[float]], Cost]:
    """Optimises the images of a synthetic set.

    Args:
      task: what is distilled; what was finished before an interruption is taken from
        its folder.
      batches: images that are optimised together, each image in one of them.
      start: slots [B] -> start images [B,H,W,K] float32, normalised.
      targets_of: see `TargetsOf`.
      form_of: batch -> what its descent computes.
      stages_of: batch -> the stages of its descent; all batches have as many, which end
        at the same iterations.
      numbers: of the descent, `recover.Numbers` or what the kernel takes; its `low`,
        `high` and `seed` are read here.
      identity: JSON values; with `numbers.seed`, slots and start images it identifies
        the descent in a folder (another teacher is not noticed).
      kernel: what moves the images.

    Returns:
      Images [M,H,W,K] uint8, pixels rounded to the nearest, where SRe2L cuts off; the
      curves of the loss's parts, averages over every 100 iterations of a stage and all
      batches; and the cost but for passes, with earlier calls up to their last segment.

    Raises:
      InputError: the folder holds another descent, or a loss is not finite.
    """
    images = np.zeros((len(task.slot_labels), *task.images.shape[1:]), np.uint8)
    logs, cost, parts = [], Cost(), kernel.parts
    for number, batch in enumerate(batches):
        form, begun, stages = form_of(batch), start(batch.slots), stages_of(batch)
        about = [
            identity,
            int(numbers.seed),
            batch.slots.tolist(),
            [*map(list, stages)],
        ]
        identity_of_batch = digest([*about, digest(np.asarray(begun))])
        kept = _Kept(task, number, identity_of_batch, len(parts))
        if kept.images is None:
            clock = time.perf_counter()
            views = functools.partial(
                _views, form.recipe, numbers, begun, batch.slots, np.int32(0)
            )
            networks, targets = zip(*targets_of(batch, views), strict=True)
            targets = jax.block_until_ready(targets)
            spent = time.perf_counter() - clock
            # The first time, nearly all of it is compiling.
            kept.cost += Cost(0.0, spent) if number == 0 else Cost(spent)
            state, first = kept.state_like(form, begun, targets), 0
            for stage in stages:
                done = 0 if state is None else int(state.iteration)
                if done == first:
                    state = recover.enter(form, stage, state, begun, targets)
                if done < stage.stop:
                    rest = jax.tree.map(lambda a, n=stage.rows: a[:n], batch), targets
                    arguments = (state, *rest, numbers)
                    last = stage is stages[-1]
                    state = _run(kernel, networks, form, kept, arguments, stage, last)
                first = stage.stop
        images[batch.slots] = kept.images
        logs.append(kept.log)
        cost += kept.cost + Cost(flops=kept.flops)
    curves = zip(parts, np.mean(logs, axis=0).T, strict=True)
    every = {name: curve for name, curve in curves if name in parts[:2] or curve.any()}
    return images, {name: curve.tolist() for name, curve in every.items()}, cost


def _place(onto, specs, tree):
    """Puts arrays on a mesh; `specs` is a prefix of their tree."""
    return jax.tree.map(lambda spec, part: mesh.place(part, onto, spec), specs, tree)


def _program(advance, networks, form, arguments):
    """Compiled `advance`, which takes its arrays, and FLOPs an iteration."""
    leaves, structure = jax.tree.flatten(arguments)
    shapes = tuple(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
        for leaf in leaves
    )
    return _compiled(advance, networks, form, structure, shapes)


@functools.lru_cache(maxsize=16)  # synthetic sets of one run have few shapes
def _compiled(advance, networks, form, structure, shapes):
    arguments = jax.tree.unflatten(structure, shapes)
    stop = jax.ShapeDtypeStruct((), np.int32)
    lowered = advance.lower(networks, form, *arguments, stop)
    return lowered.compile(), flops_of(lowered)


def _run(kernel, networks, form, kept, arguments, stage, last):
    """Brings a batch to the end of a stage and returns its state there."""
    onto, shared = mesh.grid(stage.rows), mesh.WHOLE
    adam = optax.ScaleByAdamState(shared, _ROWS, _ROWS)
    specs = State(_ROWS, adam, shared, shared, _ROWS), _ROWS, kernel.targets, shared
    place = functools.partial(_place, onto)
    state, *rest = placed = place(specs, arguments)
    clock = time.perf_counter()
    advance, flops = _program(kernel.advance, networks, form, placed)
    kept.cost.compile_seconds += time.perf_counter() - clock
    numbers, done = rest[-1], int(state.iteration)
    for stop in range(done + SEGMENT, stage.stop + SEGMENT, SEGMENT):
        ending.stop_if_requested()
        stop = min(stop, stage.stop)
        clock = time.perf_counter()
        state, parts = jax.block_until_ready(advance(state, *rest, np.int32(stop)))
        state, parts = place(specs[0], state), mesh.fetch(parts)
        row = tuple(np.asarray(parts, np.float64))
        kept.cost.seconds += time.perf_counter() - clock
        if not np.isfinite(row).all():
            found = dict(zip(kernel.parts, row, strict=True))
            raise InputError(
                f"teachers: the parts of their loss are {found} after {stop} "
                "iterations, allowed are finite numbers"
            )
        pixels = None
        if last and stop == stage.stop:
            black, white = np.asarray(numbers.low), np.asarray(numbers.high)
            pixels = (mesh.fetch(state.images) - black) / (white - black) * 255
            pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
        kept.flops += (stop - done) * flops
        kept.write(state, row, pixels)
        kept.task.progress(stop - done)
        done = stop
    return state if last else mesh.fetch(state)


class _Kept:
    """What is kept of a batch, in a checkpoint where there is a folder.

    Attributes:
      task: what is distilled.
      log: [segments, parts] float64, the parts of the loss.
      images: [B,H,W,K] uint8, when they are finished.
      flops: of the iterations so far.
      cost: seconds so far.
    """

    def __init__(self, task: Task, number: int, identity: str, parts: int):
        self.task, self.identity = task, identity
        self.path = task.folder and task.folder / f"batch-{number:06d}"
        self.log = np.zeros((0, parts))
        self.images, self._leaves, self.cost = None, None, Cost()
        self.flops = 0.0
        found = self.path and checkpoint.restore(self.path, task.say)
        if not found:
            return
        if found.info["identity"] != identity:
            raise InputError(
                f"folder: {self.path} belongs to another synthesis, allowed is a "
                "folder of the same task and settings or an empty one"
            )
        arrays, self.cost = found.arrays, found.cost
        self.log = arrays["log"]
        self.flops = found.info["flops"]
        self.images = arrays.get("pixels")
        if self.images is None:
            self._leaves = [arrays[f"state{place}"] for place in range(len(arrays) - 1)]

    def state_like(self, form: Form, start_BHWK, targets) -> State | None:
        """Returns the state that was written; None: nothing was done."""
        if self._leaves is None:
            return None
        begin = functools.partial(recover.begin, form)
        begun = jax.eval_shape(begin, start_BHWK, targets)
        # Copies, since the state is given away to be overwritten.
        leaves = [jnp.array(leaf) for leaf in self._leaves]
        return jax.tree.unflatten(jax.tree.structure(begun), leaves)

    def write(self, state: State, row: tuple[float, ...], pixels: np.ndarray | None):
        """Notes the end of a segment; `pixels` are the images if it was the last."""
        self.log = np.concatenate([self.log, [row]])
        self.images = pixels
        if self.path is None:
            return
        arrays = {"log": self.log}
        if pixels is None:
            leaves = enumerate(mesh.fetch(jax.tree.leaves(state)))
            arrays |= {f"state{place}": leaf for place, leaf in leaves}
        else:
            arrays |= {"pixels": pixels}
        info = {"identity": self.identity, "flops": self.flops}
        done = Checkpoint(len(self.log), arrays, info, self.cost)
        checkpoint.save(self.path, done)


def start_images(
    task: Task, init: str, start: SyntheticSet | None, key: jax.Array
) -> tuple[Callable[[np.ndarray], jax.Array], np.ndarray]:
    """Returns what images start from.

    Args:
      task: what is distilled.
      init: without `start`: "noise", or different real images of each class.
      start: images to start from, which fit the task.
      key: a typed PRNG key.

    Returns:
      Slots [B] -> normalised images [B,H,W,K] float32; and the ids of the real images
      in them, [M,S] int32.
    """
    if start is not None:
        images, sources = start.images, start.sources
    elif init == "noise":
        noise = functools.partial(_noise, task.images.shape[1:], key)
        return noise, np.zeros((len(task.slot_labels), 0), np.int32)
    else:
        draws = np.asarray(jax.random.bits(key, (len(task.labels),)))
        order = np.lexsort((draws, task.labels))
        counts = np.bincount(task.labels, minlength=task.num_classes)
        firsts = np.cumsum(counts) - counts
        places = order[(firsts[:, None] + np.arange(task.ipc)).reshape(-1)]
        images, sources = task.images[places], task.ids[places, None]
    return lambda slots: normalise(images[slots], task.mean, task.std), sources


@functools.partial(jax.jit, static_argnums=0)
def _noise(shape, key, slots_B):
    def one(slot):
        return jax.random.normal(jax.random.fold_in(key, slot), shape)

    return jax.vmap(one)(slots_B)
