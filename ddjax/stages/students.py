"""Students: groups of members, trained and evaluated, one artifact a group.

Letters: M members, N images of the pool, C classes.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ddjax import mesh
from ddjax.artifacts import Artifact, Cost, Draft, digest
from ddjax.losses import LOSSES
from ddjax.problem import Problem, hparams
from ddjax.run import Run
from ddjax.stages.bundle import Teacher
from ddjax.stages.labels import Stores
from ddjax.stages.stage import Plan, Stage, Stored, Trainings, Work
from ddjax.stages.teacher import planned_network
from ddjax.train import student, sweep
from ddjax.train.evaluate import correct_and_loss
from ddjax.train.members import Members
from ddjax.train.programs import forward_flops, native, step_flops

_TRAIN_IMAGES = 1000  # of a subset, that its students' train accuracy is measured on


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One student to be trained.

    Attributes:
      method: the selection it stands for, or FULL for the whole pool.
      ipc: the budget.
      seed: of weights, order and augmentation.
      learning_rate: the peak rate.
      positions: int32 positions in the pool.
      label: what distinguishes it in a search, such as the window's start.
    """

    method: str
    ipc: int
    seed: int
    learning_rate: float
    positions: np.ndarray
    label: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a member.

    Accuracies are in percent, the loss is the mean cross-entropy in nats, NaN if it
    failed or they were not read; `label_bytes` are those of its labels by their
    format's formula, NaN of views that are labelled on the fly, `label_disk_bytes`
    those of its store, NaN without one. `train_curve` and
    `test_curve` are accuracies after `curve_steps` steps, on the subset's own images
    and on the test split, all three empty without `protocol.curves`.
    """

    member: Member
    val_accuracy: float
    accuracy: float
    test_loss: float
    curve: np.ndarray
    train_seconds: float
    steps: int
    image_passes: int
    label_bytes: float = float("nan")
    label_disk_bytes: float = float("nan")
    train_curve: Sequence[float] = ()
    test_curve: Sequence[float] = ()
    curve_steps: Sequence[int] = ()

    @property
    def failed(self) -> bool:
        """Whether training diverged."""
        return not np.isfinite(self.val_accuracy)


class Students:
    """Trains one network on one pool of images, under all regimes."""

    def __init__(
        self,
        run: Run,
        problem: Problem,
        teachers: dict[str, Teacher],
        fixed_labels: Artifact | None = None,
    ):
        """Keeps what all groups share, and measures the drivers for `auto`.

        Args:
          run: where they are trained.
          problem: the network and the pool.
          teachers: by name, those whose labels the soft regimes have.
          fixed_labels: of the pool, required by `soft`.
        """
        self.run = run
        self.problem = problem
        self.teachers = teachers
        self.fixed_labels = fixed_labels
        self.stores = Stores(run, problem, teachers)
        self._runners: dict[str, sweep.Runner] = {}
        self.driver = problem.settings.sweep.driver
        if self.driver == "auto":
            self.driver = self._fastest_driver()

    def _fastest_driver(self) -> str:
        """Times a few steps of each driver; the choice is kept in the folder."""
        problem, regime = self.problem, "hard"
        size = problem.settings.sweep.members
        settings = self.recipe(regime) | {
            "members": size,
            "devices": jax.device_count(),
            "platform": jax.default_backend(),
        }

        def make(folder: pathlib.Path) -> Draft:
            del folder
            positions = np.arange(problem.settings.student.batch_size, dtype=np.int32)
            held = positions if problem.streams else None
            members = Members(
                np.arange(size, dtype=np.int32),
                [positions] * size,
                self.hparams(regime, 1, np.full(size, 1e-3)),
            )
            names = ["vmap", "loop"] + ["mesh"] * (jax.device_count() > 1)
            runners = {name: self.make_runner(regime, name, held) for name in names}
            milliseconds = {
                name: 1e3 * runner.time_step(members)
                for name, runner in runners.items()
            }
            cost = sum((r.take_cost() for r in runners.values()), start=Cost())
            info = {
                "driver": min(milliseconds, key=milliseconds.__getitem__),
                "milliseconds_per_member_step": milliseconds,
            }
            return Draft(arrays={}, info=info, cost=cost)

        artifact = self.run.artifact("driver", "choice of driver", settings, {}, make)
        measured = artifact.info["milliseconds_per_member_step"]
        times = ", ".join(f"{name} {value:.2f}" for name, value in measured.items())
        driver = artifact.info["driver"]
        self.run.say(f"driver {driver} (ms a member-step: {times})")
        return driver

    def parents(self, regime: str) -> dict[str, str]:
        """Returns what a regime's students depend on."""
        parents = {"data": self.problem.data_digest}
        if self.problem.labels(regime).regime == "soft":
            return parents | {"labels": self.fixed_labels.address}
        for name in self.problem.teachers(regime):
            parents[name] = self.teachers[name].address
        return parents

    def recipe(self, regime: str) -> dict[str, Any]:
        """Returns the settings that determine a regime's students."""
        settings, labels = self.problem.settings, self.problem.labels(regime)
        recipe = dataclasses.asdict(settings.student)
        unused = ["learning_rates", "epochs", "passes", "network"]
        given: tuple[str, ...] = ()
        if labels.regime != "hard":
            given = LOSSES[labels.loss].given
            unused += ["label_smoothing"]
            recipe["temperature"] = self.temperature(regime)
        unused += {"temperature", "scale_by_t2"} - {*given}
        for name in unused:
            del recipe[name]
        recipe["optimizer"] = settings.student.optimizer.used()
        network = settings.student.network
        described = {
            "regime": labels.regime,
            "network": {"name": network.name, **network.options()},
            "student": recipe,
            "augment": self.problem.recipe(regime).used(),
        }
        return described if labels.plain else described | {"labels": labels.used()}

    def temperature(self, regime: str) -> float:
        """Returns the temperature of a regime's soft steps."""
        labels = self.problem.labels(regime)
        return labels.temperature or self.problem.settings.student.temperature

    def runner(self, regime: str, positions: np.ndarray | None = None) -> sweep.Runner:
        """Returns the regime's runner.

        Args:
          regime: of the students.
          positions: what they train on where that is read into memory; None: the pool.
        """
        if positions is not None:
            return self.make_runner(regime, self.driver, positions)
        if regime not in self._runners:
            self._runners[regime] = self.make_runner(regime, self.driver)
        return self._runners[regime]

    def make_runner(
        self, regime: str, driver: str, positions: np.ndarray | None = None
    ) -> sweep.Runner:
        """Returns a new runner of a driver; see `runner`."""
        problem, labels = self.problem, self.problem.labels(regime)
        settings = problem.settings.student
        labelled: dict[str, Any] = {}
        networks: tuple[Any, ...] = ()
        if labels.regime == "soft":
            labelled["teacher_logits"] = self.fixed_labels.arrays["logits"]
        if labels.regime == "soft_kd" and not labels.codec:
            teachers = [self.teachers[name] for name in problem.teachers(regime)]
            networks = tuple(teacher.network for teacher in teachers)
            labelled["teachers"] = tuple(teacher.variables for teacher in teachers)
        program = problem.program(
            problem.student_network,
            settings.optimizer,
            settings.batch_size,
            regime,
            networks,
        )
        return self.run.runner(problem, program, driver, positions, **labelled)

    def hparams(self, regime: str, steps: int, rates: np.ndarray) -> student.HParams:
        """Returns the hyperparameters of a regime's students, arrays [M] float32."""
        settings, labels = self.problem.settings.student, self.problem.labels(regime)
        smoothing = settings.label_smoothing
        if labels.schedule != "constant":
            smoothing = labels.hard_smoothing
        return hparams(
            settings.optimizer, steps, rates, smoothing, self.temperature(regime)
        )

    def train(
        self, label: str, regime: str, members: list[Member], read_test: bool
    ) -> list[Outcome]:
        """Trains members of one budget, in groups, and evaluates them.

        Args:
          label: what the groups are for, on the console and in the costs.
          regime: their labels.
          members: students of equal budget.
          read_test: whether the test split is read, and `protocol.curves` measured;
            searches do neither, unless they choose by the test split.

        Returns:
          One outcome a member, in the same order.
        """
        whole = [len(m.positions) == len(self.problem.pool) for m in members]
        if self.problem.streams and 0 < sum(whole) < len(members):
            # What fits in memory and what does not.
            rows = np.argsort(whole, kind="stable")
            parts = np.split(rows, [len(members) - sum(whole)])
            outcomes = [
                self.train(label, regime, [members[row] for row in part], read_test)
                for part in parts
            ]
            ordered = dict(zip(rows.tolist(), sum(outcomes, []), strict=True))
            return [ordered[row] for row in range(len(members))]
        largest = self.problem.settings.sweep.members
        count = -(-len(members) // largest)
        bounds = np.linspace(0, len(members), count + 1).round().astype(int)
        outcomes = []
        for index, (first, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
            other = self.problem.transfer
            who = f"{label}, {other}" if other else label
            name = f"{who}, {regime}, IPC {members[0].ipc}"
            if count > 1:
                name += f", group {index + 1} of {count}"
            outcomes += self._train_group(name, regime, members[first:stop], read_test)
        return outcomes

    def _train_group(self, label, regime, members, read_test) -> list[Outcome]:
        problem, ipc = self.problem, members[0].ipc
        steps = problem.steps(ipc)
        supervision = problem.supervision(regime, ipc)
        settings = self.recipe(regime) | {
            "steps": steps,
            "read_test": read_test,
            "members": [
                {
                    "seed": int(m.seed),
                    "learning_rate": float(m.learning_rate),
                    "subset": digest(m.positions),
                }
                for m in members
            ],
        }
        parents, stores = self.parents(regime), None
        stops = curve_stops(steps, problem.settings.protocol.curves * read_test)
        if stops:
            settings["curve_steps"] = list(stops)
        if supervision is not None:
            settings["supervision"] = dataclasses.asdict(supervision)
        if problem.labels(regime).codec:
            stores = [
                self.stores.open(regime, ipc, m.seed, m.positions) for m in members
            ]
            parents["stores"] = digest([store.artifact.address for store in stores])
        partial = self.run.workdir.partial_folder("students", settings, parents)

        def make(folder: pathlib.Path) -> Draft:
            del folder
            held, subsets = self._held(members)
            runner = self.runner(regime, held)
            runner.take_cost()
            group = Members(
                np.array([m.seed for m in members], np.int32),
                subsets,
                self.hparams(
                    regime, steps, np.array([m.learning_rate for m in members])
                ),
                supervision,
                stores and [store.targets_of(held) for store in stores],
            )
            with self.run.training(label, steps * len(members), runner) as watch:
                states, curves = runner.train(
                    group,
                    steps,
                    stops,
                    lambda states, _: (self._measure(runner, states, members), {}),
                    folder=partial,
                    checkpoint_seconds=problem.settings.sweep.checkpoint_seconds,
                    watch=watch,
                )
            arrays = self._evaluate(runner, states, len(members), read_test)
            arrays |= {name: curve.T for name, curve in curves.items()}
            return Draft(arrays, {"label": label}, runner.take_cost())

        artifact = self.run.artifact("students", label, settings, parents, make)
        seconds = artifact.cost.seconds / len(members)
        views = problem.labels(regime).views
        passes = steps * problem.settings.student.batch_size * views
        arrays = artifact.arrays
        measured = ("train_curve", "test_curve") if stops else ()
        return [
            Outcome(
                member,
                float(arrays["val_accuracy"][row]),
                float(arrays["test_accuracy"][row]) if read_test else float("nan"),
                float(arrays["test_loss"][row]) if read_test else float("nan"),
                arrays["curve"][row],
                seconds,
                steps,
                passes,
                *(stores[row].bytes if stores else self.label_bytes(regime, member)),
                **{name: arrays[name][row] for name in measured},
                curve_steps=stops,
            )
            for row, member in enumerate(members)
        ]

    def _held(self, members: list[Member]) -> tuple[np.ndarray | None, list]:
        """Returns the part of a stream that some members train on.

        Returns:
          (its positions in the pool, None for all of it; each member's positions in it)
        """
        subsets = [member.positions for member in members]
        if not self.problem.streams or len(subsets[0]) == len(self.problem.pool):
            return None, subsets
        held = np.unique(np.concatenate(subsets))
        problem = self.problem
        size = len(held) * math.prod(problem.source.shape)
        shared_by = max(1, problem.settings.mesh.data)
        mesh.check_memory(size // shared_by, "sweep.members")
        places = [np.searchsorted(held, positions) for positions in subsets]
        return held, [place.astype(np.int32) for place in places]

    def label_bytes(self, regime: str, member: Member) -> tuple[float, float]:
        """Returns the bytes of a student's labels where no store holds them.

        A class is an index of ceil(log2 C) bits, a fixed label C float32 numbers.
        """
        classes = self.problem.num_classes
        each = {"hard": np.ceil(np.log2(classes)) / 8, "soft": 4.0 * classes}
        size = each.get(self.problem.labels(regime).regime, np.nan)
        return size * len(member.positions), np.nan

    def _measure(self, runner, states, members: list[Member]) -> dict[str, np.ndarray]:
        """Returns the accuracies after a step, [M] float32, NaN of those that diverged.

        All members predict the images of all subsets at once, at most _TRAIN_IMAGES of
        each and evenly spaced, and each is evaluated on its own.
        """
        pool, test, count = self.problem.pool, self.problem.test, len(members)
        own = [_spaced(np.sort(member.positions)) for member in members]
        shown = np.unique(np.concatenate(own))
        seen = runner.evaluate(
            correct_and_loss, states, count, pool.images[shown], pool.labels[shown]
        )
        places = [np.searchsorted(shown, positions) for positions in own]
        train = [
            _accuracy({name: found[row, at] for name, found in seen.items()})
            for row, at in enumerate(places)
        ]
        seen = runner.evaluate(
            correct_and_loss, states, count, test.images, test.labels
        )
        return {
            "train_curve": np.array(train, np.float32),
            "test_curve": _accuracy(seen).astype(np.float32),
        }

    def _evaluate(self, runner, states, count: int, read_test: bool) -> dict[str, Any]:
        problem = self.problem
        curves = np.concatenate([mesh.fetch(state["curve"]) for state in states])
        sums, counts = np.moveaxis(curves[:count], 1, 0)
        with np.errstate(invalid="ignore"):
            arrays = {"curve": sums / counts}
        failed = ~np.isfinite(sums).all(axis=-1)
        splits = {"val": problem.validation}
        if read_test:
            splits["test"] = problem.test
        for name, split in splits.items():
            seen = runner.evaluate(
                correct_and_loss, states, count, split.images, split.labels
            )
            arrays[f"{name}_accuracy"] = 100.0 * seen["correct"].mean(axis=-1)
            arrays[f"{name}_loss"] = seen["loss"].mean(axis=-1, dtype=np.float64)
            failed |= ~np.isfinite(arrays[f"{name}_loss"])
        for name in splits:
            arrays[f"{name}_accuracy"][failed] = arrays[f"{name}_loss"][failed] = np.nan
        return arrays


def students_stage(
    problem: Problem,
    pool: Stage | None,
    teachers: dict[str, Stage],
    fixed_labels: Stage | None,
) -> Stage:
    """The stage whose result trains one network on one pool: `Students`.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      pool: of the synthetic sets that it is trained on; None: the source's images.
      teachers: by name.
      fixed_labels: of the pool; None: no regime has them.
    """
    who = problem.transfer or problem.settings.student.network.name
    label = f"{who} on {pool.name}" if pool else who

    def make(run: Run, teachers, pool, fixed_labels) -> Students:
        own = problem
        if pool is not None:
            of = pool.problem
            own = problem.with_pool(of.pool, of.synthetic, of.soft_labels)
        return Students(run, own, teachers, fixed_labels)

    parents = {"teachers": teachers, "pool": pool, "fixed_labels": fixed_labels}
    return Stage(f"students of {label}", parents, make, counts=False)


def training_plan(
    problem: Problem,
    regime: str,
    ipc: int,
    count: int,
    *,
    row: str,
    images: int,
    stores: int = 0,
    whole: int = 0,
    held: int = 0,
) -> Plan:
    """Returns what students of a budget and regime will cost.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      regime: their labels.
      ipc: the budget.
      count: of them.
      row: the row of the plan that their work is added to.
      images: that each is evaluated on.
      stores: subsets and seeds whose labels are stored for them first.
      whole: how many of them are trained on the whole pool.
      held: images of a synthetic set of all seeds; 0: they are the source's.
    """
    settings = problem.settings
    if not count:
        return Plan()
    program, who = planned_program(problem, regime), problem.transfer
    name = f"students, {who or settings.student.network.name}, {regime}, IPC {ipc}"
    size, pool = ipc * problem.num_classes, len(problem.pool)
    members = -(-count // -(-count // settings.sweep.members))
    steps = problem.steps(ipc)
    if not held:
        held = min(pool, members * size) if settings.data.stream else pool
    trainings = Trainings(
        name,
        program,
        settings.sweep.driver,
        count=count,
        members=members,
        steps=steps,
        images=size,
        whole=whole,
        held=held,
        stored=bool(problem.labels(regime).codec),
    )
    # A curve of losses, accuracies and losses of two splits, and curves of accuracies.
    each = 4 * student.CURVE_POINTS + 4 * 8 + 2 * 4 * settings.protocol.curves
    curves = Stored(
        f"students, {regime}, IPC {ipc}",
        f"curves {{}} x [{student.CURVE_POINTS}]",
        count,
        each,
    )
    labels = Stores.plan(problem, regime, ipc, stores)
    work = training_work(
        problem, regime, ipc, count, row=row, images=images, steps=steps
    )
    return Plan((*labels.work, work), (trainings,), (*labels.stored, curves))


def training_work(
    problem: Problem,
    regime: str,
    ipc: int,
    count: int,
    *,
    row: str,
    images: int,
    steps: int,
) -> Work:
    """Returns the work of trainings of `steps` steps; others as of `training_plan`."""
    program = planned_program(problem, regime)

    def flops() -> float:
        step = step_flops(
            program,
            problem.num_classes,
            problem.supervision(regime, ipc),
            stored=bool(problem.labels(regime).codec),
        )
        return count * (steps * step + images * forward_flops(program.network))

    return Work(row, count * images, count * steps * program.passes, flops)


def planned_program(problem: Problem, regime: str) -> student.Program:
    """Returns what is compiled to train students on an accelerator.

    Args:
      problem: with the network that is trained, see `Problem.with_student`.
      regime: their labels; teachers that label views on the fly are in the program.
    """
    recipe, labels = problem.settings.student, problem.labels(regime)
    names = problem.teachers(regime)
    if labels.regime != "soft_kd" or labels.codec:
        names = ()
    program = problem.program(
        native(problem.student_network),
        recipe.optimizer,
        recipe.batch_size,
        regime,
        tuple(planned_network(problem, name) for name in names),
    )
    return dataclasses.replace(program, micro_batch=0)


def curve_stops(steps: int, points: int) -> tuple[int, ...]:
    """Returns after which steps accuracies are measured: evenly spaced, the last too.

    Args:
      steps: of a training.
      points: how many; 0: none. A shorter training has one at every step.
    """
    points = min(points, steps)
    return tuple(-(-steps * point // points) for point in range(1, points + 1))


def _spaced(positions: np.ndarray) -> np.ndarray:
    """Returns at most _TRAIN_IMAGES of some positions, evenly spaced."""
    count = min(len(positions), _TRAIN_IMAGES)
    return positions[np.arange(count) * len(positions) // count]


def _accuracy(seen: dict[str, np.ndarray]) -> np.ndarray:
    """Returns percent over the last axis; NaN where a loss is not finite."""
    finite = np.isfinite(seen["loss"]).all(axis=-1)
    return np.where(finite, 100.0 * seen["correct"].mean(axis=-1), np.nan)
