"""What all stations of a run share: settings, data, devices, and the folder."""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ddjax import models, preemption
from ddjax.artifacts import Artifact, Draft, digest
from ddjax.data import streamed
from ddjax.data.augment import Recipe
from ddjax.data.image_set import ImageSet
from ddjax.data.recipe import Dsa
from ddjax.data.source import Examples, Source
from ddjax.errors import InputError
from ddjax.labels import Objective
from ddjax.models import Network
from ddjax.observe import Profiler
from ddjax.settings import Labels, Optimizer, Settings, Teacher
from ddjax.train import batches, streaming, student, sweep
from ddjax.train.micro_batch import micro_batch_size
from ddjax.train.schedule import Steps
from ddjax.train.supervision import Supervision
from ddjax.workdir import Workdir


@dataclasses.dataclass(eq=False)
class Context:
    """A run's settings and data, and its folder once it is open.

    Attributes:
      settings: the checked settings.
      source: the loaded source.
      pool, validation, test: its three splits; selections see the pool only.
      transfer: the entry of `transfer` whose students it has; "": `student`'s.
      made: addresses of the image sets that are its pool; (): the source's images.
      images: the image set that was read, with the same number of images a class.
      soft_labels: [N,C] of the pool's images, which take the teacher's place where an
        image has one fixed label; None: the teacher's do.
      workdir: where artifacts go.
      profiler: of the first training steps; None: nobody asked for it.
      costs: one row a station, in the order in which they were reached.
      compiled: executables shared by the run's runners.
      placed: mesh -> the pool's images there, for all networks.
    """

    settings: Settings
    source: Source
    pool: Examples
    validation: Examples
    test: Examples
    transfer: str = ""
    made: tuple[str, ...] = ()
    images: ImageSet | None = None
    soft_labels: np.ndarray | None = None
    workdir: Workdir | None = None
    profiler: Profiler | None = None
    costs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    compiled: dict[Any, Any] = dataclasses.field(default_factory=dict)
    placed: dict[Any, Any] = dataclasses.field(default_factory=dict)
    started: float = dataclasses.field(default_factory=time.perf_counter)

    @functools.cached_property
    def data_digest(self) -> str:
        """Identifies the three splits."""
        splits = {
            "source": self.source.digest,
            "pool": digest(self.pool.ids),
            "validation": digest(self.validation.ids),
        }
        return digest(splits | {"made": self.made} if self.made else splits)

    @functools.cached_property
    def student_network(self) -> Network:
        return self._network(self.section, self.settings.student.network)

    @property
    def section(self) -> str:
        """The settings' section of the students' network and recipe."""
        return f"transfer.{self.transfer}" if self.transfer else "student"

    def with_student(self, name: str) -> "Context":
        """Returns the same run with the students of an entry of `transfer`.

        Raises:
          InputError: its views cannot be made of the source's images.
        """
        other, student = self.settings.transfer[name], self.settings.student
        zeta = other.zeta or student.optimizer.zeta
        student = dataclasses.replace(
            student,
            network=other.network,
            learning_rates=other.learning_rates or student.learning_rates,
            batch_size=other.batch_size or student.batch_size,
            optimizer=dataclasses.replace(student.optimizer, zeta=zeta),
        )
        settings = dataclasses.replace(self.settings, student=student)
        if not other.own_augment:
            return dataclasses.replace(self, settings=settings, transfer=name)
        settings = dataclasses.replace(settings, augment=other.augment)
        judge = dataclasses.replace(self, settings=settings, transfer=name)
        for regime in settings.regimes:
            try:
                judge.recipe(regime)
            except InputError as error:
                raise InputError(f"transfer.{name}.{error}") from error
        return judge

    def with_pool(
        self,
        pool: Examples,
        made: tuple[str, ...],
        soft_labels: np.ndarray | None = None,
    ) -> "Context":
        """Returns the same run with made images to train on.

        Args:
          pool: the images.
          made: addresses of the artifacts that hold them.
          soft_labels: [N,C] float32, rows that sum to 1, if they have labels of their
            own that are to be used.
        """
        changes = {"pool": pool, "made": made, "soft_labels": soft_labels}
        return dataclasses.replace(self, placed={}, **changes)

    def teacher_settings(self, name: str) -> Teacher:
        """Returns the settings of `teacher` or of a member of the committee."""
        if name == "teacher":
            return self.settings.teacher
        return self.settings.committee[name]

    def teacher_network(self, name: str) -> Network:
        section = name if name == "teacher" else f"committee.{name}"
        return self._network(section, self.teacher_settings(name).network)

    def _network(self, section: str, settings) -> Network:
        try:
            return models.network(
                settings.name,
                self.source.num_classes,
                self.source.shape,
                **settings.arguments(),
            )
        except InputError as error:
            if str(error).startswith("image_size"):
                why = f"{section}.network.name is {settings.name}"
                raise InputError(f"data.{error} ({why})") from error
            place = "" if str(error).startswith("dtype") else f"{settings.family}."
            raise InputError(f"{section}.network.{place}{error}") from error

    def steps(self, ipc: int) -> int:
        """Returns the optimisation steps of every student at a budget."""
        recipe = self.settings.student
        passes = recipe.passes or recipe.epochs * ipc * self.source.num_classes
        return -(-passes // recipe.batch_size)

    def labels(self, regime: str) -> Labels:
        """Returns the entry of `labels` that a regime names."""
        return self.settings.labels[regime]

    def teachers(self, regime: str) -> tuple[str, ...]:
        """Returns the names of the teachers that a regime asks."""
        labels = self.labels(regime)
        if labels.regime == "hard":
            return ()
        return labels.committee or ("teacher",)

    def supervision(self, regime: str, ipc: int) -> Supervision | None:
        """Returns the label schedule and the pool of views of a subset's students."""
        labels = self.labels(regime)
        if labels.plain:
            return None
        epochs = self.passes(ipc, ipc * self.source.num_classes)
        return Supervision(
            schedule=labels.schedule,
            epochs=epochs,
            soft_epochs=labels.soft_epochs or epochs // 2,
            hard_weight=labels.hard_weight,
            pool=labels.pool(ipc),
            by_label=labels.pool_draw == "label",
        )

    def passes(self, ipc: int, images: int) -> int:
        """Returns how often a student of a budget sees `images` images, rounded up."""
        return -(-self.steps(ipc) * self.settings.student.batch_size // images)

    def recipe(self, regime: str) -> Recipe:
        """Returns the augmentation of a regime."""
        augment, regime = self.settings.augment, self.labels(regime).regime
        shuffles = regime in augment.patch_shuffle_regimes
        dsa = None
        if augment.dsa:
            dsa = Dsa(augment.dsa, self.source.mean, self.source.std)
        recipe = Recipe(
            pad=augment.pad,
            resized_crop=augment.resized_crop or None,
            flip=augment.flip,
            cutmix=augment.cutmix if regime in augment.cutmix_regimes else 0.0,
            patch_shuffle=augment.patch_shuffle if shuffles else 0,
            dsa=dsa,
            color_jitter=augment.color_jitter or None,
            lighting=augment.lighting,
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
          teachers: those that answer on the fly.
        """
        labels = self.labels(regime)
        objective = Objective(
            labels.regime,
            teachers,
            labels.committee_mean,
            labels.committee_weights,
            labels.loss,
            self.settings.student.scale_by_t2,
            labels.dynamic_temperature,
            labels.calibrated_temperature,
            labels.gt_weight,
        )
        whole = objective.needs_whole_batch
        schedule = optimizer.schedule
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

    @property
    def streams(self) -> bool:
        """Whether the pool's images stay on disk."""
        return isinstance(self.pool.images, streamed.Images)

    def held(self, positions: np.ndarray | None = None, **teacher: Any) -> batches.Pool:
        """Returns the pool, or some of it, as training programs take it.

        Args:
          positions: which examples, read into memory where they are streamed; None:
            all, streamed or not.
          **teacher: `teacher_logits` [N,C] and `teachers` of `Pool`.
        """
        pool, logits = self.pool, teacher.get("teacher_logits")
        if positions is not None:
            pool = pool.take(positions)
            pool = dataclasses.replace(pool, images=np.asarray(pool.images))
            if logits is not None:
                teacher["teacher_logits"] = logits[positions]
        return batches.Pool(
            pool.images, pool.labels, pool.ids, self.mean, self.std, **teacher
        )

    def runner(
        self,
        program: student.Program,
        driver: str,
        positions: np.ndarray | None = None,
        **teacher: Any,
    ) -> sweep.Runner:
        """Returns what trains on the pool, or on some of it.

        Args:
          program: what is trained.
          driver: how members are run; a stream that is not read into memory has "loop".
          positions, **teacher: of `held`.
        """
        settings = self.settings
        pool = self.held(positions, **teacher)
        if isinstance(pool.images, streamed.Images):
            return streaming.Streaming(
                program, pool, self.compiled, settings.mesh.data, settings.data.workers
            )
        if positions is None:  # placed once for all programs
            onto = sweep.grid_of(driver, program.batch_size, settings.mesh.data)
            if onto not in self.placed:
                self.placed[onto] = batches.place_pool(pool, onto).images
            pool = pool._replace(images=self.placed[onto])
        return sweep.Runner(program, pool, driver, self.compiled, settings.mesh.data)

    @functools.cached_property
    def mean(self) -> np.ndarray:
        return np.asarray(self.source.mean, np.float32)

    @functools.cached_property
    def std(self) -> np.ndarray:
        return np.asarray(self.source.std, np.float32)

    def station(
        self,
        kind: str,
        label: str,
        settings: dict[str, Any],
        parents: dict[str, str],
        make: Callable[..., Draft],
    ) -> Artifact:
        """Makes or reuses an artifact, says so, and books its cost.

        Args:
          kind: the artifact's kind.
          label: what to call it on the console and in the table of costs.
          settings: JSON values that determine the result.
          parents: name -> address of what it is made from.
          make: see `Workdir.station`.
        """
        preemption.heed()
        artifact = self.workdir.station(kind, settings, parents, make)
        cost = artifact.cost
        self.costs.append(
            {
                "station": label,
                "reused": artifact.reused,
                **dataclasses.asdict(cost),
                "artifact": artifact.path.name,
            }
        )
        spent = f"{cost.seconds:.1f} s + {cost.compile_seconds:.1f} s compiling"
        verb = "reused, was" if artifact.reused else "done in"
        self.say(f"{label}: {verb} {spent}")
        return artifact

    def say(self, line: str) -> None:
        """Prints a line with the time since the start."""
        import tqdm

        seconds = time.perf_counter() - self.started
        tqdm.tqdm.write(f"[{seconds:6.1f} s] {line}", file=sys.stdout)
        sys.stdout.flush()


def hparams(
    optimizer: Optimizer,
    steps: int,
    learning_rates: np.ndarray,
    label_smoothing: float,
    temperature: float,
) -> student.HParams:
    """Returns the hyperparameters of a group, arrays [M] float32."""

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
