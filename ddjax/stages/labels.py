"""Teachers' labels on disk: fixed ones of images, and stores of views' labels.

Letters: N images of the pool, n of a subset, L labels, C classes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ddjax import keys, mesh
from ddjax.artifacts import Artifact, Cost, Draft, digest, seal, unseal, write_json
from ddjax.errors import DAMAGED, InputError
from ddjax.labels import Ensemble, LabelStore, codecs, labeller, teacher_logits
from ddjax.problem import Problem
from ddjax.run import Run, pool_of, progress_bar
from ddjax.stages.bundle import Teacher
from ddjax.stages.stage import Plan, Stage, Stored, Work
from ddjax.stages.teacher import planned_network
from ddjax.train.programs import forward_flops

_LEAST = 1e-8  # probability, so that its logarithm is finite
_FIT_LABELS = 20_000  # labels that a codec with parameters is fitted to
_FINEST = "fp32"


def fixed_labels_stage(
    problem: Problem, teacher: Stage, pool: Stage | None, images: int
) -> Stage:
    """The stage of fixed labels: a teacher's logits [N,C] of the images as they are.

    Where the images have labels of their own, `logits` are their logarithms, whose
    softmax at temperature 1 they are, less the mean over classes: so losses of raw
    logits have something of a student's size to match.

    Args:
      problem: the problem.
      teacher: whose labels.
      pool: of the synthetic sets; None: the source's images.
      images: how many they are.
    """
    label = f"fixed labels, {pool.name}" if pool else "fixed labels"

    def make(run: Run, teacher: Teacher, pool: Any) -> Artifact:
        own = problem if pool is None else pool.problem
        if own.soft_labels is not None:
            return _own_labels(run, own, label)
        return _predicted_labels(run, own, teacher, label)

    def plan() -> Plan:
        network = planned_network(problem, "teacher")
        work = Work(
            "fixed labels", images, flops=lambda: images * forward_flops(network)
        )
        classes = problem.num_classes
        stored = Stored("fixed labels", f"[{{}},{classes}]", images, 4.0 * classes)
        return Plan((work,), stored=(stored,))

    return Stage(label, {"teacher": teacher, "pool": pool}, make, plan)


def _predicted_labels(
    run: Run, problem: Problem, teacher: Teacher, label: str
) -> Artifact:
    def make(folder: pathlib.Path) -> Draft:
        del folder
        start = time.perf_counter()
        logits = teacher_logits(
            teacher.network,
            teacher.variables,
            problem.pool.images,
            problem.mean,
            problem.std,
        )
        return Draft(
            arrays={"logits": logits, "ids": problem.pool.ids},
            info={"classes": list(problem.source.classes), "precision": "highest"},
            cost=Cost(
                seconds=time.perf_counter() - start, forward_passes=len(problem.pool)
            ),
        )

    parents = {"data": problem.data_digest, "teacher": teacher.address}
    return run.artifact("labels", label, {}, parents, make)


def _own_labels(run: Run, problem: Problem, label: str) -> Artifact:
    def make(folder: pathlib.Path) -> Draft:
        del folder
        logits = np.log(np.maximum(problem.soft_labels, _LEAST), dtype=np.float32)
        logits -= logits.mean(axis=1, keepdims=True)
        arrays = {"logits": logits, "ids": problem.pool.ids}
        return Draft(arrays, {"classes": list(problem.source.classes)}, Cost())

    settings = {"labels": digest(problem.soft_labels)}
    parents = {"data": problem.data_digest}
    return run.artifact("labels", label, settings, parents, make)


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """A subset's stored labels.

    Attributes:
      artifact: the folder and its manifest.
      store: opened for reading.
      ids: [N] int32, the pool's stable example ids.
    """

    artifact: Artifact
    store: LabelStore
    ids: np.ndarray

    def targets_of(self, held: np.ndarray | None = None) -> Callable:
        """Returns a function of `Members.targets`.

        Args:
          held: positions in the pool that positions are counted in; None: the pool.
        """
        ids = self.ids if held is None else self.ids[held]
        return lambda epochs, positions: self.store.read(epochs, ids[positions])

    @property
    def bytes(self) -> tuple[float, float]:
        """Bytes by the format's formula, and on disk."""
        return self.artifact.info["formula_bytes"], self.artifact.info["disk_bytes"]


class Stores:
    """Makes and opens the stores of a run."""

    def __init__(self, run: Run, problem: Problem, teachers: dict[str, Teacher]):
        self.run = run
        self.problem = problem
        self.teachers = teachers
        self._opened: dict[str, Labelled] = {}

    @staticmethod
    def plan(problem: Problem, regime: str, ipc: int, stores: int) -> Plan:
        """Returns what the stores of some subsets and seeds will cost.

        Args:
          problem: with the network that is trained, see `Problem.with_student`.
          regime: whose labels; without a codec they cost nothing.
          ipc: the budget.
          stores: subsets and seeds, one store each.
        """
        codec, classes = problem.labels(regime).codec, problem.num_classes
        if not codec or not stores:
            return Plan()
        images, name = ipc * classes, (problem.transfer, regime)
        count = stores * problem.label_epochs(regime, ipc, images) * images
        views = _views(problem, regime, ipc, images)
        # Those of other networks and regimes are the same, or encoded from the first.
        shared = {
            (network, other): of.labels(other).codec
            for network, of in problem.networks().items()
            for other in _sharing(of, views, ipc, images)
        }
        row = f"stored labels, {regime}, IPC {ipc}"
        work, stored = [], []
        if name == next(iter(shared)):
            networks = [planned_network(problem, each) for each in views["teachers"]]
            work.append(
                Work(
                    row, count, flops=lambda: count * sum(map(forward_flops, networks))
                )
            )
            if len({*shared.values()}) > 1 and _FINEST not in shared.values():
                finest = f"labels, uncompressed, IPC {ipc}"
                holds = f"{{}} labels, {_FINEST}"
                stored.append(Stored(finest, holds, count, 4.0 * classes))
        if name == next(each for each, used in shared.items() if used == codec):
            each = codecs.parse(codec).bits_per_label(classes) / 8
            stored.append(Stored(row, f"{{}} labels, {codec}", count, each))
        return Plan(tuple(work), stored=tuple(stored))

    def open(self, regime: str, ipc: int, seed: int, positions: np.ndarray) -> Labelled:
        """Returns the labels of a subset's views, computed now or earlier.

        Args:
          regime: whose labels; its codec is not empty.
          ipc: the budget, which determines the number of epochs.
          seed: of the views.
          positions: [n] int32, the subset as positions in the pool.
        """
        problem, images = self.problem, len(positions)
        views = _views(problem, regime, ipc, images)
        codec = problem.labels(regime).codec
        shared = _sharing(problem, views, ipc, images)
        # Where other codecs want the same labels, all are encoded from a finer store.
        finer = codec != _FINEST and len({problem.labels(r).codec for r in shared}) > 1
        views = self._identity(views, seed, positions)
        key = digest([views, codec])
        if key not in self._opened:
            label = f"labels, {regime}, IPC {ipc}, seed {seed}"
            artifact = self._store(regime, views, seed, positions, codec, label, finer)
            store = LabelStore.open(artifact.path / "store")
            self._opened[key] = Labelled(artifact, store, self.problem.pool.ids)
        return self._opened[key]

    def _identity(self, views, seed, positions) -> dict[str, Any]:
        """Returns what determines a subset's labels before they are encoded."""
        source = self.problem.source
        return views | {
            "subset": digest(self.problem.pool.ids[positions]),
            "source": source.digest,
            "classes": list(source.classes),
            "teachers": {
                name: self.teachers[name].address for name in views["teachers"]
            },
            "recipe_digest": digest(views["recipe"]),
            "seed": int(seed),
            "precision": "highest",
        }

    def _store(self, regime, views, seed, positions, codec, label, finer) -> Artifact:
        """Labels by the teachers, or encoded from a finer store."""
        problem = self.problem
        finest = None
        if finer:
            name = f"{label}, uncompressed"
            finest = self._store(regime, views, seed, positions, _FINEST, name, False)
        settings = {"views": views, "codec": codec}
        parents = {"data": problem.data_digest} | views["teachers"]
        if finest is not None:
            parents["uncompressed"] = finest.address
        pace = problem.settings.sweep.checkpoint_seconds
        partial = self.run.workdir.partial_folder("store", settings, parents)
        ids = problem.pool.ids[positions]

        def make(folder: pathlib.Path) -> Draft:
            clock = _Clock(partial / "spent.json", self.run, pace)
            fine = finest and LabelStore.open(finest.path / "store")
            relabel = None
            if fine is None:
                relabel = self._labeller(regime, views, seed, positions)
            path, fitted = partial / "store", codecs.parse(codec)
            some = labeller.sample(views["epochs"], len(ids), _FIT_LABELS)
            begun = mesh.first(lambda: _begun(path, views))
            if isinstance(begun, str):
                self.run.say(f"{label}: what is there cannot go on: {begun}")
            if begun is not True:
                if fitted.LEARNS:
                    if fine is None:
                        rows = [
                            labels for _, _, labels in relabel.labels(some, own=False)
                        ]
                    else:
                        rows = [fine.read(epoch, ids) for epoch in some]
                    rows = np.concatenate(rows)[:_FIT_LABELS]
                    fitted = fitted.fit(keys.key(0), rows)
                create = functools.partial(
                    LabelStore.create,
                    path,
                    epochs=views["epochs"],
                    example_ids=ids,
                    num_classes=problem.num_classes,
                    codec=fitted,
                    identity=views,
                )
                mesh.first(lambda: bool(create()))
            store = LabelStore.open(path, views)
            with progress_bar(label, views["epochs"] * len(ids), "label") as bar:

                def progress(labels: int) -> None:
                    bar.update(labels)
                    clock.keep()

                if fine is not None:
                    labeller.copy_labels(fine, store, progress)
                else:
                    labeller.write_labels(store, relabel, progress)
            mesh.wait()
            mesh.first(store.finish)
            info = mesh.first(store.info)
            mesh.first(lambda: str(shutil.move(path, folder / "store")))
            # All views, in however many tries, and those that a codec was fitted to.
            labelled = views["epochs"] + len(some) * fitted.LEARNS
            seen = 0 if fine is not None else labelled * len(ids)
            cost = Cost(seconds=clock.seconds(), forward_passes=seen)
            return Draft({"example_ids": ids}, info, cost)

        return self.run.artifact("store", label, settings, parents, make)

    def _labeller(self, regime, views, seed, positions) -> labeller.Labeller:
        problem, labels = self.problem, self.problem.labels(regime)
        teachers = [self.teachers[name] for name in problem.teachers(regime)]
        pool = pool_of(problem)
        if problem.streams:
            pool = pool_of(problem, positions)
            positions = np.arange(len(positions), dtype=np.int32)
        return labeller.Labeller(
            Ensemble(
                tuple(teacher.network for teacher in teachers),
                labels.ensemble_mean,
                labels.ensemble_weights,
            ),
            tuple(teacher.variables for teacher in teachers),
            pool,
            problem.recipe(regime),
            seed,
            positions,
            labels.batch_norm,
            views.get("block"),
        )


def _views(problem: Problem, regime: str, ipc: int, images: int) -> dict[str, Any]:
    """Returns what determines labels of views, but for the seed, images and weights."""
    labels, names = problem.labels(regime), problem.teachers(regime)
    views = {
        "epochs": problem.label_epochs(regime, ipc, images),
        "teachers": names,
        "recipe": problem.recipe(regime).used(),
        "batch_norm": labels.batch_norm,
        # Weights go by position, and a digest sorts the names of teachers.
        "ensemble": [
            labels.ensemble_mean,
            dict(zip(names, labels.ensemble_weights, strict=False)),
        ],
    }
    if labels.batch_norm == "batch" or labels.ensemble_mean == "frobenius":
        views["block"] = problem.settings.student.batch_size
    return views


def _sharing(
    problem: Problem, views: dict[str, Any], ipc: int, images: int
) -> list[str]:
    """Returns the regimes with stored labels of the same views by the same teachers."""
    return [
        name
        for name in problem.settings.regimes
        if problem.labels(name).codec and _views(problem, name, ipc, images) == views
    ]


def _begun(path: pathlib.Path, identity: dict[str, Any]) -> bool | str:
    """Returns whether a store was begun, or why it is damaged; then it is deleted.

    Args:
      path: its folder.
      identity: what it must be of.
    """
    if not path.exists():
        return False
    try:
        wrong = LabelStore.open(path, identity).verify(complete=False)
    except (InputError, *DAMAGED) as error:
        wrong = [str(error)]
    if not wrong:
        return True
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)  # it was no folder
    return f"{wrong[0]}; all labels are computed afresh"


class _Clock:
    """The seconds of a task, together with those of earlier tries."""

    def __init__(self, path: pathlib.Path, run: Run, pace: float):
        self._path, self._say, self._pace = path, run.say, pace
        self._kept = self._start = time.perf_counter()
        self._earlier = mesh.first(self._read)

    def seconds(self) -> float:
        """Returns the seconds so far."""
        return self._earlier + time.perf_counter() - self._start

    def keep(self) -> None:
        """Saves the seconds now and then, for a later try; any process may call it."""
        if mesh.primary() and time.perf_counter() - self._kept > self._pace:
            write_json(self._path, seal({"seconds": self.seconds()}))
            self._kept = time.perf_counter()

    def _read(self) -> float:
        if not self._path.exists():
            return 0.0
        try:
            return unseal(json.loads(self._path.read_text()))["seconds"]
        except (OSError, ValueError) as error:
            self._say(f"{self._path}: is damaged ({error}); seconds count afresh")
            return 0.0
