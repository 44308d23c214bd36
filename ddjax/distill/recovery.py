"""SRe2L's family: images recovered from teachers that learned the training set.

Letters: C classes, B images of a batch, M synthetic images, T iterations.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ddjax.artifacts import Cost
from ddjax.data.augment import Recipe
from ddjax.declare import Text, setting
from ddjax.declare.walk import join, require
from ddjax.distill import patches, recover
from ddjax.distill.recover import Batch, Form, Numbers, Stage
from ddjax.distill.synthesis import descend, start_images
from ddjax.distill.task import Ipcs, Method, Outline, SyntheticSet, Task
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.train.batches import normalise
from ddjax.train.programs import Traceable, variables_of

_RDED, _MEDIAN = "rded", "median"
_INITS = ("noise", "random", _MEDIAN)  # any other init but rded is a path


@dataclasses.dataclass(frozen=True)
class Recover:
    """Gradient descent on images.

    The defaults are SRe2L's for CIFAR-100, with two departures. Crops are on, as in the
    rest of the family, where SRe2L and DWA on CIFAR only roll; `area` = 1 turns them
    off. And images roll both ways: SRe2L's one-sided roll shifts them by half of
    `jitter` on average; `two_sided` = False brings it back.
    """

    iterations: int = setting(1000, "Steps of the descent.", "[1, 1000000]")
    learning_rate: float = setting(
        0.25, "Of Adam, at the start of its cosine.", "[1e-6, 1000]"
    )
    batch: int = setting(
        100, "Images that are optimised together, at most.", "[1, 100000]"
    )
    beta1: float = setting(0.5, "Of Adam's first moment.", "[0, 1)")
    beta2: float = setting(0.9, "Of Adam's second moment.", "[0, 1)")
    bn_weight: float = setting(
        0.01, "Of the statistics' distance beside the cross-entropy.", "[0, 1e6]"
    )
    first_bn: float = setting(
        10.0, "Of the first batch norm beside the others.", "[0, 1e6]"
    )
    area: float = setting(0.08, "Lowest area of a resized crop; 1: no crops.", "(0, 1]")
    flip: bool = setting(False, "Mirror left and right with probability 1/2.")
    jitter: int = setting(4, "How far images roll, in pixels.", "[0, 512]")
    two_sided: bool = setting(True, "Roll by -jitter .. jitter, or by 0 .. jitter.")
    init: str = setting(
        "",
        "What the descent starts from: noise, random (real images of the class), "
        "median (those of median true-class probability under the first teacher), "
        "rded, or the path of an image set; '': the method's own.",
        Text("noise, random, median, rded or a path", path=True),
    )


SECTIONS = {"recover": Recover, "patches": patches.Patches}


@dataclasses.dataclass(frozen=True)
class LayerStatistics:
    """How statistics of convolutions' inputs are matched too."""

    momentum: float = setting(
        0.8,
        "Of the average of statistics over iterations; G-VBSM's ImageNet: 0.4.",
        "[0, 1)",
    )
    patch: int = setting(
        4, "Side of the patches of convolutions' inputs; ImageNet: 16.", "[1, 512]"
    )
    drop_rate: float = setting(
        0.0,
        "How probably a convolution is left out of an iteration's distance.",
        "[0, 1)",
    )


def form_of(options: Recover, **parts: Any) -> Form:
    """Returns what a descent computes: the options' augmentation, and other parts."""
    crop = (1.0, 1.0) if options.area < 1 else None
    return Form(Recipe(resized_crop=crop, flip=options.flip), **parts)


def across_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of one image a class: SRe2L's order.

    Args:
      num_classes: C.
      ipc: images of a class.
      size: B, at most; batches are as equal as they can be.
    """
    parts = np.array_split(np.arange(num_classes), -(-num_classes // size))
    return [
        _batch(classes * ipc + index, ipc) for index in range(ipc) for classes in parts
    ]


def within_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of images of one class: LPLD's order; see `across_classes`."""
    parts = np.array_split(np.arange(ipc), -(-ipc // size))
    return [
        _batch(label * ipc + indices, ipc)
        for label in range(num_classes)
        for indices in parts
    ]


def whole_classes(num_classes: int, ipc: int, size: int) -> list[Batch]:
    """Returns batches of all images of as many classes as fit; see `across_classes`.

    G-VBSM's order, but that a class is never divided unless it is too large, then
    into parts as equal as they can be.
    """
    if ipc > size:
        return within_classes(num_classes, ipc, size)
    parts = np.array_split(np.arange(num_classes), -(-num_classes // (size // ipc)))
    every = np.arange(ipc)
    return [
        _batch((classes[:, None] * ipc + every).reshape(-1), ipc) for classes in parts
    ]


def _batch(slots: np.ndarray, ipc: int) -> Batch:
    slots = slots.astype(np.int32)
    return Batch(slots, slots // np.int32(ipc))


@dataclasses.dataclass(frozen=True, eq=False)
class Recovery(Method):
    """A method that optimises images until their statistics match the training set's.

    Its function is called once a set, (task, entry) -> `synthesis.TargetsOf`: what each
    batch is matched with. All entries have `recover`, and `patches` for what starts
    from RDED's images.

    Attributes:
      init: what images start from unless `recover.init` is set: noise, random, median
        or rded.
      through: entry -> how many teachers a batch is optimised through; None: all.
      batches: (C, IPC, size) -> the batches.
      form: (entry, batch) -> what the descent of a batch computes.
      stages: (entry, batch) -> the stages of its descent.
      numbers: entry -> fields of `Numbers` beside those of `Recover`.
    """

    init: str = "noise"
    through: Callable[[Any], int | None] = lambda entry: 1
    batches: Callable[[int, int, int], list[Batch]] = across_classes
    form: Callable[[Any, Batch], Form] = lambda entry, batch: form_of(entry.recover)
    stages: Callable[[Any, Batch], tuple[Stage, ...]] = lambda entry, batch: (
        Stage(entry.recover.iterations, len(batch.slots)),
    )
    numbers: Callable[[Any], dict[str, Any]] = lambda entry: {}

    def options(self, entry: Any) -> dict[str, Any]:
        found = super().options(entry)
        if self._init(entry) != _RDED:
            del found["patches"]
        return found

    def start(self, entry: Any) -> tuple[str, str] | None:
        init = self._init(entry)
        return None if init in (*_INITS, _RDED) else ("recover.init", init)

    def _init(self, entry: Any) -> str:
        return entry.recover.init or self.init

    def check(self, outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        init, place = self._init(entry), join(key, "recover.init")
        if outline.start is not None:
            _check_start(outline, outline.start, init, place, ipcs)
        elif init == _RDED:
            patches.check_patches(outline, entry.patches, join(key, "patches"), ipcs)
        elif init not in _INITS:
            allowed = "noise, random, median or rded where no image set was read"
            require(False, place, init, allowed)
        fewest, most = int(outline.class_counts.min()), max(ipcs)
        allowed = f"what starts from at most the {fewest} real images of the smallest "
        allowed += f"class, not {most}"
        require(init not in ("random", _MEDIAN) or most <= fewest, place, init, allowed)
        if init == _MEDIAN:
            patches.check_square(outline)
        allowed = "teachers with batch norm, whose running statistics are matched"
        for name, network in outline.teachers.items():
            fits = "batch_stats" in variables_of(network)
            require(fits, join(key, "teachers"), name, allowed)
        super().check(outline, entry, key, ipcs)

    def work(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        batches = self.batches(outline.num_classes, ipc, entry.recover.batch)
        flops = sum(
            iterations * recover.iteration_flops(*program)
            for iterations, program in self._programs(outline, entry, batches[0])
        )
        cost = self._descent(outline, entry, ipc) + Cost(flops=len(batches) * flops)
        cost += self._start_cost(outline, entry)
        return cost + super().work(outline, entry, ipc)

    def _start_cost(self, outline: Outline, entry: Any) -> Cost:
        """What the start images take."""
        if self._init(entry) == _RDED:
            limit = entry.patches.candidates
            return patches.crops_cost(outline, entry.patches, limit)
        if self._init(entry) == _MEDIAN:
            return outline.forward(outline.size, 1)
        return Cost()

    def _descent(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        """The passes of the descent."""
        passes = 0
        for batch in self.batches(outline.num_classes, ipc, entry.recover.batch):
            for iterations, program in self._programs(outline, entry, batch):
                networks, form, images, _ = program
                through = 1 if form.rotate else len(networks)
                passes += iterations * images * through
        return Cost(train_passes=passes)

    def program(self, outline: Outline, entry: Any, ipc: int) -> Traceable:
        """Returns the last stage of the first batch with abstract arguments."""
        batch = self.batches(outline.num_classes, ipc, entry.recover.batch)[0]
        *_, (_, program) = self._programs(outline, entry, batch)
        return recover.program(*program)

    def _programs(
        self, outline: Outline, entry: Any, batch: Batch
    ) -> Iterator[tuple[int, tuple[tuple[Network, ...], Form, int, int]]]:
        """For each stage: its iterations, and arguments of `recover.program`."""
        form, stages = self.form(entry, batch), self.stages(entry, batch)
        networks = outline.networks(self.through(entry))
        for stage, iterations in zip(stages, recover.lengths(stages), strict=True):
            at_side = tuple(sized(network, stage.side) for network in networks)
            yield iterations, (at_side, form, stage.rows, entry.recover.iterations)

    def synthesise(
        self, task: Task, entry: Any, start: SyntheticSet | None = None
    ) -> SyntheticSet:
        outline, options, cost = task.outline(start), entry.recover, Cost()
        self.check(outline, entry, "", (task.ipc,))
        began = time.perf_counter()
        if start is None and self._init(entry) in (_RDED, _MEDIAN):
            if self._init(entry) == _RDED:
                rows = patches.by_class(task)
                start = patches.from_crops(task, entry.patches, rows)
            else:
                start = patches.median_images(task)
            cost += start.cost + self._start_cost(outline, entry)
        seed_key, start_key = jax.random.split(task.key)
        found, sources = start_images(task, self._init(entry), start, start_key)
        targets_of = self.function(task, entry)
        cost.seconds = time.perf_counter() - began - cost.compile_seconds
        images, curves, spent = descend(
            task,
            self.batches(task.num_classes, task.ipc, options.batch),
            found,
            targets_of,
            lambda batch: self.form(entry, batch),
            lambda batch: self.stages(entry, batch),
            _numbers(task, options, self.numbers(entry), seed_key),
            {name: dataclasses.asdict(o) for name, o in self.options(entry).items()},
        )
        cost += spent + self._descent(outline, entry, task.ipc)
        cost += self.costs(outline, entry, task.ipc)
        return SyntheticSet(images, task.slot_labels, sources, cost, curves)


def sized(network: Network, side: int) -> Network:
    """Returns a network that takes images of another side, pixels; 0: itself."""
    shape = (side, side, network.image_shape[2])
    return dataclasses.replace(network, image_shape=shape) if side else network


def _check_start(
    outline: Outline, start: SyntheticSet, path: str, key: str, ipcs: Ipcs
) -> None:
    """Refuses a set to start from that is not of the budget and the pool's shape."""
    classes = np.arange(outline.num_classes)
    counts = np.bincount(start.labels, minlength=outline.num_classes)
    for ipc in ipcs:
        fits = np.array_equal(start.labels, np.repeat(classes, ipc))
        allowed = f"a set of {ipc} images of every class, class after class; it has "
        require(fits, key, path, f"{allowed}{counts.min()} to {counts.max()}")
    shape = start.images.shape[1:]
    allowed = f"a set of images of shape {outline.image_shape}; it has {shape}"
    require(shape == tuple(outline.image_shape), key, path, allowed)


def check_classes(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    """Refuses a pool that lacks a class, for methods that match statistics of each."""
    del entry, key, ipcs
    counts = outline.class_counts
    if counts.min() < 1:
        raise InputError(
            f"images: found none of class {counts.argmin()}, allowed is at least one "
            "of every class, whose statistics are matched"
        )


def _numbers(task: Task, options: Recover, own: dict[str, Any], key) -> Numbers:
    edges = normalise(np.array([[0.0], [255.0]]), task.mean, task.std)
    names = ("learning_rate", "beta1", "beta2", "bn_weight", "first_bn")
    numbers = {name: getattr(options, name) for name in names} | {"var_weight": 1.0}
    terms = ("momentum", "drop_rate", "likeness", "flatness", "flatness_momentum")
    numbers |= dict.fromkeys(terms, 0.0)
    numbers |= {"areas": np.full(options.iterations, options.area)}
    lowest = -options.jitter if options.two_sided else 0
    return Numbers(
        **{name: np.float32(value) for name, value in (numbers | own).items()},
        roll=np.array([lowest, options.jitter], np.int32),
        low=edges[0],
        high=edges[1],
        seed=jax.random.randint(key, (), 0, 2**31 - 1),
    )
