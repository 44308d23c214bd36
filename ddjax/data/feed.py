"""Batches of images, decoded on the host while the device is busy.

Letters: L presentations, B batch size, R rows of a batch, H W C image.
"""

import dataclasses
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ddjax.data.images import Streamed, cores

_THREADS = 8  # decoding threads a process: of more, some wait for Python's lock
_IN_FLIGHT = (
    3  # batches of a worker process: one decoding, one decoded, one handed over
)
_SHARED = "/dev/shm"  # where processes hand batches over
_BOUND = 0.05  # share of the time waited from which on the host holds the device up

Batch = tuple[np.ndarray, np.ndarray | None]


class Feed:
    """The images of a training, step by step, from any step on."""

    def __init__(
        self,
        images: Any,
        positions_L: np.ndarray,
        partners_L: np.ndarray | None,
        batch_size: int,
        rows: slice = slice(None),
        workers: int = 0,
        ahead: int = 2,
    ):
        """Describes the batches; nothing is read.

        Args:
          images: [N,H,W,C], an array or `images.Streamed`.
          positions_L: [L] integers below N, the images in their order.
          partners_L: [L], those that CutMix pastes in; None: no partners.
          batch_size: B. L // B steps; what is left over is not used.
          rows: which rows of every batch are this process's; all of them, or R.
          workers: decoding threads; 0: one a core. Up to 8 are threads of this
            process, more are spread over processes of 8 each, as far as their batches
            fit into shared memory.
          ahead: batches decoded before they are used; with several processes, 3 for
            each at most instead. A batch of 256 images of 224x224 takes 37 MiB, twice
            that with partners.
        """
        steps = len(positions_L) // max(batch_size, 1)
        if min(steps, batch_size, ahead) < 1 or workers < 0:
            raise ValueError(
                f"{len(positions_L)} presentations, batch_size {batch_size}, ahead "
                f"{ahead}, workers {workers}: allowed is at least one batch, 1, 1 and 0"
            )

        def table(order_L):
            order_L = np.asarray(order_L)[: steps * batch_size]
            return order_L.reshape(steps, batch_size)[:, rows]

        self._images = images
        self._positions = table(positions_L)
        self._partners = None if partners_L is None else table(partners_L)
        self._workers = workers or cores()
        self._ahead = ahead

    def __len__(self) -> int:
        """Steps."""
        return len(self._positions)

    def iterate(self, first: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Yields the batches of steps first .. stop - 1, the same from any `first`.

        Args:
          first: the first step.
          stop: the step to end before; None: L // B.

        Yields:
          Images [R,H,W,C] uint8, and their partners, of the same shape, or None. An
          image that a batch has twice is decoded once.

        Raises:
          InputError: an image is missing or damaged; with the batch that it is in.

        A caller that does not take all of them calls `close()` of the iterator, which
        ends threads and processes.
        """
        import grain
        from absl import flags

        steps = slice(first, stop)
        partners = None if self._partners is None else self._partners[steps]
        num_processes = self._num_processes()
        threads = math.ceil(self._workers / num_processes)
        make = _Make(self._images, self._positions[steps], partners, threads)
        batches = grain.MapDataset.range(len(make.positions)).map(make)
        if num_processes == 1:
            # Two are decoded at a time, so that no thread idles at the end of a batch.
            options = grain.ReadOptions(min(2, self._ahead), self._ahead)
            batches = batches.to_iter_dataset(options)
        else:
            # Grain reads flags of its own, which nobody has parsed in a library.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            batches = batches.to_iter_dataset(grain.ReadOptions(1, 1))
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_processes))
        iterator = iter(batches)
        try:
            yield from iterator
        finally:
            iterator.close()

    def _num_processes(self) -> int:
        wanted = math.ceil(self._workers / _THREADS)
        if wanted == 1 or not os.path.isdir(_SHARED):
            return wanted
        pictures = 1 if self._partners is None else 2
        batch = self._positions.shape[1] * math.prod(self._images.shape[1:]) * pictures
        # A container often has 64 MiB there; a process that writes past it is killed.
        fits = shutil.disk_usage(_SHARED).free // (_IN_FLIGHT * batch)
        return max(1, min(wanted, fits))


class _Make:
    """step -> batch; picklable, for worker processes."""

    def __init__(self, images, positions, partners, threads):
        if isinstance(images, Streamed):
            images = dataclasses.replace(images, workers=threads)
        self.images, self.positions, self.partners = images, positions, partners

    def __call__(self, step: int) -> Batch:
        positions = self.positions[step]
        if self.partners is None:
            return self.images[positions], None
        both = np.concatenate([positions, self.partners[step]])
        images, partners = np.split(self.images[both], 2)
        return images, partners


class Throughput(NamedTuple):
    """What a `Meter` has measured.

    Attributes:
      images: how many, the first batch's left out.
      seconds: in which they came.
      waited: share of the time that the device waited for the host, in [0, 1].
      host: images/s that the host gives; where the device is the slower one, those that
        the device took, which is less than it could.
      device: images/s that the device would take if it never had to wait.
      bottleneck: "host" or "device".
    """

    images: int
    seconds: float
    waited: float
    host: float
    device: float
    bottleneck: str

    def __str__(self) -> str:
        host, device = (f"{rate:,.0f}" for rate in (self.host, self.device))
        if self.bottleneck == "device":
            host = f"at least {host}"
        return (
            f"input: the host gives {host} images/s, the device takes {device}: the "
            f"{self.bottleneck} is the bottleneck ({100 * self.waited:.0f} % of "
            f"{self.seconds:.1f} s waited for the host)"
        )


class Meter:
    """Measures whether the host or the device limits the speed of a training.

    The time between two batches is the device's only where the loop waits for the
    device, as one does that reads a result of the step before.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._images, self._waited, self._busy = 0, 0.0, 0.0

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yields the batches, and takes the time of both sides.

        The first batch, for which threads and programs are started, does not count.
        May be called again, for the next stretch.
        """
        batches = iter(batches)
        try:
            batch = next(batches, None)
            while batch is not None:
                given = self._clock()
                yield batch
                wanted = self._clock()
                batch = next(batches, None)
                if batch is not None:
                    self._images += len(batch[0])
                    self._busy += wanted - given
                    self._waited += self._clock() - wanted
        finally:
            if hasattr(batches, "close"):
                batches.close()

    def read(self) -> Throughput | None:
        """Returns what was measured so far; None before the second batch."""
        if not self._images:
            return None
        seconds = self._busy + self._waited
        waited = self._waited / seconds
        return Throughput(
            self._images,
            seconds,
            waited,
            self._images / seconds,
            self._images / max(self._busy, 1e-9),
            "host" if waited > _BOUND else "device",
        )
