"""The arrays of a label store: how they are cut into files, and if they are sound.

    labels/    zarr3 [E,N,W], sharded; chunks and the shards' indices have a CRC-32C
    written/   zarr3 [E,N] uint8, 1 where the label is on disk, with a CRC-32C

A chunk holds about 16 KiB of labels, so that a random read decodes little. A shard is
one file: up to 8 MiB of one epoch or, where epochs are small, about 1 MiB of several.
A write into a shard rewrites that file, which is why shards are not larger; TensorStore
makes the rewrite conditional on the file it has read, so processes may share a shard.

Letters: E epochs, N examples, W payload width, n labels of one call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ddjax.errors import InputError
from ddjax.labels.store.files import Files, cause

if TYPE_CHECKING:
    import tensorstore as ts

_CHUNK_BYTES = 16 << 10
_SHARD_BYTES = 8 << 20
_SMALL_SHARD_BYTES = 1 << 20
_WRITTEN_BYTES = 1 << 20
_CHUNKS_IN_FLIGHT = 512
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_ZSTD = {"name": "zstd", "configuration": {"level": 1}}
_CRC = {"name": "crc32c"}
_NOWHERE = np.uint64(2**64 - 1)  # offset of a chunk that a shard does not hold
_ADVICE = "delete the store and write it again"

Region = tuple[slice, slice]  # of epochs and of positions


@dataclasses.dataclass(frozen=True)
class Grid:
    """How labels are cut, all (epochs, positions).

    Attributes:
      shape: of the store.
      chunk: what is compressed and checked as one.
      shard: what is one file of labels; a multiple of `chunk`.
      written_chunk: what is one file of `written`: whole epochs.
    """

    shape: tuple[int, int]
    chunk: tuple[int, int]
    shard: tuple[int, int]
    written_chunk: tuple[int, int]

    @classmethod
    def plan(cls, epochs: int, examples: int, label_bytes: int) -> Grid:
        """Returns the grid for labels of `label_bytes` bytes."""
        chunk = _cut(epochs, examples, max(1, _CHUNK_BYTES // label_bytes))
        chunk_bytes = chunk[0] * chunk[1] * label_bytes
        down, across = -(-epochs // chunk[0]), -(-examples // chunk[1])
        if across * chunk_bytes >= _SMALL_SHARD_BYTES:
            files = -(-across * chunk_bytes // _SHARD_BYTES)
            down, across = 1, -(-across // files)
        else:
            down = min(down, _SMALL_SHARD_BYTES // (across * chunk_bytes))
        rows = max(1, min(epochs, _WRITTEN_BYTES // examples))
        return cls(
            shape=(epochs, examples),
            chunk=chunk,
            shard=(chunk[0] * down, chunk[1] * across),
            written_chunk=(rows, examples),
        )

    def regions(
        self, size: tuple[int, int], within: Region | None = None
    ) -> Iterator[Region]:
        """Yields the store, or a region of it, cut into blocks of a size."""
        epochs, examples = self.shape
        rows, columns = within or (slice(0, epochs), slice(0, examples))
        for i in range(rows.start, rows.stop, size[0]):
            for j in range(columns.start, columns.stop, size[1]):
                yield (
                    slice(i, min(i + size[0], rows.stop)),
                    slice(j, min(j + size[1], columns.stop)),
                )


class Arrays:
    """The labels' payloads and which of them are written.

    Attributes:
      grid: how they are cut.
      written: [E,N] bool, as last read.
    """

    def __init__(
        self, files: Files, epochs: int, examples: int, width: int, dtype: np.dtype
    ):
        """Opens or creates the arrays.

        Args:
          files: the store's folder.
          epochs, examples, width: E, N, W.
          dtype: of the payload.

        Raises:
          InputError: arrays on disk are others, or damaged, or cannot be created.
        """
        self._files, self._width, self._dtype = files, width, dtype
        # TensorStore does not know every small float; their bits are stored instead.
        native = dtype.isbuiltin == 1
        self._stored = dtype if native else np.dtype(f"u{dtype.itemsize}")
        self.grid = Grid.plan(epochs, examples, width * dtype.itemsize)
        self.written = np.zeros(self.grid.shape, bool)
        self._labels = self._open_labels()
        self._marks = self._open_marks()
        self.refresh()

    def refresh(self) -> None:
        """Reads from disk which labels are written."""
        try:
            written = self._marks.read().result().view(bool)
        except ValueError as error:
            line = next(self._marks_damage(), f"{self._files.path}: {cause(error)}")
            raise InputError(f"{line}; {_ADVICE}") from None
        if not np.array_equal(written, self.written):
            # Opened anew, because cached chunks may be older than these marks.
            self._labels = self._open_labels()
            self.written = written

    def write(
        self, epochs: np.ndarray, positions: np.ndarray, payload: np.ndarray
    ) -> None:
        """Writes payloads [n,W], then marks them.

        Args:
          epochs, positions: [n], pairs that are distinct and sorted.
          payload: [n,W].
        """
        cuts = np.flatnonzero(np.diff(epochs)) + 1
        rows = [
            (int(epoch[0]), _where(each), values)
            for epoch, each, values in zip(
                np.split(epochs, cuts),
                np.split(positions, cuts),
                np.split(payload.view(self._stored), cuts),
                strict=True,
            )
        ]
        try:
            _commit(self._labels, rows)
            _commit(self._marks, [(*row, np.uint8(1)) for *row, _ in rows])
        except ValueError as error:
            raise self._files.not_written(error) from None
        self.written[epochs, positions] = True

    def read(self, epochs: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Returns payloads [n,W] of epochs [n] and positions [n].

        Chunks in flight do not count as cached, so few are read at a time.

        Raises:
          InputError: a file is damaged.
        """
        rows, columns = self.grid.chunk
        cells = epochs // rows * self.grid.shape[1] + positions // columns
        seen = np.cumsum(np.diff(cells, prepend=-1) != 0)
        cuts = np.flatnonzero(np.diff(seen // _CHUNKS_IN_FLIGHT)) + 1
        parts = zip(np.split(epochs, cuts), np.split(positions, cuts), strict=True)
        return np.concatenate([self._read(*part) for part in parts])

    def _read(self, epochs: np.ndarray, positions: np.ndarray) -> np.ndarray:
        try:
            found = self._labels.vindex[epochs, positions].read().result()
        except ValueError as error:
            shards = {
                (epoch // self.grid.shard[0], position // self.grid.shard[1])
                for epoch, position in zip(epochs, positions, strict=True)
            }
            touched = (
                region
                for region in self.grid.regions(self.grid.shard)
                if _cell(region, self.grid.shard) in shards
            )
            line = next(
                self._labels_damage(touched), f"{self._files.path}: {cause(error)}"
            )
            raise InputError(f"{line}; {_ADVICE}") from None
        return found.view(self._dtype)

    def verify(self, progress: Callable[[int], Any] | None = None) -> Iterator[str]:
        """Yields one line for every damaged chunk; `progress` gets 1 a shard."""
        damaged = list(self._marks_damage())
        yield from damaged
        if not damaged:
            self.refresh()
        yield from self._labels_damage(self.grid.regions(self.grid.shard), progress)

    def disk_bytes(self) -> int:
        """Returns the size of all files of the store, in bytes.

        A shard's size is where its last chunk ends plus its index: a key-value store
        does not report sizes, and reading whole shards would take long.
        """
        chunks = [s // c for s, c in zip(self.grid.shard, self.grid.chunk, strict=True)]
        index_bytes = 16 * chunks[0] * chunks[1] + 4
        total = 0
        for name in self._files.names():
            if name.startswith("labels/c/"):
                index = self._files.get(name, last_bytes=index_bytes) or b""
                entries = np.frombuffer(index[:-4], "<u8").reshape(-1, 2)
                ends = entries[entries[:, 0] != _NOWHERE].sum(axis=1)
                total += int(ends.max(initial=0)) + index_bytes
            else:
                total += len(self._files.get(name) or b"")
        return total

    def _labels_damage(
        self,
        shards: Iterator[Region],
        progress: Callable[[int], Any] | None = None,
    ) -> Iterator[str]:
        import tensorstore as ts

        context = ts.Context()  # without a cache
        strict = self._open_labels(context)
        lenient = self._open_labels(context, strict=False)
        for shard in shards:
            marks = self.written[shard]
            error = _failure(strict if marks.all() else lenient, shard)
            if error is not None or (marks.any() and not marks.all()):
                yield from self._shard_damage(shard, strict, lenient)
            if progress is not None:
                progress(1)

    def _shard_damage(self, shard: Region, strict, lenient) -> Iterator[str]:
        row, column = _cell(shard, self.grid.shard)
        name = f"{self._files.path}/labels/c/{row}/{column}/0"
        for chunk in self.grid.regions(self.grid.chunk, shard):
            # Chunks of which no label is written may be absent, but not damaged.
            array = strict if self.written[chunk].any() else lenient
            error = _failure(array, chunk)
            if error is None:
                continue
            if "shard index" in error or "Existing shard" in error:
                yield f"{name}: its index, so all of {_extent(shard)}, {_why(error)}"
                return
            cell = _cell(chunk, self.grid.chunk)
            yield f"{name}: chunk {cell}, {_extent(chunk)}, {_why(error)}"

    def _marks_damage(self) -> Iterator[str]:
        import tensorstore as ts

        array = self._open_marks(ts.Context())
        for chunk in self.grid.regions(self.grid.written_chunk):
            error = _failure(array, chunk)
            if error is not None:
                row, column = _cell(chunk, self.grid.written_chunk)
                name = f"{self._files.path}/written/c/{row}/{column}"
                yield f"{name}: {_extent(chunk)}, {_why(error)}"

    def _open_labels(self, context: ts.Context | None = None, *, strict: bool = True):
        """`strict`: a chunk that is not on disk is an error, not zeros."""
        inside = {
            "chunk_shape": [*self.grid.chunk, self._width],
            "codecs": [_BYTES, _ZSTD, _CRC],
            "index_codecs": [_BYTES, _CRC],
        }
        return self._open(
            "labels",
            context,
            shape=[*self.grid.shape, self._width],
            data_type=self._stored.name,
            chunk=[*self.grid.shard, self._width],
            codecs=[{"name": "sharding_indexed", "configuration": inside}],
            # A check for newer chunks at every read would cost a request for each.
            recheck_cached_data="open",
            store_data_equal_to_fill_value=True,
            fill_missing_data_reads=not strict,
        )

    def _open_marks(self, context: ts.Context | None = None):
        return self._open(
            "written",
            context,
            shape=list(self.grid.shape),
            data_type="uint8",
            chunk=list(self.grid.written_chunk),
            codecs=[_BYTES, _ZSTD, _CRC],
        )

    def _open(self, name, context, *, shape, data_type, chunk, codecs, **options):
        import tensorstore as ts

        spec = {
            "driver": "zarr3",
            "kvstore": self._files.spec(f"{name}/"),
            "metadata": {
                "shape": shape,
                "data_type": data_type,
                "fill_value": 0,
                "codecs": codecs,
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": chunk},
                },
            },
            **options,
        }
        context = context or self._files.context
        try:
            return ts.open(spec, open=True, create=True, context=context).result()
        except ValueError as error:
            raise InputError(
                f"{self._files.path}/{name}/zarr.json: cannot be used ({cause(error)})"
            ) from None


def _cut(epochs: int, examples: int, labels: int) -> tuple[int, int]:
    """A block of about `labels` labels: part of an epoch, or several whole epochs."""
    if examples > labels:
        parts = -(-examples // labels)
        return 1, -(-examples // parts)
    return min(epochs, labels // examples), examples


def _commit(array: ts.TensorStore, rows) -> None:
    """Writes (epoch, where, values) so that each file is rewritten once."""
    import tensorstore as ts

    with ts.Transaction() as transaction:
        staged = array.with_transaction(transaction)
        writes = [staged[epoch, where].write(values) for epoch, where, values in rows]
        for write in writes:
            write.result()


def _where(positions: np.ndarray) -> np.ndarray | slice:
    """Sorted positions as a slice if they are one: whole chunks are not read back."""
    if positions[-1] - positions[0] + 1 == positions.size:
        return slice(positions[0], positions[-1] + 1)
    return positions


def _failure(array: ts.TensorStore, region: Region) -> str | None:
    try:
        array[region].read().result()
    except ValueError as error:
        return cause(error)
    return None


def _cell(region: Region, size: tuple[int, int]) -> tuple[int, int]:
    return region[0].start // size[0], region[1].start // size[1]


def _extent(region: Region) -> str:
    rows, columns = region
    return (
        f"epochs {rows.start} to {rows.stop - 1}, "
        f"positions {columns.start} to {columns.stop - 1}"
    )


def _why(error: str) -> str:
    if error.startswith("NOT_FOUND"):
        return "is missing though it was written"
    if "not valid for value of size" in error or "Existing shard has size" in error:
        return "is truncated"
    if error.startswith(("DATA_LOSS", "FAILED_PRECONDITION", "INVALID_ARGUMENT")):
        detail = error.rsplit(": ", 1)[-1]
        return f"does not match its checksum: truncated or altered ({detail})"
    return f"cannot be read ({error})"
