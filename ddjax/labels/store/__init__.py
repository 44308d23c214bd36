"""The teacher's logits for every view of a training set, on disk.

A view is a pure function of (seed, epoch, example id), so a label is found by (epoch,
example id) alone: in any order, at any batch size, by any process. What fixes the views
and the teacher is the store's *identity*; a reader that expects another one is refused.

Labels are marked as written only after they are durable. A writer that is killed loses
what it had not marked; creating the store again resumes.

Letters: E epochs, N examples, C classes, W payload width, n labels of one call.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ddjax.errors import InputError
from ddjax.labels import codecs
from ddjax.labels.store import manifest as manifests
from ddjax.labels.store.arrays import Arrays
from ddjax.labels.store.files import Files

__all__ = ["LabelStore"]

_BLOCK_BYTES = 16 << 20  # of float32 logits that are coded at once
_RESUME = "run the command that writes the store again: it completes what is missing"


def __dir__() -> list[str]:
    return __all__


class LabelStore:
    """Logits [E,N,C] of a teacher; see the module's description.

    Attributes:
      path: the folder or URL.
      epochs: E.
      example_ids: [N] int64, read-only; the order in which labels lie on disk.
      num_classes: C.
      codec: turns logits into what is stored; while the store is incomplete it can
        encode. A writer that encodes on its device must use this one.
      identity: what the labels depend on.
    """

    def __init__(self, files: Files, manifest: dict[str, Any]):
        """Opens a store; use `create` or `open`."""
        self._files, self._manifest = files, manifest
        self.path = files.path
        self.epochs: int = manifest["epochs"]
        self.num_classes: int = manifest["num_classes"]
        self.identity: dict[str, Any] = manifest["identity"]
        ids = manifests.part(files, manifest, manifests.IDS)
        self.example_ids = ids.astype(np.int64)
        self.example_ids.flags.writeable = False
        self._order = np.argsort(self.example_ids)
        encodes = files.get(manifests.ENCODER) is not None
        arrays = manifests.ENCODER if encodes else manifests.DECODER
        state = manifests.part(files, manifest, arrays)
        self.codec = codecs.load(manifest["codec"], self.num_classes, state)
        self._width = self.codec.width(self.num_classes)
        self._dtype = self.codec.DTYPE
        self._arrays = Arrays(
            files, self.epochs, len(self.example_ids), self._width, self._dtype
        )
        rows = max(1, _BLOCK_BYTES // (4 * self.num_classes))
        self._block = 1 << rows.bit_length() - 1
        self._encode = jax.jit(self.codec.encode)
        self._decode = jax.jit(
            functools.partial(self.codec.decode, num_classes=self.num_classes)
        )

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        *,
        epochs: int,
        example_ids: np.ndarray,
        num_classes: int,
        codec: Any,
        identity: dict[str, Any],
    ) -> "LabelStore":
        """Makes a store, or opens the one that is there if everything agrees.

        Args:
          path: an empty or absent folder, a store's, or a URL such as
            `gs://bucket/folder`.
          epochs: E.
          example_ids: [N] integers, distinct.
          num_classes: C.
          codec: from `ddjax.labels.codecs`. A store that is there keeps its own of the
            same specification, so that all labels are coded with the same arrays, and
            `codec` need not be fitted then. Of several processes with a codec that is
            fitted, one creates the store and the others open it.
          identity: JSON values that the labels depend on: teacher, source, classes in
            order, recipe, seed, precision and the like.

        Returns:
          The store, ready for `write`.

        Raises:
          InputError: the folder holds something else or a store that differs, cannot be
            written, or the arguments make no store.
        """
        codec.check(num_classes)
        if epochs < 1:
            raise InputError(f"epochs: found {epochs}, allowed is 1 or more")
        ids = _integers(example_ids, "example_ids")
        if ids.size == 0 or np.unique(ids).size < ids.size:
            raise InputError(
                f"example_ids: found {ids.size} ids, {np.unique(ids).size} of them "
                "distinct; allowed is one or more, all distinct"
            )
        files = Files(path)
        return cls(
            files, manifests.create(files, epochs, ids, num_classes, codec, identity)
        )

    @classmethod
    def open(
        cls, path: str | os.PathLike, identity: dict[str, Any] | None = None
    ) -> "LabelStore":
        """Opens a store.

        Args:
          path: its folder or URL.
          identity: what is expected of it. Other top-level keys are not compared; None:
            anything will do.

        Returns:
          The store, complete or not.

        Raises:
          InputError: there is no store, it is damaged or was never fully created, or
            its identity differs.
        """
        files = Files(path)
        manifest = manifests.load(files)
        manifests.check_identity(files, manifest, identity or {})
        if not manifests.created(files):
            raise InputError(f"{files.path}: was not created to its end; {_RESUME}")
        return cls(files, manifest)

    def write(
        self,
        epoch: int | np.ndarray,
        example_ids: np.ndarray,
        logits: np.ndarray | jax.Array,
    ) -> None:
        """Stores logits; they are durable when this returns.

        Several processes may write at once. A call rewrites every file, of up to 8 MiB,
        that it touches: whole epochs, several at once, are fastest.

        Args:
          epoch: one for all, 0 to E - 1, or [n].
          example_ids: [n] integers, an id once an epoch.
          logits: [n,C] float.

        Raises:
          InputError: shapes or ids are wrong, a logit is not finite or does not fit
            the codec, or the disk is full or cannot be written.
        """
        logits_nC = np.asarray(logits, np.float32)
        ids = _integers(example_ids, "example_ids")
        if logits_nC.shape != (ids.size, self.num_classes):
            raise InputError(
                f"{self.path}: logits have shape {list(logits_nC.shape)}, expected "
                f"{[ids.size, self.num_classes]}: one row an id, one column a class"
            )
        epochs, _ = self._pairs(epoch, ids)
        self._check_finite(epochs, ids, logits_nC, "logits")
        self.write_payload(epoch, ids, self._coded(self._encode, logits_nC))

    def write_payload(
        self,
        epoch: int | np.ndarray,
        example_ids: np.ndarray,
        payload: np.ndarray | jax.Array,
    ) -> None:
        """Stores what `codec.encode` returned for logits; otherwise like `write`.

        Args:
          epoch, example_ids, payload: see `write`; [n,W] of the codec's dtype.

        Raises:
          InputError: as for `write`; integers hide logits that are not finite.
        """
        payload_nW = np.asarray(payload)
        ids = _integers(example_ids, "example_ids")
        expected = (ids.size, self._width), self._dtype
        if (payload_nW.shape, payload_nW.dtype) != expected:
            raise InputError(
                f"{self.path}: payload is {payload_nW.dtype}{list(payload_nW.shape)}, "
                f"expected {self._dtype}{list(expected[0])}"
            )
        epochs, positions = self._pairs(epoch, ids)
        cells = epochs * len(self.example_ids) + positions
        unique, first = np.unique(cells, return_index=True)
        if unique.size < ids.size:
            again = np.setdiff1d(np.arange(ids.size), first)[0]
            raise InputError(
                f"{self.path}: example id {ids[again]} is written more than once in "
                f"one call (epoch {epochs[again]}); allowed is once"
            )
        if self._dtype.kind not in "iu":
            self._check_finite(
                epochs, ids, payload_nW, f"payload of codec {self.codec.spec!r}"
            )
        if ids.size:
            # In the order of the disk.
            self._arrays.write(epochs[first], positions[first], payload_nW[first])

    def read(self, epoch: int | np.ndarray, example_ids: np.ndarray) -> np.ndarray:
        """Returns stored logits [n,C] float32.

        Args:
          epoch: one for all, or [n].
          example_ids: [n] integers, in any order, duplicates allowed.

        Raises:
          InputError: an id or epoch is unknown, a label is not written yet, or a file
            is damaged.
        """
        epochs, positions = self._pairs(epoch, example_ids)
        self._check_written(epochs, positions)
        logits = np.empty((positions.size, self.num_classes), np.float32)
        # In the order of the disk, so that each chunk is decoded once.
        order = np.argsort(epochs * len(self.example_ids) + positions, kind="stable")
        for start in range(0, order.size, self._block):
            rows = order[start : start + self._block]
            payload_nW = self._arrays.read(epochs[rows], positions[rows])
            logits[rows] = self._coded(self._decode, payload_nW)
        return logits

    def missing(self) -> dict[int, np.ndarray]:
        """Returns epoch -> ids of the examples not written yet; empty when complete."""
        self._arrays.refresh()
        written = self._arrays.written
        return {
            int(epoch): self.example_ids[~written[epoch]]
            for epoch in np.flatnonzero(~written.all(axis=1))
        }

    @property
    def complete(self) -> bool:
        """Whether every label is written."""
        if not self._arrays.written.all():
            self._arrays.refresh()
        return bool(self._arrays.written.all())

    def finish(self) -> None:
        """Deletes what only a writer needs; may be called again.

        Raises:
          InputError: labels are missing.
        """
        if not self.complete:
            raise InputError(f"{self._lack()}; {_RESUME}")
        self._files.delete(manifests.ENCODER)

    @property
    def shards(self) -> int:
        """How many files the labels are cut into: the total of `verify`'s progress."""
        return len(list(self._arrays.grid.regions(self._arrays.grid.shard)))

    def verify(
        self, progress: Callable[[int], Any] | None = None, complete: bool = True
    ) -> list[str]:
        """Reads every byte and returns one line for each thing that is wrong.

        Args:
          progress: called with 1 after each of `shards` files.
          complete: whether labels that are missing are wrong.

        Returns:
          Lines that name the file, the chunk's place in the grid, its epochs and
          positions in `example_ids`, and what is wrong. Empty: the store is sound.
        """
        lines: list[str] = []
        checks: list[Callable] = [functools.partial(manifests.load, self._files)]
        checks += [
            functools.partial(manifests.part, self._files, self._manifest, name)
            for name in self._manifest["files"]
            if name != manifests.ENCODER or self._files.get(name) is not None
        ]
        checks.append(lambda: lines.extend(self._arrays.verify(progress)))
        for check in checks:
            try:
                check()
            except InputError as error:
                lines.append(str(error))
        if complete and not self._arrays.written.all():
            lines.append(self._lack())
        return lines

    def info(self) -> dict[str, Any]:
        """Returns the store's size, codec and coverage.

        Returns:
          `epochs`, `examples`, `num_classes`, `codec`; `bits_per_label` and
          `formula_bytes` by the codec's formula for the complete store; `disk_bytes` of
          all files now; `written`, the fraction of labels that are there;
          `compression`, how many times smaller than 16 bits a logit the formula is.
        """
        self._arrays.refresh()
        written, classes = self._arrays.written, self.num_classes
        bits = self.codec.bits_per_label(classes)
        total_bits = written.size * bits + self.codec.shared_bits(classes)
        return {
            "epochs": self.epochs,
            "examples": len(self.example_ids),
            "num_classes": classes,
            "codec": self.codec.spec,
            "bits_per_label": bits,
            "formula_bytes": total_bits / 8,
            "disk_bytes": self._arrays.disk_bytes(),
            "written": float(written.mean()),
            "compression": 16 * classes * written.size / total_bits,
        }

    def _pairs(self, epoch, example_ids) -> tuple[np.ndarray, np.ndarray]:
        """Epochs [n] and positions [n] on disk, checked."""
        ids = _integers(example_ids, "example_ids")
        epochs = np.asarray(epoch)
        if epochs.dtype.kind not in "iu" or epochs.shape not in ((), ids.shape):
            raise InputError(
                f"epoch: found {epochs.dtype}{list(epochs.shape)}, allowed is an "
                f"integer or {ids.size} of them"
            )
        epochs = np.broadcast_to(epochs, ids.shape).astype(np.int64)
        outside = (epochs < 0) | (epochs >= self.epochs)
        if outside.any():
            raise InputError(
                f"{self.path}: found epoch {epochs[outside][0]}, allowed are 0 to "
                f"{self.epochs - 1}"
            )
        places = np.searchsorted(self.example_ids, ids, sorter=self._order)
        positions = self._order[np.minimum(places, self._order.size - 1)]
        unknown = self.example_ids[positions] != ids
        if unknown.any():
            raise InputError(
                f"{self.path}: example id {ids[unknown][0]} is not in the store, which "
                f"has labels for {self.example_ids.size} ids"
            )
        return epochs, positions

    def _check_finite(self, epochs, ids, values, name) -> None:
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{self.path}: {name} of epoch {epochs[~finite][0]}, example id "
                f"{ids[~finite][0]} are not finite; nothing of this call was written"
            )

    def _check_written(self, epochs, positions) -> None:
        if self._arrays.written[epochs, positions].all():
            return
        self._arrays.refresh()
        lacking = ~self._arrays.written[epochs, positions]
        if lacking.any():
            where = _ranges(np.unique(epochs[lacking]))
            raise InputError(
                f"{self.path}: {lacking.sum()} of the {lacking.size} requested labels "
                f"are not written yet (epochs {where}); {_RESUME}"
            )

    def _lack(self) -> str:
        lacking = ~self._arrays.written
        where = _ranges(np.flatnonzero(lacking.any(axis=1)))
        count = f"{lacking.sum()} of {lacking.size} labels"
        return f"{self.path}: {count} are not written (epochs {where})"

    def _coded(self, function: Callable, values: np.ndarray) -> np.ndarray:
        """Codes rows in blocks of few sizes, so that little is compiled."""
        done = []
        for start in range(0, len(values), self._block):
            rows = values[start : start + self._block]
            size = min(self._block, max(256, 1 << (len(rows) - 1).bit_length()))
            padded = np.zeros((size, rows.shape[1]), rows.dtype)
            padded[: len(rows)] = rows
            done.append(np.asarray(function(padded))[: len(rows)])
        return np.concatenate(done) if done else np.asarray(function(values))


def _integers(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"{name}: found {array.dtype}{list(array.shape)}, allowed are integers [n]"
        )
    return array.astype(np.int64)


def _ranges(numbers: np.ndarray) -> str:
    """Sorted numbers for a message: `0-3, 7, ...`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    texts = [f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs[:5]]
    return ", ".join(texts + ["..."] * (len(runs) > 5))
