"""Many students of one program at once: the member axis and its drivers.

Letters: M members, T steps of a stretch, B batch, N pool examples.
"""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ddjax import keys, mesh
from ddjax.artifacts import Cost
from ddjax.data.augment import Recipe
from ddjax.process import ending
from ddjax.train import batches, checkpoint, evaluate, student
from ddjax.train import members as groups
from ddjax.train.checkpoint import Checkpoint
from ddjax.train.drivers import lift
from ddjax.train.flops import flops
from ddjax.train.members import Members, Watch

# A call to the device lasts about this long, so that progress moves and Ctrl-C works.
CALL_SECONDS = 1.0
# Images on which members are evaluated at once by a device of a batch; all splits share
# one executable.
BLOCK = 256
_NOBODY = Watch()
_RECORD, _CARRIED = "record.", "carried."  # how a checkpoint names its arrays
_Arrays = dict[str, np.ndarray]


class Runner:
    """Trains and evaluates groups of members of one program with one driver.

    A group is run in parts of equal width, all of them by one executable: one member
    under "loop", one for each device under "mesh" on CPU, else as many as a power of
    two holds. The last part is filled up with copies of the first member.
    """

    def __init__(
        self,
        program: student.Program,
        pool: batches.Pool,
        driver: str,
        compiled: dict[Any, Any] | None = None,
        data: int = 0,
    ):
        """Places the pool on the devices.

        Args:
          program: what is compiled in.
          pool: the examples.
          driver: "vmap", "loop" or "mesh".
          compiled: executables shared with other runners of the same process.
          data: devices that share a batch, see `mesh.grid`.

        Raises:
          InputError: so many devices cannot share a batch.
        """
        self.driver = driver
        self.mesh = grid_of(driver, program.batch_size, data)
        if self._shared_by > 1:  # a share is small
            program = dataclasses.replace(program, micro_batch=0)
        self.program = program
        self.cost = Cost()
        self._compiled = {} if compiled is None else compiled
        self._seconds_per_step, self._per_call = 0.0, 4
        self._flops_of_step = None
        self._rows = PartitionSpec(mesh.MEMBER) if driver == "mesh" else PartitionSpec()
        self._ids = np.asarray(pool.ids)
        self.pool = batches.place_pool(pool, self.mesh)

    @property
    def _shared_by(self) -> int:
        """Devices that share a batch."""
        return self.mesh.shape[mesh.DATA]

    def take_cost(self) -> Cost:
        """Returns what was spent since the last call.

        Operations follow from the passes alone: the sum does not depend on where a
        training was cut into calls, checkpoints and tries.
        """
        cost, self.cost = self.cost, Cost()
        if cost.train_passes:
            steps = cost.train_passes // self.program.passes
            cost.flops += steps * self._flops_of_step
        if cost.forward_passes:
            cost.flops += cost.forward_passes * self._image_flops
        return cost

    def width(self, count: int) -> int:
        """Returns how many members of a group of `count` run in one call."""
        if self.driver == "loop":
            return 1
        devices = self.mesh.shape[mesh.MEMBER] if self.driver == "mesh" else 1
        if self.driver == "mesh" and jax.default_backend() == "cpu":
            return devices
        each = -(-count // devices)
        return devices << (each - 1).bit_length()

    def train(
        self,
        members: Members,
        total_steps: int,
        stops: tuple[int, ...] = (),
        measure: Callable[[Any, _Arrays], tuple[_Arrays, _Arrays]] | None = None,
        folder: pathlib.Path | None = None,
        checkpoint_seconds: float = 60.0,
        watch: Watch = _NOBODY,
    ) -> tuple[list[Any], dict[str, np.ndarray]]:
        """Trains a group from its beginning, or from its last checkpoint.

        A checkpoint has the cost since `take_cost`. Where it is damaged, the watch gets
        a message and the group starts afresh.

        Args:
          members: the group.
          total_steps: steps of every member.
          stops: step counts in 1..total_steps after which `measure` is called.
          measure: (states, carried) -> (name -> array [M,...], as of `evaluate`,
            and what the next call is handed, name -> array, {} at first).
          folder: where checkpoints of the unfinished group are kept; None: nowhere.
          checkpoint_seconds: time between checkpoints.
          watch: its methods are called as the training goes on.

        Returns:
          (the states of the parts, name -> [S,M,...] of `measure` at the stops)
        """
        width = self.width(len(members))
        parts = members.parts(width)
        states = [self._init(part) for part in parts]
        step, records, carried, found = 0, [], {}, None
        if folder is not None:
            found = checkpoint.restore(folder, watch.say, states)
        if found is not None:
            step, states = found.step, [self._place(state) for state in found.state]
            records, carried = _unpacked(found.arrays)
            self.cost += found.cost
        watch.progress(step * len(members))
        saved = time.perf_counter()
        hparams = [self._place(part.hparams) for part in parts]
        targets = sorted({*stops, total_steps})
        while step < total_steps:
            with self._stretch(parts, step) as stretch:
                base, limit = step, min(step + groups.STRETCH, total_steps)
                while step < limit:
                    target = next(t for t in targets if t > step)
                    count = min(limit, target, step + self._per_call) - step
                    count, began = watch.at_most(count), time.perf_counter()
                    bounds = step - base, step - base + count
                    for row, values in enumerate(zip(stretch, hparams, strict=True)):
                        states[row] = self._advance(states[row], *values, bounds)
                        done = min(width, len(members) - row * width)
                        self._book_steps(done * count, values[0])
                        watch.progress(done * count)
                    step += count
                    seen = count * len(members) * self.program.passes
                    speed = {"images_per_second": seen / (time.perf_counter() - began)}
                    watch.stepped(step, count, self._numbers(states) | speed)
                    if step in stops:
                        record, carried = measure(states, carried)
                        records.append(record)
                    pace = len(parts) * self._seconds_per_step
                    late = time.perf_counter() - saved > checkpoint_seconds
                    pace, late, stop = mesh.most((pace, late, ending.stop_requested()))
                    self._per_call = max(1, int(CALL_SECONDS / pace))
                    if folder is not None and (late or stop) and step < total_steps:
                        arrays, cost = _packed(records, carried), self.cost
                        checkpoint.save(
                            folder, Checkpoint(step, arrays, {}, cost, states)
                        )
                        saved = time.perf_counter()
                    if stop and step < total_steps:
                        raise ending.Preempted
        if not records:
            return states, {}
        return states, {n: np.stack([r[n] for r in records]) for n in records[0]}

    def evaluate(
        self,
        function: Callable[..., dict[str, jax.Array]],
        states: list[Any],
        count: int,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Evaluates every member on images, at the highest matrix precision.

        Args:
          function: (network, variables, images [B,H,W,K] float32 normalised,
            labels [B]) -> name -> [B,...].
          states: of `train`.
          count: M, members without the padding.
          images: [N,H,W,K] uint8.
          labels: [N] int32.

        Returns:
          name -> [M,N,...].
        """
        bound = Bound(_evaluate, (function, self.program.network))
        batched = (True, False, False, False, False)
        size, spread = BLOCK * self._shared_by, PartitionSpec(mesh.DATA)
        own = mesh.own_rows(size, self.mesh, spread)
        channels = self.pool.mean, self.pool.std
        rows = [[] for _ in states]
        trained = [student.evaluated_variables(self.program, state) for state in states]
        for first, block in evaluate.blocks(size, own, images, labels):
            block = tuple(mesh.place_own(a, self.mesh, spread) for a in block)
            for row, variables in zip(rows, trained, strict=True):
                with jax.default_matmul_precision("highest"):
                    found = self.call(bound, batched, variables, *block, *channels)
                found = mesh.fetch(found)
                row.append({n: a[:, : len(images) - first] for n, a in found.items()})
        self.cost.forward_passes += count * len(images)
        whole = [
            {n: np.concatenate([b[n] for b in row], 1) for n in row[0]} for row in rows
        ]
        return {n: np.concatenate([a[n] for a in whole])[:count] for n in whole[0]}

    def time_step(self, members: Members, steps: int = 3, repeats: int = 2) -> float:
        """Returns the seconds of one member-step, the best of a few calls."""
        part = members.parts(self.width(len(members)))[0]
        state, hparams = self._init(part), self._place(part.hparams)
        best = float("inf")
        with self._stretch([part], 0) as (plan,):
            for _ in range(1 + repeats):  # the first call is a warm-up
                state = self._advance(state, plan, hparams, (0, steps))
                best = min(best, self._seconds_per_step / len(part))
        return best

    def call(self, function: Callable, batched: tuple[bool, ...], *args, donate=()):
        """Runs a lifted function, compiling it on first use.

        Args:
          function: hashable; functions that compare equal share an executable.
          batched: see `lift`.
          *args: arguments, those with a member axis of the driver's width.
          donate: positions of arguments whose buffers may be reused.

        Returns:
          The function's result.
        """
        executable = self._lifted(function, batched, args, donate)
        return self._timed(executable, args)

    def _lifted(self, function: Callable, batched: tuple[bool, ...], args, donate=()):
        """Returns the executable of `call`."""
        lifted = lift(function, self.driver, batched, self.mesh)
        options = {"donate_argnums": donate, "out_shardings": self._sharding}
        with jax.set_mesh(self.mesh):
            key = function, batched, self.driver, self.mesh
            return self._executable(key, lifted, args, **options)

    @property
    def _sharding(self):
        """Where arrays with a member axis lie."""
        return jax.sharding.NamedSharding(self.mesh, self._rows)

    def _executable(self, key: Any, function: Callable, args: tuple, **options: Any):
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(args))
        key = (key, shapes, jax.tree.structure(args))
        if key not in self._compiled:
            start = time.perf_counter()
            lowered = jax.jit(function, **options).lower(*args)
            self._compiled[key] = lowered.compile()
            self.cost.compile_seconds += time.perf_counter() - start
        return self._compiled[key]

    def _timed(self, executable: Callable, args: tuple) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(executable(*args))
        self.cost.seconds += time.perf_counter() - start
        return result

    def _run(self, key: Any, function: Callable, args: tuple) -> Any:
        """Runs a small program on this process's own device."""
        return self._timed(self._executable(key, function, args), args)

    def _init(self, part: Members) -> dict[str, Any]:
        # What does not matter to the weights is left out, so that the executable is
        # shared by all regimes.
        bare = dataclasses.replace(
            self.program, objective=None, recipe=Recipe(), batch_size=1, schedule=""
        )
        init = Bound(student.init_student, bare)
        rows = [self._run(init, init, (seed,)) for seed in part.seeds]
        return self._place(jax.tree.map(lambda *leaves: np.stack(leaves), *rows))

    @contextlib.contextmanager
    def _stretch(self, parts: list[Members], step: int) -> Iterator[list[Any]]:
        """Places the plans of the parts' next steps on the devices."""
        laid = [
            groups.make_plan(self._run, self.program, self._ids, part, step)
            for part in parts
        ]
        yield [self._place(plan) for plan in laid]

    def _advance(self, state, plan, hparams, bounds):
        before = self.cost.seconds
        first, stop = map(np.int32, bounds)
        state = self.call(
            Bound(student.advance, self.program),
            (True, False, True, True, False, False),
            *(state, self.pool, plan, hparams, first, stop),
            donate=(0,),
        )
        self._seconds_per_step = (self.cost.seconds - before) / int(stop - first)
        return state

    def _numbers(self, states: list[Any]) -> dict[str, float]:
        """Returns the metrics of a step: the members' mean latest loss."""
        sums, counts = np.moveaxis(
            np.concatenate([mesh.fetch(state["curve"]) for state in states]), 1, 0
        )
        last = counts.shape[1] - 1 - np.argmax(counts[0, ::-1] > 0)
        return {"loss": float((sums[:, last] / counts[:, last]).mean())}

    def _book_steps(self, steps: int, plan: batches.Plan) -> None:
        self.cost.train_passes += steps * self.program.passes
        self._step_flops(plan)

    @functools.cached_property
    def _image_flops(self) -> float:
        """Operations of one image's forward pass."""
        network = self.program.network
        variables = jax.eval_shape(network.init, keys.key(0))
        image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
        return flops(network.apply, variables, image)

    def _step_flops(self, plan: batches.Plan) -> float:
        """Operations of one member's training step; `plan` of a part, [W,L,...]."""
        if self._flops_of_step is None:
            program = self.program
            seed = jax.ShapeDtypeStruct((), np.int32)
            state = jax.eval_shape(Bound(student.init_student, program), seed)
            plan = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(
                    (program.batch_size, *a.shape[2:]), a.dtype
                ),
                plan,
            )
            number = jax.ShapeDtypeStruct((), np.float32)
            hparams = student.HParams(*[number] * len(student.HParams._fields))
            step = Bound(student.train_step, program)
            pool = jax.tree.map(
                lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), self.pool
            )
            self._flops_of_step = flops(step, state, pool, plan, hparams)
        return self._flops_of_step

    def _place(self, tree: Any) -> Any:
        """Puts arrays with a member axis on the devices."""
        return mesh.place(tree, self.mesh, self._rows)


def grid_of(driver: str, batch_size: int, data: int = 0) -> Mesh:
    """Returns the mesh that a driver uses; see `mesh.grid`."""
    return mesh.grid(batch_size, data, members=driver == "mesh")


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with its static first argument; equal when both are equal."""

    function: Callable
    static: Any

    def __call__(self, *args):
        return self.function(self.static, *args)


def _evaluate(static, variables, images, labels, mean, std):
    function, network = static
    return function(network, variables, batches.normalise(images, mean, std), labels)


def _packed(records: list[_Arrays], carried: _Arrays) -> _Arrays:
    """Returns one dict of what was measured at S stops, [S,...], and is carried."""
    names = records[0] if records else ()
    stacked = {_RECORD + n: np.stack([r[n] for r in records]) for n in names}
    return stacked | {_CARRIED + n: np.asarray(a) for n, a in carried.items()}


def _unpacked(arrays: _Arrays) -> tuple[list[_Arrays], _Arrays]:
    """The inverse of `_packed`."""
    stacked, carried = (
        {n.removeprefix(kind): a for n, a in arrays.items() if n.startswith(kind)}
        for kind in (_RECORD, _CARRIED)
    )
    stops = max(map(len, stacked.values()), default=0)
    return [{n: a[stop] for n, a in stacked.items()} for stop in range(stops)], carried
