"""Stored labels: one artifact a subset, seed and codec, shared by its students."""

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
from ddjax.labels import Ensemble, LabelStore, codecs, labeller
from ddjax.stations.bundle import Teacher
from ddjax.stations.context import Context
from ddjax.stations.watching import progress_bar

_FIT_LABELS = 20_000  # labels that a codec with parameters is fitted to
_FINEST = "fp32"


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
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

    def __init__(self, context: Context, teachers: dict[str, Teacher]):
        self.context = context
        self.teachers = teachers
        self._opened: dict[str, Stored] = {}

    def open(self, regime: str, ipc: int, seed: int, positions: np.ndarray) -> Stored:
        """Returns the labels of a subset's views, made now or earlier.

        Args:
          regime: whose labels; its codec is not empty.
          ipc: the budget, which says how many epochs there are.
          seed: of the views.
          positions: [n] int32, the subset as positions in the pool.
        """
        views = self._views(regime, ipc, seed, positions)
        codec = self.context.labels(regime).codec
        key = digest([views, codec])
        if key not in self._opened:
            label = f"labels, {regime}, IPC {ipc}, seed {seed}"
            artifact = self._station(regime, views, seed, positions, codec, label)
            store = LabelStore.open(artifact.path / "store")
            self._opened[key] = Stored(artifact, store, self.context.pool.ids)
        return self._opened[key]

    def _views(self, regime, ipc, seed, positions) -> dict[str, Any]:
        """Returns what determines a subset's labels before they are encoded."""
        context, labels = self.context, self.context.labels(regime)
        recipe = context.recipe(regime).used()
        views = {
            "epochs": labels.pool(ipc) or context.passes(ipc, len(positions)),
            "subset": digest(context.pool.ids[positions]),
            "source": context.source.digest,
            "classes": list(context.source.classes),
            "teachers": {
                name: self.teachers[name].address for name in context.teachers(regime)
            },
            "recipe": recipe,
            "recipe_digest": digest(recipe),
            "seed": int(seed),
            "precision": "highest",
            "batch_norm": labels.batch_norm,
            "committee": [labels.committee_mean, list(labels.committee_weights)],
        }
        if labels.batch_norm == "batch" or labels.committee_mean == "frobenius":
            views["block"] = context.settings.student.batch_size
        return views

    def _station(self, regime, views, seed, positions, codec, label) -> Artifact:
        """Labels by the teachers; from a finer store where other codecs want one."""
        context = self.context
        finest = None
        if codec != _FINEST and self._codecs(regime) != {codec}:
            finest = self._station(
                regime, views, seed, positions, _FINEST, f"{label}, uncompressed"
            )
        settings = {"views": views, "codec": codec}
        parents = {"data": context.data_digest} | views["teachers"]
        if finest is not None:
            parents["uncompressed"] = finest.address
        partial = context.workdir.partial_folder("store", settings, parents)
        ids = context.pool.ids[positions]

        def make(folder: pathlib.Path) -> Draft:
            clock = _Clock(partial / "spent.json", context)
            fine = finest and LabelStore.open(finest.path / "store")
            answers = None
            if fine is None:
                answers = self._labeller(regime, views, seed, positions)
            path, fitted = partial / "store", codecs.parse(codec)
            some = labeller.sample(views["epochs"], len(ids), _FIT_LABELS)
            begun = mesh.first(lambda: _begun(path, views))
            if isinstance(begun, str):
                context.say(f"{label}: what is there cannot go on: {begun}")
            if begun is not True:
                if fitted.LEARNS:
                    if fine is None:
                        rows = [
                            labels for _, _, labels in answers.labels(some, own=False)
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
                    num_classes=context.source.num_classes,
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
                    labeller.write_labels(store, answers, progress)
            mesh.wait()
            mesh.first(store.finish)
            info = mesh.first(store.info)
            mesh.first(lambda: str(shutil.move(path, folder / "store")))
            # All views, in however many tries, and those that a codec was fitted to.
            asked = views["epochs"] + len(some) * fitted.LEARNS
            seen = 0 if fine is not None else asked * len(ids)
            cost = Cost(seconds=clock.seconds(), forward_passes=seen)
            return Draft({"example_ids": ids}, info, cost)

        return context.station("store", label, settings, parents, make)

    def _codecs(self, regime: str) -> set[str]:
        """Returns the codecs of all regimes that ask the same teachers."""
        context = self.context
        asked = context.teachers(regime)
        entries = [
            context.labels(name)
            for name in context.settings.regimes
            if context.teachers(name) == asked
        ]
        return {labels.codec for labels in entries if labels.codec}

    def _labeller(self, regime, views, seed, positions) -> labeller.Labeller:
        context, labels = self.context, self.context.labels(regime)
        teachers = [self.teachers[name] for name in context.teachers(regime)]
        pool = context.held()
        if context.streams:
            pool = context.held(positions)
            positions = np.arange(len(positions), dtype=np.int32)
        return labeller.Labeller(
            Ensemble(
                tuple(teacher.network for teacher in teachers),
                labels.committee_mean,
                labels.committee_weights,
            ),
            tuple(teacher.variables for teacher in teachers),
            pool,
            context.recipe(regime),
            seed,
            positions,
            labels.batch_norm,
            views.get("block"),
        )


def _begun(path: pathlib.Path, identity: dict[str, Any]) -> bool | str:
    """Returns whether a store was begun, or what is wrong with it; then it is deleted.

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
    """Seconds that something takes, together with those of earlier tries."""

    def __init__(self, path: pathlib.Path, context: Context):
        self._path, self._say = path, context.say
        self._pace = context.settings.sweep.checkpoint_seconds
        self._kept = self._start = time.perf_counter()
        self._earlier = mesh.first(self._read)

    def seconds(self) -> float:
        """Returns how many they are so far."""
        return self._earlier + time.perf_counter() - self._start

    def keep(self) -> None:
        """Notes them, once in a while, for a later try; called by any process."""
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
