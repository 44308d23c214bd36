"""Training on images that stay on disk and arrive step by step.

The images of a step are known ahead, so that workers decode those of the next steps
while the devices train. An order has no state but the step, so that a resumed training
goes on with the images that come next.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec

from ddjax import mesh
from ddjax.data import feed
from ddjax.train import batches, student
from ddjax.train import members as groups
from ddjax.train.members import Members
from ddjax.train.sweep import Bound, Runner

_ROWS = PartitionSpec(None, mesh.DATA)  # of arrays [1,B,...]


class _Fed(NamedTuple):
    """A stretch of one member: its plan [1,L,...] on the host, and images for it."""

    plan: batches.Plan
    images: Iterator[feed.Batch]


class Streaming(Runner):
    """Trains members one after another on a pool whose images are streamed.

    Each process decodes what its own devices need. Images lie beside a step's plan, one
    step at a time, instead of in the pool.
    """

    def __init__(
        self,
        program: student.Program,
        pool: batches.Pool,
        compiled: dict[Any, Any] | None = None,
        data: int = 0,
        workers: int = 0,
    ):
        """Places all but the images on the devices.

        Args:
          program: what is compiled in.
          pool: the examples, whose images are a stream.
          compiled, data: see `Runner`.
          workers: that decode, see `Feed`.
        """
        self._stream, self._workers = pool.images, workers
        super().__init__(program, pool._replace(images=None), "loop", compiled, data)
        size = self.program.batch_size
        self._own = mesh.own_rows(size, self.mesh, PartitionSpec(mesh.DATA))
        self.meter = feed.Meter()

    @contextlib.contextmanager
    def _stretch(self, parts: list[Members], step: int) -> Iterator[list[_Fed]]:
        with contextlib.ExitStack() as opened:
            yield [self._fed(opened, part, step) for part in parts]

    def _fed(self, opened: contextlib.ExitStack, part: Members, step: int) -> _Fed:
        plan = groups.make_plan(self._run, self.program, self._ids, part, step)
        plan = mesh.fetch(plan)
        images = feed.Feed(
            self._stream,
            plan.positions[0],
            plan.partners[0] if self.program.recipe.cutmix else None,
            self.program.batch_size,
            self._own,
            self._workers,
        ).iterate()
        images = self.meter.watch(images)
        return _Fed(plan, opened.enter_context(contextlib.closing(images)))

    def _advance(self, state, fed: _Fed, hparams, bounds):
        """Trains for some steps; the next one's images arrive while one runs."""
        first, stop = bounds
        compiling, start = self.cost.compile_seconds, time.perf_counter()
        for step in range(first, stop):
            plan = groups.steps_of(fed.plan, step, step + 1, self.program.batch_size)
            images = next(fed.images)
            args = state, self.pool, self._placed(plan, *images), hparams
            jax.block_until_ready(state)
            function = Bound(student.train_step, self.program)
            batched = (True, False, True, True)
            state = self._lifted(function, batched, args, donate=(0,))(*args)
        jax.block_until_ready(state)
        spent = time.perf_counter() - start
        spent -= self.cost.compile_seconds - compiling
        self.cost.seconds += spent
        self._seconds_per_step = spent / (stop - first)
        return state

    def _numbers(self, states) -> dict[str, float]:
        numbers, seen = super()._numbers(states), self.meter.read()
        if seen is not None:
            numbers |= {"host_images_per_second": seen.host, "waited": seen.waited}
        return numbers

    def _step_flops(self, fed: _Fed) -> float:
        shape = fed.plan.positions.shape + self.program.network.image_shape
        images = jax.ShapeDtypeStruct(shape, np.uint8)
        pasted = images if self.program.recipe.cutmix else None
        plan = fed.plan._replace(images=images, partner_images=pasted)
        return super()._step_flops(plan)

    def _placed(self, plan, images: np.ndarray, partners: np.ndarray | None):
        """Returns a step's plan [1,B,...] on the devices, each with its own rows."""
        own = jax.tree.map(lambda a: a[:, self._own], plan)
        own = own._replace(
            images=images[None],
            partner_images=None if partners is None else partners[None],
        )
        put = functools.partial(mesh.place_own, mesh=self.mesh, spec=_ROWS)
        return jax.tree.map(put, own)
