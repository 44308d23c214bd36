"""The problem of a run: settings, the splits of a source, networks. Pure values.

Letters: C classes, M members.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from ddjax import data, models
from ddjax.artifacts import digest
from ddjax.data import Examples, ImageSet, Source
from ddjax.data.augment import Cutout, Dsa, Recipe
from ddjax.data.images import Streamed
from ddjax.errors import InputError, named
from ddjax.labels import Objective
from ddjax.models import Network
from ddjax.settings import Labels, Optimizer, Settings, Teacher
from ddjax.train import student
from ddjax.train.micro_batch import micro_batch_size
from ddjax.train.schedule import Steps
from ddjax.train.supervision import Supervision

# Arguments of `data.load` -> the settings that they come from.
_LOADING = {
    name: f"data.{name}" for name in ("source", "data_dir", "image_size", "stream")
}
# Arguments of `data.read_image_set` that `images_NAME` gives.
READING = ("mean", "std", "resize", "scale", "clip", "label_kind", "contradicting")


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What a run is about: immutable, and without effects.

    Its methods derive from the settings: the steps of a budget, the augmentation of a
    regime, what is compiled.

    Attributes:
      settings: the checked settings.
      source: the loaded source.
      pool, validation, test: its three splits; selections see the pool only.
      images: the image set that was read, with the same number of images a class.
      transfer: the entry of `transfer` whose network is trained; "": `student`'s.
      base: the problem with `student`'s network; None: this one.
      synthetic: addresses of the synthetic sets that are its pool; (): the source's
        images are.
      soft_labels: [N,C] of the pool's images, which take the teacher's place where an
        image has one fixed label; None: the teacher's do.
      draw: the seed whose draw it is, see `draws`; None: of no seed.
    """

    settings: Settings
    source: Source
    pool: Examples
    validation: Examples
    test: Examples
    images: ImageSet | None = None
    transfer: str = ""
    base: Problem | None = None
    synthetic: tuple[str, ...] = ()
    soft_labels: np.ndarray | None = None
    draw: int | None = None

    @functools.cached_property
    def data_digest(self) -> str:
        """Identifies the source and its splits; the test split is the source's own."""
        splits: dict[str, Any] = {
            "source": self.source.digest,
            "pool": digest(self.pool.ids),
            "validation": digest(self.validation.ids),
        }
        if self.synthetic:
            splits["synthetic"] = self.synthetic
        return digest(splits)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.settings.protocol.seeds

    @property
    def num_classes(self) -> int:
        return self.source.num_classes

    @property
    def streams(self) -> bool:
        """Whether the pool's images stay on disk."""
        return isinstance(self.pool.images, Streamed)

    @functools.cached_property
    def mean(self) -> np.ndarray:
        return np.asarray(self.source.mean, np.float32)

    @functools.cached_property
    def std(self) -> np.ndarray:
        return np.asarray(self.source.std, np.float32)

    @functools.cached_property
    def smallest_class(self) -> int:
        """Images of the pool's smallest class."""
        return int(np.bincount(self.pool.labels, minlength=self.num_classes).min())

    @property
    def student_section(self) -> str:
        """The settings' section of the students' network and recipe."""
        return f"transfer.{self.transfer}" if self.transfer else "student"

    @functools.cached_property
    def student_network(self) -> Network:
        return self._network(self.student_section, self.settings.student.network)

    def teacher_settings(self, name: str) -> Teacher:
        """Returns the settings of `teacher` or of a member of the ensemble."""
        if name == "teacher":
            return self.settings.teacher
        return self.settings.ensemble[name]

    def teacher_network(self, name: str) -> Network:
        settings = self.teacher_settings(name).network
        return self._network(teacher_section(name), settings)

    def _network(self, section: str, settings) -> Network:
        try:
            return models.network(
                settings.name,
                self.num_classes,
                self.source.shape,
                **settings.arguments(),
            )
        except InputError as error:
            if str(error).startswith("image_size"):
                why = f"{section}.network.name is {settings.name}"
                raise InputError(f"data.{error} ({why})") from error
            place = "" if str(error).startswith("dtype") else f"{settings.family}."
            raise InputError(f"{section}.network.{place}{error}") from error

    def with_student(self, name: str) -> Problem:
        """Returns the same problem with the network of an entry of `transfer`.

        Raises:
          InputError: its views cannot be drawn from the source's images.
        """
        other, own = self.settings.transfer[name], self.settings.student
        zeta = other.zeta or own.optimizer.zeta
        own = dataclasses.replace(
            own,
            network=other.network,
            learning_rates=other.learning_rates or own.learning_rates,
            batch_size=other.batch_size or own.batch_size,
            optimizer=dataclasses.replace(own.optimizer, zeta=zeta),
        )
        settings = dataclasses.replace(self.settings, student=own)
        if not other.own_augment:
            return dataclasses.replace(
                self, settings=settings, transfer=name, base=self
            )
        settings = dataclasses.replace(settings, augment=other.augment)
        changed = dataclasses.replace(self, settings=settings, transfer=name, base=self)
        for regime in settings.regimes:
            try:
                changed.recipe(regime)
            except InputError as error:
                raise InputError(f"transfer.{name}.{error}") from error
        return changed

    def networks(self) -> dict[str, Problem]:
        """Returns the problem for each network that is trained, by `transfer`."""
        base = self.base or self
        others = {name: base.with_student(name) for name in base.settings.transfer}
        return {"": base} | others

    @functools.cached_property
    def draws(self) -> tuple[Problem, ...]:
        """The problem of each seed with `protocol.resample`, else (itself,).

        That of seed s has the pool and the validation split of s, and s is added to the
        seeds of its teachers.
        """
        if not (self.settings.protocol.resample and self.settings.regimes):
            return (self,)
        return tuple(map(self._drawn, self.seeds))

    def _drawn(self, seed: int) -> Problem:
        def trained(teacher: Teacher) -> Teacher:
            return dataclasses.replace(teacher, seed=(teacher.seed + seed) % 2**31)

        settings = self.settings
        ensemble = {name: trained(of) for name, of in settings.ensemble.items()}
        protocol = dataclasses.replace(settings.protocol, seeds=(seed,), resample=False)
        settings = dataclasses.replace(
            settings,
            teacher=trained(settings.teacher),
            ensemble=ensemble,
            protocol=protocol,
        )
        pool, validation = _divided(self.source, settings, seed)
        return dataclasses.replace(
            self, settings=settings, pool=pool, validation=validation, draw=seed
        )

    def with_pool(
        self,
        pool: Examples,
        synthetic: tuple[str, ...],
        soft_labels: np.ndarray | None = None,
    ) -> Problem:
        """Returns the same problem with synthetic images to train on.

        Args:
          pool: the images.
          synthetic: addresses of the artifacts that hold them.
          soft_labels: [N,C] float32, rows that sum to 1, if they have labels of their
            own that are to be used.
        """
        return dataclasses.replace(
            self, pool=pool, synthetic=synthetic, soft_labels=soft_labels
        )

    def steps(self, ipc: int) -> int:
        """Returns the optimisation steps of every student at a budget."""
        recipe = self.settings.student
        passes = recipe.passes or recipe.epochs * ipc * self.num_classes
        return -(-passes // recipe.batch_size)

    def epochs(self, ipc: int, images: int) -> int:
        """Returns a budget in epochs of `images` images, rounded up."""
        return -(-self.steps(ipc) * self.settings.student.batch_size // images)

    def labels(self, regime: str) -> Labels:
        """Returns the entry of `labels` that a regime names."""
        return self.settings.labels[regime]

    def labelled(self, regime: str) -> str:
        """Returns which of the three kinds of labels a regime has."""
        return self.labels(regime).regime

    def teachers(self, regime: str) -> tuple[str, ...]:
        """Returns the names of the teachers whose labels a regime has."""
        labels = self.labels(regime)
        if labels.regime == "hard":
            return ()
        return labels.ensemble or ("teacher",)

    def supervision(self, regime: str, ipc: int) -> Supervision | None:
        """Returns the label schedule and the pool of views of a subset's students."""
        labels = self.labels(regime)
        if labels.plain:
            return None
        epochs = self.epochs(ipc, ipc * self.num_classes)
        return Supervision(
            schedule=labels.schedule,
            epochs=epochs,
            soft_epochs=labels.soft_epochs or epochs // 2,
            hard_weight=labels.hard_weight,
            pool=labels.pool(ipc),
            by_label=labels.pool_draw == "label",
        )

    def label_epochs(self, regime: str, ipc: int, images: int) -> int:
        """Returns how many epochs of views of `images` images have labels."""
        return self.labels(regime).pool(ipc) or self.epochs(ipc, images)

    def recipe(self, regime: str) -> Recipe:
        """Returns the augmentation of a regime."""
        augment, regime = self.settings.augment, self.labelled(regime)
        shuffles = regime in augment.patch_shuffle_regimes
        dsa = None
        if augment.dsa:
            dsa = Dsa(augment.dsa, self.source.mean, self.source.std)
        cutout = None
        if augment.cutout:
            cutout = Cutout(augment.cutout, self.source.mean)
        recipe = Recipe(
            pad=augment.pad,
            resized_crop=augment.resized_crop or None,
            flip=augment.flip,
            cutmix=augment.cutmix if regime in augment.cutmix_regimes else 0.0,
            patch_shuffle=augment.patch_shuffle if shuffles else 0,
            dsa=dsa,
            color_jitter=augment.color_jitter or None,
            lighting=augment.lighting,
            cutout=cutout,
            policy=augment.policy,
        )
        recipe.check(*self.source.shape)
        return recipe

    def program(
        self,
        network: Network,
        optimizer: Optimizer,
        batch_size: int,
        regime: str,
        teachers: tuple[Network, ...] = (),
    ) -> student.Program:
        """Returns what is compiled to train a network under a regime.

        Args:
          network: what is trained.
          optimizer: its recipe.
          batch_size: images a step.
          regime: its labels.
          teachers: those that label views on the fly.
        """
        labels, scale_by_t2 = self.labels(regime), self.settings.student.scale_by_t2
        objective = Objective.of(labels, teachers, scale_by_t2)
        whole = objective.needs_whole_batch
        schedule: str | Steps = optimizer.schedule
        if schedule == "step":
            schedule = Steps(optimizer.step_at, optimizer.step_factor)
        return student.Program(
            network=network,
            objective=objective,
            recipe=self.recipe(regime),
            batch_size=batch_size,
            optimizer=optimizer.name,
            schedule=schedule,
            nesterov=optimizer.nesterov,
            clip=optimizer.clip > 0,
            ema=optimizer.ema > 0,
            micro_batch=0 if whole else micro_batch_size(network, batch_size),
            two_views=labels.views == 2,
        )


def teacher_section(name: str) -> str:
    """Returns the settings' section of `teacher` or of a member of the ensemble."""
    return name if name == "teacher" else f"ensemble.{name}"


def hparams(
    optimizer: Optimizer,
    steps: int,
    learning_rates: np.ndarray,
    label_smoothing: float,
    temperature: float,
) -> student.HParams:
    """Returns the hyperparameters of a group of members, arrays [M] float32."""

    def full(value):
        return np.full(len(learning_rates), value, np.float32)

    return student.HParams(
        learning_rate=np.asarray(learning_rates, np.float32),
        total_steps=full(steps),
        weight_decay=full(optimizer.weight_decay),
        momentum=full(optimizer.momentum),
        zeta=full(optimizer.zeta),
        warmup=full(optimizer.warmup),
        clip=full(optimizer.clip),
        ema=full(optimizer.ema),
        label_smoothing=full(label_smoothing),
        temperature=full(temperature),
    )


def open_problem(settings: Settings) -> Problem:
    """Loads the source and the set that `images` names; divides the source.

    Raises:
      InputError: the source, or the image set that `images` names, is wrong.
    """
    chosen = settings.data
    with named("", **_LOADING):
        source = data.load(
            chosen.source,
            chosen.data_dir or None,
            chosen.image_size or None,
            chosen.stream,
        )
    pool, validation = _divided(source, settings, seed=0)
    images = _read_images(settings, source) if settings.images else None
    if images is not None:
        budget = (len(images.labels) // source.num_classes,)
        select = dataclasses.replace(settings.select, ipcs=budget)
        settings = dataclasses.replace(settings, select=select)
    return Problem(settings, source, pool, validation, source.test, images)


def outline_problem(settings: Settings) -> Problem | None:
    """Returns a problem without pixels, None where the data have to be read.

    Args:
      settings: what to do. Images that take no memory stand in for those of a source
        of `data.facts`, and settings are not checked against them.

    Raises:
      InputError: the settings do not fit the source's shape.
    """
    chosen = settings.data
    known = data.facts(chosen.source)
    if known is None or settings.images:  # the set gives the budget
        return None
    with named("", **_LOADING):
        source = known.stand_in(chosen.source, chosen.image_size or None)
    return Problem(settings, source, *_divided(source, settings, seed=0), source.test)


def _divided(
    source: Source, settings: Settings, seed: int
) -> tuple[Examples, Examples]:
    """Returns a draw's pool and validation split."""
    train = source.train
    if settings.data.pool:
        train = data.thin(train, settings.data.pool, seed)
    return data.split_validation(train, settings.data.validation, seed)


def _read_images(settings: Settings, source: Source) -> ImageSet:
    keys = {name: f"images_{name}" for name in READING}
    with named("images", **keys):
        found = data.read_image_set(
            settings.images,
            source.classes,
            source.shape,
            settings.images_mean or None,
            settings.images_std or None,
            settings.images_resize,
            settings.images_scale,
            settings.images_clip,
            settings.images_label_kind,
            settings.images_contradicting,
            source,
        )
    if settings.images_labels and found.soft_labels is None:
        raise InputError(
            f"images_labels: found True, but {settings.images} has no soft labels"
        )
    counts = np.bincount(found.labels, minlength=source.num_classes)
    if counts.min() < counts.max():
        raise InputError(
            f"images: {settings.images} has from {counts.min()} to {counts.max()} "
            "images a class, allowed is the same number of each, which is the budget "
            "of the selections beside it"
        )
    if (found.images == found.images[:1]).all():
        raise InputError(f"images: all images of {settings.images} are the same")
    notes = data.likeness(found.images, source.mean, source.std)
    return dataclasses.replace(found, notes=found.notes + notes)
