"""Students: groups of members, trained and judged, one artifact a group."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import scores
from ddjax.artifacts import Cost, Draft, digest
from ddjax.stations.context import Context, hparams, progress_bar
from ddjax.stations.teacher import Teacher
from ddjax.train import student, sweep


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
    """What became of a member: accuracies in percent, NaN if it failed or not read."""

    member: Member
    val_accuracy: float
    accuracy: float
    curve: np.ndarray
    train_seconds: float
    steps: int
    image_passes: int

    @property
    def failed(self) -> bool:
        """Whether training diverged."""
        return not np.isfinite(self.val_accuracy)


class Students:
    """Trains students of all regimes for one run."""

    def __init__(self, context: Context, teacher: Teacher | None, fixed_labels):
        """Keeps what all groups share.

        Args:
          context: the run.
          teacher: needed by the soft regimes.
          fixed_labels: artifact of the labels station, needed by `soft`.
        """
        self.context = context
        self.teacher = teacher
        self.fixed_labels = fixed_labels
        self.driver = context.settings.sweep.driver
        self._runners: dict[str, sweep.Runner] = {}

    def parents(self, regime: str) -> dict[str, str]:
        """Returns what a regime's students hang on."""
        parents = {"data": self.context.data_digest}
        if regime == "soft":
            parents["labels"] = self.fixed_labels.address
        if regime == "soft_kd":
            parents["teacher"] = self.teacher.artifact.address
        return parents

    def recipe(self, regime: str) -> dict[str, Any]:
        """Returns the settings that determine a regime's students."""
        settings = self.context.settings
        recipe = dataclasses.asdict(settings.student)
        unused = ["learning_rates", "epochs", "passes", "network"]
        if regime == "hard":
            unused += ["temperature", "scale_by_t2"]
        else:
            unused += ["label_smoothing"]
        for name in unused:
            del recipe[name]
        recipe["optimizer"] = settings.student.optimizer.used()
        network = settings.student.network
        return {
            "regime": regime,
            "network": {"name": network.name, **network.options()},
            "student": recipe,
            "augment": dataclasses.asdict(self.context.recipe(regime)),
        }

    def runner(self, regime: str) -> sweep.Runner:
        """Returns the regime's runner, its driver chosen on first use."""
        if self.driver == "auto":
            self.driver = self._choose_driver()
        if regime not in self._runners:
            self._runners[regime] = self._make_runner(regime, self.driver)
        return self._runners[regime]

    def _make_runner(self, regime: str, driver: str) -> sweep.Runner:
        settings = self.context.settings
        teacher = {}
        if regime == "soft":
            teacher["teacher_logits"] = jnp.asarray(self.fixed_labels.arrays["logits"])
        if regime == "soft_kd":
            teacher["teacher"] = jax.tree.map(jnp.asarray, self.teacher.variables)
        program = self.context.program(
            self.context.student_network,
            settings.student.optimizer,
            settings.student.batch_size,
            regime,
            self.teacher.network if self.teacher else None,
        )
        pool = self.context.device_pool(**teacher)
        return sweep.Runner(program, pool, driver, self.context.compiled)

    def _choose_driver(self) -> str:
        """Times a few steps of each driver; remembered in the folder."""
        context, regime = self.context, "hard"
        size = context.settings.sweep.members
        settings = self.recipe(regime) | {
            "members": size,
            "devices": jax.local_device_count(),
            "platform": jax.default_backend(),
        }

        def make(folder: pathlib.Path) -> Draft:
            del folder
            positions = np.arange(context.settings.student.batch_size, dtype=np.int32)
            members = sweep.Members(
                np.arange(size, dtype=np.int32),
                [positions] * size,
                self.hparams(1, np.full(size, 1e-3)),
            )
            names = ["vmap", "loop"]
            if jax.local_device_count() > 1:
                names.append("mesh")
            runners = {name: self._make_runner(regime, name) for name in names}
            milliseconds = {
                name: 1e3 * runner.time_step(members)
                for name, runner in runners.items()
            }
            cost = sum((r.take_cost() for r in runners.values()), start=Cost())
            info = {
                "driver": min(milliseconds, key=milliseconds.get),
                "milliseconds_per_member_step": milliseconds,
            }
            return Draft(arrays={}, info=info, cost=cost)

        artifact = context.station("driver", "choice of driver", settings, {}, make)
        measured = artifact.info["milliseconds_per_member_step"]
        times = ", ".join(f"{name} {value:.2f}" for name, value in measured.items())
        context.say(f"driver {artifact.info['driver']} (ms a member-step: {times})")
        return artifact.info["driver"]

    def hparams(self, steps: int, rates: np.ndarray) -> student.HParams:
        recipe = self.context.settings.student
        return hparams(
            recipe.optimizer, steps, rates, recipe.label_smoothing, recipe.temperature
        )

    def train(
        self, label: str, regime: str, members: list[Member], read_test: bool
    ) -> list[Outcome]:
        """Trains members of one budget, in groups, and judges them.

        Args:
          label: what the groups are for, on the console and in the costs.
          regime: their labels.
          members: students of equal budget.
          read_test: whether the test split is read; searches do not.

        Returns:
          One outcome a member, in the same order.
        """
        largest = self.context.settings.sweep.members
        count = -(-len(members) // largest)
        bounds = np.linspace(0, len(members), count + 1).round().astype(int)
        outcomes = []
        for index, (first, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
            name = f"{label}, {regime}, IPC {members[0].ipc}"
            if count > 1:
                name += f", group {index + 1} of {count}"
            outcomes += self._train_group(name, regime, members[first:stop], read_test)
        return outcomes

    def _train_group(self, label, regime, members, read_test) -> list[Outcome]:
        context = self.context
        steps = context.steps(members[0].ipc)
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
        parents = self.parents(regime)
        partial = context.workdir.partial_folder("students", settings, parents)

        def make(folder: pathlib.Path) -> Draft:
            del folder
            runner = self.runner(regime)
            runner.take_cost()
            group = sweep.Members(
                np.array([m.seed for m in members], np.int32),
                [m.positions for m in members],
                self.hparams(steps, np.array([m.learning_rate for m in members])),
            )
            with progress_bar(label, steps * len(members), "student-step") as bar:
                states, _ = runner.train(
                    group,
                    steps,
                    folder=partial,
                    checkpoint_seconds=context.settings.sweep.checkpoint_seconds,
                    progress=bar.update,
                )
            arrays = self._judge(runner, states, len(members), read_test)
            return Draft(arrays, {"label": label}, runner.take_cost())

        artifact = context.station("students", label, settings, parents, make)
        seconds = artifact.cost.seconds / len(members)
        passes = steps * context.settings.student.batch_size
        arrays = artifact.arrays
        return [
            Outcome(
                member,
                float(arrays["val_accuracy"][row]),
                float(arrays["accuracy"][row]) if read_test else float("nan"),
                arrays["curve"][row],
                seconds,
                steps,
                passes,
            )
            for row, member in enumerate(members)
        ]

    def _judge(self, runner, states, count: int, read_test: bool) -> dict[str, Any]:
        context = self.context
        curves = np.concatenate([np.asarray(state["curve"]) for state in states])
        sums, counts = np.moveaxis(curves[:count], 1, 0)
        with np.errstate(invalid="ignore"):
            arrays = {"curve": sums / counts}
        diverged = ~np.isfinite(sums).all(axis=-1)
        splits = {"val_accuracy": context.validation}
        if read_test:
            splits["accuracy"] = context.test
        for name, split in splits.items():
            seen = runner.ask(inspect, states, count, split.images, split.labels)
            diverged |= ~np.isfinite(seen["true_prob"]).all(axis=-1)
            arrays[name] = 100.0 * seen["correct"].mean(axis=-1)
        for name in splits:
            arrays[name][diverged] = np.nan
        return arrays


def inspect(network, variables, images, labels) -> dict[str, jax.Array]:
    """Returns what is recorded of images: `scores.snapshot` and the features [B,D]."""
    logits, _ = network.apply(variables, images)
    features = network.features(variables, images)
    return scores.snapshot(logits, labels) | {"features": features}
