"""IDC: mosaics whose gradients of kernels are those of real images, in training."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import keys
from ddjax.artifacts import Cost
from ddjax.data.mosaics import decoded, mosaic
from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.match import loop
from ddjax.distill.match.distances import image_gradient, kernel_distance
from ddjax.distill.match.inner import Trainer
from ddjax.distill.match.options import Options, again
from ddjax.distill.match.siamese import augmented, siamese
from ddjax.distill.synthesis import start_images
from ddjax.distill.task import Ipcs, Outline
from ddjax.losses import cross_entropy
from ddjax.train.batches import normalise
from ddjax.train.programs import variables_of

_SIDE, _IPC = 32, 10  # of images and sets for which the rate is given
# In this order; of a group one operation is drawn, but for each group.
_GROUPS = (("flip",), ("color",), ("crop", "scale", "rotate"), ("cutout",))


@dataclasses.dataclass(frozen=True)
class Idc(Options):
    """Gradient matching in training on real images, with mosaics.

    On CIFAR its authors have these numbers, on Fashion-MNIST `metric` "l1",
    `learning_rate` 1e-4 and `train_images` 500, on ten classes of ImageNet at 224 px
    "l1", 6.1e-5 (theirs is 3e-3 times pixels / 50176 instead of 1024) and 500.
    """

    iterations: int = again("iterations", 2000)
    learning_rate: float = setting(
        5e-3,
        "Of SGD on pixels from 0 to 1, times IPC / 10, times pixels / 1024.",
        "(0, 1e7]",
    )
    real: int = again("real", 64)
    augment: tuple[str, ...] = again("augment", ("color", "crop", "cutout"))
    factor: int = setting(
        1,
        "An image is a mosaic of so many times so many, which students have enlarged; "
        "1: IDC-I.",
        "[1, 8]",
    )
    metric: str = setting(
        "squared", "How gradients differ: squares or absolutes.", ("squared", "l1")
    )
    rounds: int = setting(
        100,
        "Steps of all classes with one network, which is trained after each.",
        "[1, 10000]",
    )
    most: int = setting(
        128,
        "Images of a class in a step, after enlarging; more are drawn from.",
        "[1, 100000]",
    )
    train_images: int = setting(
        2000, "Real images that the network is trained on after a step.", "[1, 1000000]"
    )
    train_batch: int = setting(64, "Images of a training batch.", "[1, 100000]")
    train_rate: float = setting(0.01, "Of SGD on the network.", "(0, 100]")
    cutmix: float = setting(
        0.5, "Probability of CutMix in a training batch, without cutout.", "[0, 1]"
    )


class IdcStep(loop.Step):
    """IDC: mosaics whose gradients of kernels are real images' while a network trains.

    An iteration draws a network. In each of its `rounds`, class after class, the images
    descend the distance between the gradients of all convolutions' kernels of `real`
    images and of the class's images, which share one augmentation; then the network is
    trained on real images (momentum 0.9, weight decay 5e-4) with augmentations of
    their own and CutMix. Every class's step moves the images of all classes by their
    momentum. Pixels are cut to [0, 1] between iterations.

    Source: Kim et al., "Dataset Condensation via Efficient Synthetic-Data
    Parameterization", arXiv 2205.14959; snu-mllab/Efficient-Dataset-Condensation,
    condense.py. Deviations: real images for training are drawn with replacement;
    networks begin at random on ImageNet too, where theirs are trained for ten epochs.
    """

    def start(self, task, key):
        factor = self.options.factor
        if factor == 1 or self.options.init == "noise":
            return super().start(task, key)
        every = dataclasses.replace(task, ipc=task.ipc * factor**2)
        _, sources = start_images(every, "random", None, key)
        order = np.argsort(task.ids, kind="stable")
        places = order[np.searchsorted(task.ids, sources[:, 0], sorter=order)]
        rows = places.reshape(-1, factor**2)
        images = mosaic(task.images[rows], factor)
        return normalise(jnp.asarray(images), task.mean, task.std), task.ids[rows]

    def __call__(self, state, real, key):
        trainer = self._trainer()
        init_key, key = jax.random.split(key)
        # Steps and momentum are those of pixels in [0, 1].
        mean, std = _axes(real)
        pixels = jnp.clip(state["images"] * std + mean, 0, 1)
        start = pixels, state["velocity"], trainer.begin(self.network.init(init_key))
        losses_keys = jax.random.split(key, self.options.rounds)

        def one(carry, key):
            pixels, velocity, trained = carry
            real_key, key, train_key = jax.random.split(key, 3)
            places_CB = real.choose(real_key, self.options.real)

            def of_class(carry, given):
                pixels, velocity = carry
                label, places, key = given
                loss, gradient = self._class(
                    trained.variables, real, label, places, pixels, key
                )
                velocity = self.options.momentum * velocity + gradient
                return (pixels - self._rate(pixels) * velocity, velocity), loss

            keys = jax.random.split(key, self.num_classes)
            given = jnp.arange(self.num_classes), places_CB, keys
            (pixels, velocity), losses = jax.lax.scan(
                of_class, (pixels, velocity), given
            )

            def train(trained, key):
                return self._train(trained, real, key), None

            keys = jax.random.split(train_key, self._batches)
            trained, _ = jax.lax.scan(train, trained, keys)
            return (pixels, velocity, trained), losses.sum()

        (pixels, velocity, _), losses = jax.lax.scan(one, start, losses_keys)
        images = (jnp.clip(pixels, 0, 1) - mean) / std
        return state | {"images": images, "velocity": velocity}, losses.mean()

    def _rate(self, pixels):
        size = pixels.shape[1] * pixels.shape[2] / _SIDE**2
        return self.options.learning_rate * self.ipc / _IPC * size

    def _class(self, variables, real, label, places_B, pixels_MHWK, key):
        """The distance of a class, and its derivative by all pixels."""
        options = self.options
        view_key, few_key = jax.random.split(key)

        def loss(params, images):
            logits, _ = self.network.apply(
                variables | {"params": params}, images, train=True
            )
            return cross_entropy(logits, jnp.full(len(images), label)).mean()

        def views(pixels):
            own = jax.lax.dynamic_slice_in_dim(pixels, label * self.ipc, self.ipc)
            every = decoded(own, options.factor, 0.5)
            if len(every) > options.most:
                few = jax.random.permutation(few_key, len(every))[: options.most]
                every = every[few]
            mean, std = _axes(real)
            own = (every - mean) / std
            return _composed(options.augment, view_key, own, real.at(places_B))

        params = variables["params"]
        shown, back, real_shown = jax.vjp(views, pixels_MHWK, has_aux=True)
        known = jax.grad(loss)(params, real_shown)

        def distance(gradient):
            return kernel_distance(options.metric, known, gradient)

        value, gradient = image_gradient(loss, distance, params, shown)
        return value, back(gradient)[0]

    def _trainer(self):
        return Trainer(self.network, self.options.train_rate, 0.9, 5e-4)

    @property
    def _batches(self):
        return -(-self.options.train_images // self.options.train_batch)

    def _train(self, trained, real, key):
        """Trains a network on a batch of real images."""
        options = self.options
        real_key, view_key, mix_key = jax.random.split(key, 3)
        images, labels = real.sample(real_key, options.train_batch)
        # CutMix takes the place of cutout.
        operations = tuple(
            name for name in options.augment if name != "cutout" or not options.cutmix
        )
        for number, group in enumerate(_groups(operations)):
            images = augmented(group, jax.random.fold_in(view_key, number), images)
        targets = jax.nn.one_hot(labels, self.num_classes)
        if options.cutmix:
            images, targets = _mixed(mix_key, images, targets, options.cutmix)
        return self._trainer().step(trained, images, targets)

    def passes(self):
        options = self.options
        shown = min(self.ipc * options.factor**2, options.most)
        each = self.num_classes * (options.real + 2 * shown)
        trained = self._batches * options.train_batch
        return Cost(train_passes=options.rounds * (each + trained))

    def loops(self, state, real):
        array, integer = jax.ShapeDtypeStruct, jax.ShapeDtypeStruct((), jnp.int32)
        key = jax.eval_shape(lambda: keys.key(0))
        variables, places = (
            variables_of(self.network),
            array((self.options.real,), jnp.int32),
        )
        trained = jax.eval_shape(self._trainer().begin, variables)
        given = variables, real, integer, places, state["images"], key
        rounds = self.options.rounds
        return (
            loop.Loop(rounds * self.num_classes - 1, self._class, given),
            loop.Loop(rounds * self._batches - 1, self._train, (trained, real, key)),
        )

    def learned(self, state):
        del state
        return {"factor": self.options.factor}


def _axes(real):
    """Mean and deviation, [1,1,1,K]."""
    return real.mean.reshape(1, 1, 1, -1), real.std.reshape(1, 1, 1, -1)


def _groups(operations):
    """The operations of each group among which one is drawn."""
    found = (tuple(x for x in group if x in operations) for group in _GROUPS)
    return [group for group in found if group]


def _composed(operations, key, *stacks):
    """Augments stacks alike, by an operation of every group one after the other."""
    for number, group in enumerate(_groups(operations)):
        stacks = siamese(group, jax.random.fold_in(key, number), *stacks)
    return stacks


def _mixed(key, images_BHWK, targets_BC, probability):
    """CutMix with one box a batch, uniform in its area."""
    on_key, box_key, order_key = jax.random.split(key, 3)
    size, height, width, _ = images_BHWK.shape
    area, *centre = jax.random.uniform(box_key, (3,))
    inside = []
    for side, middle in zip((height, width), centre, strict=True):
        half = (side * jnp.sqrt(area)).astype(int) // 2
        middle, place = (side * middle).astype(int), jnp.arange(side)
        inside.append((place >= middle - half) & (place < middle + half))
    box_HW = inside[0][:, None] & inside[1][None, :]
    box_HW &= jax.random.uniform(on_key) < probability
    partners = jax.random.permutation(order_key, size)
    images = jnp.where(box_HW[None, :, :, None], images_BHWK[partners], images_BHWK)
    share = box_HW.mean()
    return images, (1 - share) * targets_BC + share * targets_BC[partners]


def _refuse(outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
    options: Idc = entry.idc
    place, fewest = join(key, "idc"), int(outline.class_counts.min())
    side = min(outline.image_shape[:2])
    allowed = f"at most half the images' {side} px"
    fits = options.factor == 1 or 2 * options.factor <= side
    require(fits, f"{place}.factor", options.factor, allowed)
    parts = max(ipcs) * options.factor**2
    allowed = f"noise, or a factor and an IPC of at most {fewest} images, not {parts}"
    fits = options.init == "noise" or parts <= fewest
    require(fits, f"{place}.init", options.init, allowed)
    params = variables_of(outline.student)["params"]
    kernels = any(leaf.ndim == 4 for leaf in jax.tree.leaves(params))
    name = type(outline.student.module).__name__
    where = f"student.network.name ({key})"
    require(kernels, where, name, "a network with convolutions, which are matched")


class _Mosaics(loop.Matching):
    def shown(self, entry: Any) -> int:
        return entry.idc.factor**2


IDC = _Mosaics(IdcStep, "IDC", {"idc": Idc}, section="idc", refuses=_refuse)
