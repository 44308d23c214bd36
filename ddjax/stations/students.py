"""Students: groups of members, trained and judged, one artifact a group."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ddjax import mesh
from ddjax.artifacts import Artifact, Draft, digest
from ddjax.losses import LOSSES
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context, hparams
from ddjax.stations.driver import choose_driver
from ddjax.stations.stores import Stores
from ddjax.stations.watching import watching
from ddjax.train import evaluate, student, sweep
from ddjax.train.members import Members

_SHOWN = 1000  # images of a subset that its students' train accuracy is measured on


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
    failed or they were not read; the bytes are those of its stored labels, by their
    format's formula and on disk, NaN where labels are not stored. `train_curve` and
    `test_curve` are accuracies after `curve_steps` steps, on the subset's own images
    and on the test split, all three empty where they were not asked for.
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
    """Trains students of all regimes for one run."""

    def __init__(
        self,
        context: Context,
        teachers: dict[str, Teacher],
        fixed_labels: Artifact | None = None,
    ):
        """Keeps what all groups share.

        Args:
          context: the run.
          teachers: by name, those that the soft regimes ask.
          fixed_labels: of the labels station, needed by `soft`.
        """
        self.context = context
        self.teachers = teachers
        self.fixed_labels = fixed_labels
        self.stores = Stores(context, teachers)
        self.driver = context.settings.sweep.driver
        self._runners: dict[str, sweep.Runner] = {}

    def choose_driver(self) -> None:
        """Measures which driver is the fastest, where the settings leave it open.

        Also where nothing is left to train: a resumed run has the same stations.
        """
        if self.driver == "auto":
            self.driver = choose_driver(self)

    def parents(self, regime: str) -> dict[str, str]:
        """Returns what a regime's students hang on."""
        parents = {"data": self.context.data_digest}
        if self.context.labels(regime).regime == "soft":
            return parents | {"labels": self.fixed_labels.address}
        for name in self.context.teachers(regime):
            parents[name] = self.teachers[name].address
        return parents

    def recipe(self, regime: str) -> dict[str, Any]:
        """Returns the settings that determine a regime's students."""
        settings, labels = self.context.settings, self.context.labels(regime)
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
            "augment": self.context.recipe(regime).used(),
        }
        return described if labels.plain else described | {"labels": labels.used()}

    def temperature(self, regime: str) -> float:
        """Returns the temperature of a regime's soft steps."""
        labels = self.context.labels(regime)
        return labels.temperature or self.context.settings.student.temperature

    def runner(self, regime: str, positions: np.ndarray | None = None) -> sweep.Runner:
        """Returns the regime's runner.

        Args:
          regime: of the students.
          positions: what they train on where that is read into memory; None: the pool.
        """
        self.choose_driver()
        if positions is not None:
            return self.make_runner(regime, self.driver, positions)
        if regime not in self._runners:
            self._runners[regime] = self.make_runner(regime, self.driver)
        return self._runners[regime]

    def make_runner(
        self, regime: str, driver: str, positions: np.ndarray | None = None
    ) -> sweep.Runner:
        """Returns a new runner of a driver; see `runner`."""
        context, labels = self.context, self.context.labels(regime)
        settings = context.settings.student
        told, networks = {}, ()
        if labels.regime == "soft":
            told["teacher_logits"] = self.fixed_labels.arrays["logits"]
        if labels.regime == "soft_kd" and not labels.codec:
            teachers = [self.teachers[name] for name in context.teachers(regime)]
            networks = tuple(teacher.network for teacher in teachers)
            told["teachers"] = tuple(teacher.variables for teacher in teachers)
        program = context.program(
            context.student_network,
            settings.optimizer,
            settings.batch_size,
            regime,
            networks,
        )
        return context.runner(program, driver, positions, **told)

    def hparams(self, regime: str, steps: int, rates: np.ndarray) -> student.HParams:
        """Returns the hyperparameters of a regime's students, arrays [M] float32."""
        settings, labels = self.context.settings.student, self.context.labels(regime)
        smoothing = settings.label_smoothing
        if labels.schedule != "constant":
            smoothing = labels.hard_smoothing
        return hparams(
            settings.optimizer, steps, rates, smoothing, self.temperature(regime)
        )

    def train(
        self, label: str, regime: str, members: list[Member], read_test: bool
    ) -> list[Outcome]:
        """Trains members of one budget, in groups, and judges them.

        Args:
          label: what the groups are for, on the console and in the costs.
          regime: their labels.
          members: students of equal budget.
          read_test: whether the test split is read, and `protocol.curves` measured;
            searches do neither, unless they choose by the test split.

        Returns:
          One outcome a member, in the same order.
        """
        whole = [len(m.positions) == len(self.context.pool) for m in members]
        if self.context.streams and 0 < sum(whole) < len(members):
            # What fits in memory and what does not.
            rows = np.argsort(whole, kind="stable")
            parts = np.split(rows, [len(members) - sum(whole)])
            outcomes = [
                self.train(label, regime, [members[row] for row in part], read_test)
                for part in parts
            ]
            ordered = dict(zip(rows.tolist(), sum(outcomes, []), strict=True))
            return [ordered[row] for row in range(len(members))]
        largest = self.context.settings.sweep.members
        count = -(-len(members) // largest)
        bounds = np.linspace(0, len(members), count + 1).round().astype(int)
        outcomes = []
        for index, (first, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
            other = self.context.transfer
            who = f"{label}, {other}" if other else label
            name = f"{who}, {regime}, IPC {members[0].ipc}"
            if count > 1:
                name += f", group {index + 1} of {count}"
            outcomes += self._train_group(name, regime, members[first:stop], read_test)
        return outcomes

    def _train_group(self, label, regime, members, read_test) -> list[Outcome]:
        self.choose_driver()
        context, ipc = self.context, members[0].ipc
        steps = context.steps(ipc)
        supervision = context.supervision(regime, ipc)
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
        stops = curve_stops(steps, context.settings.protocol.curves * read_test)
        if stops:
            settings["curve_steps"] = list(stops)
        if supervision is not None:
            settings["supervision"] = dataclasses.asdict(supervision)
        if context.labels(regime).codec:
            stores = [
                self.stores.open(regime, ipc, m.seed, m.positions) for m in members
            ]
            parents["stores"] = digest([store.artifact.address for store in stores])
        partial = context.workdir.partial_folder("students", settings, parents)

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
            with watching(context, label, steps * len(members), runner) as watch:
                states, curves = runner.train(
                    group,
                    steps,
                    stops,
                    lambda states, _: (self._look(runner, states, members), {}),
                    folder=partial,
                    checkpoint_seconds=context.settings.sweep.checkpoint_seconds,
                    watch=watch,
                )
            arrays = self._judge(runner, states, len(members), read_test)
            arrays |= {name: curve.T for name, curve in curves.items()}
            return Draft(arrays, {"label": label}, runner.take_cost())

        artifact = context.station("students", label, settings, parents, make)
        seconds = artifact.cost.seconds / len(members)
        views = context.labels(regime).views
        passes = steps * context.settings.student.batch_size * views
        arrays = artifact.arrays
        looked = ("train_curve", "test_curve") if stops else ()
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
                **{name: arrays[name][row] for name in looked},
                curve_steps=stops,
            )
            for row, member in enumerate(members)
        ]

    def _held(self, members: list[Member]) -> tuple[np.ndarray | None, list]:
        """Returns what of a stream is read for some members, and where theirs lie.

        Returns:
          (positions in the pool, None for all of it; the members' places in these)
        """
        subsets = [member.positions for member in members]
        if not self.context.streams or len(subsets[0]) == len(self.context.pool):
            return None, subsets
        held = np.unique(np.concatenate(subsets))
        context = self.context
        size = len(held) * math.prod(context.source.shape)
        shared_by = max(1, context.settings.mesh.data)
        mesh.check_memory(size // shared_by, "sweep.members")
        places = [np.searchsorted(held, positions) for positions in subsets]
        return held, [place.astype(np.int32) for place in places]

    def label_bytes(self, regime: str, member: Member) -> tuple[float, float]:
        """Returns the bytes of a student's labels where no store holds them.

        A class is an index of ceil(log2 C) bits, a fixed label C float32 numbers.
        """
        classes = self.context.source.num_classes
        each = {"hard": np.ceil(np.log2(classes)) / 8, "soft": 4.0 * classes}
        size = each.get(self.context.labels(regime).regime, np.nan)
        return size * len(member.positions), np.nan

    def _look(self, runner, states, members: list[Member]) -> dict[str, np.ndarray]:
        """Returns the accuracies of a moment, [M] float32, NaN of those that diverged.

        All members are asked about the images of all subsets at once, at most _SHOWN of
        each and evenly spaced, and each is judged by its own.
        """
        pool, test, count = self.context.pool, self.context.test, len(members)
        own = [_spaced(np.sort(member.positions)) for member in members]
        shown = np.unique(np.concatenate(own))
        seen = runner.ask(
            evaluate.judge, states, count, pool.images[shown], pool.labels[shown]
        )
        places = [np.searchsorted(shown, positions) for positions in own]
        train = [
            _accuracy({name: answers[row, at] for name, answers in seen.items()})
            for row, at in enumerate(places)
        ]
        seen = runner.ask(evaluate.judge, states, count, test.images, test.labels)
        return {
            "train_curve": np.array(train, np.float32),
            "test_curve": _accuracy(seen).astype(np.float32),
        }

    def _judge(self, runner, states, count: int, read_test: bool) -> dict[str, Any]:
        context = self.context
        curves = np.concatenate([mesh.fetch(state["curve"]) for state in states])
        sums, counts = np.moveaxis(curves[:count], 1, 0)
        with np.errstate(invalid="ignore"):
            arrays = {"curve": sums / counts}
        failed = ~np.isfinite(sums).all(axis=-1)
        splits = {"val": context.validation}
        if read_test:
            splits["test"] = context.test
        for name, split in splits.items():
            seen = runner.ask(evaluate.judge, states, count, split.images, split.labels)
            arrays[f"{name}_accuracy"] = 100.0 * seen["correct"].mean(axis=-1)
            arrays[f"{name}_loss"] = seen["loss"].mean(axis=-1, dtype=np.float64)
            failed |= ~np.isfinite(arrays[f"{name}_loss"])
        for name in splits:
            arrays[f"{name}_accuracy"][failed] = arrays[f"{name}_loss"][failed] = np.nan
        return arrays


def curve_stops(steps: int, points: int) -> tuple[int, ...]:
    """Returns after which steps accuracies are measured: evenly spaced, the last too.

    Args:
      steps: of a training.
      points: how many; 0: none. A shorter training has one at every step.
    """
    points = min(points, steps)
    return tuple(-(-steps * point // points) for point in range(1, points + 1))


def _spaced(positions: np.ndarray) -> np.ndarray:
    """Returns at most _SHOWN of some positions, evenly spaced."""
    count = min(len(positions), _SHOWN)
    return positions[np.arange(count) * len(positions) // count]


def _accuracy(seen: dict[str, np.ndarray]) -> np.ndarray:
    """Returns percent over the last axis; NaN where a loss is not finite."""
    finite = np.isfinite(seen["loss"]).all(axis=-1)
    return np.where(finite, 100.0 * seen["correct"].mean(axis=-1), np.nan)
