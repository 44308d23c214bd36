"""Runs the kernel of `recover` over all batches of an image set, and survives a stop.

One batch after the other is optimised, in segments; after each its state is written, so
that memory does not grow with the number of classes.

Letters: B images of a batch, M made images, N images of the pool, H W image, K
channels, S sources of an image, T iterations.
"""

import dataclasses
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
from ddjax.distill.recover import PARTS, Batch, Form, Look, Numbers, State
from ddjax.distill.starts import start_images
from ddjax.distill.task import Distilled, Task, Teacher
from ddjax.errors import InputError
from ddjax.models import Network, running_moments
from ddjax.process import ending
from ddjax.settings.recover import Recover
from ddjax.train import checkpoint
from ddjax.train.batches import normalise
from ddjax.train.checkpoint import Checkpoint
from ddjax.train.flops import flops_of

SEGMENT = 100  # iterations between two writes

# The networks that look at a batch, and how each does.
Looks = tuple[tuple[Network, ...], tuple[Look, ...]]

_views = jax.jit(recover.views, static_argnums=0)


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
    look = Look(teacher.variables, (statistics,), np.float32(weight))
    return jax.tree.map(jnp.asarray, look)


def synthesise(
    task: Task,
    settings: Recover,
    looks: Callable[[Batch, Callable[[], jax.Array]], Looks],
    batches: list[Batch],
    init: str,
    start: Distilled | None = None,
    form_of: Callable[[Batch], Form] | None = None,
    areas_T: np.ndarray | None = None,
    var_weight: float = 1.0,
) -> Distilled:
    """Makes an image set.

    Args:
      task: what is distilled; what was finished before an interruption is taken from
        its folder.
      settings: how.
      looks: (batch, views) -> the networks that look at a batch, and as many looks;
        called before a batch's first iteration in this call. `views()` are what the
        teachers see of its start images in iteration 0, [B,H,W,K].
      batches: which images are optimised together, each image once.
      init: what images start from unless the settings say: noise, random or rded.
      start: images to start from, which an `init` of rded or a path asks for; they go
        before any `init`.
      form_of: batch -> what its synthesis does; None: the settings' views, and the loss
        of SRe2L.
      areas_T: [T] the lowest area of a crop at each iteration; None: the settings'.
      var_weight: of variances beside means.

    Returns:
      The image set; pixels are rounded to the nearest, where SRe2L cuts off. Its `info`
      has the curves of the loss's parts, averages over every 100 iterations and all
      batches. Its cost counts what earlier calls did up to their last segment.

    Raises:
      InputError: the start images or real ones are missing or do not fit, the folder
        holds another synthesis (another teacher is not noticed), or a loss is not
        finite.
    """
    if areas_T is None:
        areas_T = np.full(settings.iterations, settings.area)
    areas_T = areas_T.astype(np.float32)
    seed_key, start_key = jax.random.split(task.key)
    found, sources = start_images(task, settings.init or init, start, start_key)
    numbers = _numbers(task, settings, areas_T, var_weight, seed_key)
    images = np.zeros((len(sources), *task.images.shape[1:]), np.uint8)
    logs, cost = [], Cost()
    for number, batch in enumerate(batches):
        form = form_of(batch) if form_of else recover.form_of(settings)
        begun = found(batch.slots)
        about = [dataclasses.asdict(settings), var_weight, digest(areas_T)]
        about += [int(numbers.seed), batch.slots.tolist(), digest(np.asarray(begun))]
        kept = _Kept(task, number, digest(about))
        if kept.images is None:
            clock = time.perf_counter()
            views = functools.partial(
                _views, form.recipe, numbers, begun, batch.slots, np.int32(0)
            )
            networks, seen = looks(batch, views)
            seen = jax.block_until_ready(seen)
            spent = time.perf_counter() - clock
            # The first time, nearly all of it is compiling.
            kept.cost += Cost(0.0, spent) if number == 0 else Cost(spent)
            state = kept.state_like(recover.begin(form, begun, seen))
            onto = mesh.grid(len(batch.slots))
            rows, shared = PartitionSpec(mesh.DATA), mesh.WHOLE
            adam = optax.ScaleByAdamState(shared, rows, rows)
            specs = State(rows, adam, shared, rows), rows, shared, shared
            place = functools.partial(_place, onto)
            arguments = place(specs, (state, batch, seen, numbers))
            clock = time.perf_counter()
            program = _program(networks, form, arguments)
            kept.cost.compile_seconds += time.perf_counter() - clock
            _run(program, kept, arguments, functools.partial(place, specs[0]), task)
        images[batch.slots] = kept.images
        logs.append(kept.log)
        passes = settings.iterations * len(batch.slots) * kept.asked
        flops = settings.iterations * kept.flops
        cost += kept.cost + Cost(train_passes=passes, flops=flops)
    curves = np.mean(logs, axis=0)
    return Distilled(
        images=images,
        labels=np.repeat(np.arange(task.num_classes, dtype=np.int32), task.ipc),
        sources=sources,
        cost=cost,
        info={
            name: curve.tolist()
            for name, curve in zip(PARTS, curves.T, strict=True)
            if name in PARTS[:2] or curve.any()
        },
    )


def _place(onto, specs, tree):
    """Puts arrays on a mesh; `specs` is a prefix of their tree."""
    return jax.tree.map(lambda spec, part: mesh.place(part, onto, spec), specs, tree)


class _Program(NamedTuple):
    """A compiled kernel.

    Attributes:
      advance: (state, batch, looks, numbers, stop), see `recover.advance`.
      asked: teachers that an iteration asks.
      flops: of an iteration.
    """

    advance: Any
    asked: int
    flops: float


def _program(networks, form, arguments) -> _Program:
    leaves, structure = jax.tree.flatten(arguments)
    shapes = tuple(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
        for leaf in leaves
    )
    return _compiled(networks, form, structure, shapes)


@functools.lru_cache(maxsize=8)  # image sets of one run have few shapes
def _compiled(networks, form, structure, shapes) -> _Program:
    arguments = jax.tree.unflatten(structure, shapes)
    stop = jax.ShapeDtypeStruct((), np.int32)
    lowered = recover.advance.lower(networks, form, *arguments, stop)
    asked = 1 if form.rotate else len(networks)
    return _Program(lowered.compile(), asked, flops_of(lowered))


def _run(program, kept, arguments, place, task) -> None:
    """Brings a batch to its end."""
    state, *rest = arguments
    kept.asked, kept.flops = program.asked, program.flops
    numbers = rest[-1]
    total, done = len(numbers.areas), int(state.adam.count)
    for stop in range(done + SEGMENT, total + SEGMENT, SEGMENT):
        ending.stop_if_requested()
        stop = min(stop, total)
        clock = time.perf_counter()
        state, parts = jax.block_until_ready(
            program.advance(state, *rest, np.int32(stop))
        )
        state, parts = place(state), mesh.fetch(parts)
        row = tuple(np.asarray(parts, np.float64))
        kept.cost.seconds += time.perf_counter() - clock
        if not np.isfinite(row).all():
            shown = dict(zip(PARTS, row, strict=False))
            raise InputError(
                f"teachers: the parts of their loss are {shown} after {stop} "
                "iterations, allowed are finite numbers"
            )
        pixels = None
        if stop == total:
            black, white = np.asarray(numbers.low), np.asarray(numbers.high)
            pixels = (mesh.fetch(state.images) - black) / (white - black) * 255
            pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
        kept.write(state, row, pixels)
        task.progress(stop - done)
        done = stop


class _Kept:
    """What is kept of a batch, in a checkpoint where there is a folder.

    Attributes:
      log: [segments, 4] float64, the parts of the loss.
      images: [B,H,W,K] uint8, when they are finished.
      asked: teachers that an iteration asks.
      flops: of an iteration.
      cost: seconds so far.
    """

    def __init__(self, task: Task, number: int, identity: str):
        self.path = task.folder and task.folder / f"batch-{number:06d}"
        self.identity = identity
        self.log = np.zeros((0, len(PARTS)))
        self.images, self._leaves, self.cost = None, None, Cost()
        self.asked, self.flops = 0, 0.0
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
        self.asked, self.flops = found.info["asked"], found.info["flops"]
        self.images = arrays.get("pixels")
        if self.images is None:
            self._leaves = [arrays[f"state{place}"] for place in range(len(arrays) - 1)]

    def state_like(self, begun: State) -> State:
        """Returns the state that was written, unless nothing was done: `begun`."""
        if self._leaves is None:
            return begun
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
        info = {"identity": self.identity, "asked": self.asked, "flops": self.flops}
        done = Checkpoint(len(self.log), arrays, info, self.cost)
        checkpoint.save(self.path, done)


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
        momentum=np.float32(settings.momentum),
        drop_rate=np.float32(settings.drop_rate),
        likeness=np.float32(settings.likeness),
        flatness=np.float32(settings.flatness),
        flatness_momentum=np.float32(settings.flatness_momentum),
        roll=np.array([lowest, settings.jitter], np.int32),
        areas=areas_T,
        low=edges[0],
        high=edges[1],
        seed=jax.random.randint(key, (), 0, 2**31 - 1),
    )
