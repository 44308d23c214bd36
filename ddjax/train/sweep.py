"""Many students of one program at once: the member axis and its drivers.

Letters: M members, T steps of a stretch, B batch, N pool examples.
"""

import dataclasses
import functools
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ddjax import mesh
from ddjax.artifacts import Cost
from ddjax.data.augment import Recipe
from ddjax.train import checkpoint, order, student
from ddjax.train.drivers import lift
from ddjax.train.flops import flops
from ddjax.train.members import Members

# Steps whose presentations are laid out at once. Long enough to make the layout cheap,
# short enough to keep it small: 256 steps of 256 presentations are 0.8 MB a member.
STRETCH = 256
# A call to the device lasts about this long, so that progress moves and Ctrl-C works.
CALL_SECONDS = 1.0
# Images that members are asked about at once; all splits share one executable.
BLOCK = 256


class Runner:
    """Trains and judges groups of members of one program with one driver.

    A group is run in parts of equal width, all of them by one executable: one member
    under "loop", one for each device under "mesh" on CPU, else as many as a power of
    two holds. The last part is filled up with copies of the first member.
    """

    def __init__(
        self,
        program: student.Program,
        pool: student.Pool,
        driver: str,
        compiled: dict[Any, Any] | None = None,
    ):
        """Places the pool on the devices.

        Args:
          program: what is compiled in.
          pool: the examples.
          driver: "vmap", "loop" or "mesh".
          compiled: executables shared with other runners of the same process.
        """
        self.program = program
        self.driver = driver
        self.cost = Cost()
        self._compiled = {} if compiled is None else compiled
        self._seconds_per_step = 0.0
        self._flops_of_step = None
        self._sharding = None
        if driver == "mesh":
            devices = mesh.local_mesh(mesh.MEMBER)
            self._sharding = NamedSharding(devices, PartitionSpec(mesh.MEMBER))
        self.pool = self._share(pool)
        self._ids = np.asarray(pool.ids)

    def take_cost(self) -> Cost:
        """Returns what was spent since the last call."""
        cost, self.cost = self.cost, Cost()
        return cost

    def width(self, count: int) -> int:
        """Returns how many members of a group of `count` run in one call."""
        if self.driver == "loop":
            return 1
        devices = jax.local_device_count() if self.driver == "mesh" else 1
        if self.driver == "mesh" and jax.default_backend() == "cpu":
            return devices
        each = -(-count // devices)
        return devices << (each - 1).bit_length()

    def train(
        self,
        members: Members,
        total_steps: int,
        stops: tuple[int, ...] = (),
        measure: Callable[[Any, Any], tuple[dict[str, np.ndarray], Any]] | None = None,
        folder: pathlib.Path | None = None,
        checkpoint_seconds: float = 60.0,
        progress: Callable[[int], None] = lambda steps: None,
    ) -> tuple[list[Any], dict[str, np.ndarray]]:
        """Trains a group from its beginning, or from its last checkpoint.

        Args:
          members: the group.
          total_steps: steps of every member.
          stops: step counts in 1..total_steps after which `measure` is called.
          measure: (states, carried) -> (name -> array [M,...], such as `ask` gives,
            and what the next call is handed; a pytree of arrays, None at first).
          folder: where checkpoints of the unfinished group are kept; None: nowhere.
          checkpoint_seconds: time between checkpoints.
          progress: called with the number of member-steps that were done.

        Returns:
          (the states of the parts, name -> [S,M,...] of `measure` at the stops)
        """
        width = self.width(len(members))
        parts = members.parts(width)
        states = [self._init(part) for part in parts]
        step, records, carried = 0, [], None
        if folder is not None:
            step, states, records, carried = _restore(folder, states, stops, measure)
            states = [self._place(state) for state in states]
            progress(step * len(members))
        saved = time.perf_counter()
        hparams = [self._place(part.hparams) for part in parts]
        targets = sorted({*stops, total_steps})
        while step < total_steps:
            plans, base = [self._plan(part, step) for part in parts], step
            limit = min(base + STRETCH, total_steps)
            while step < limit:
                target = next(t for t in targets if t > step)
                per_call = self._steps_per_call(len(parts))
                count = min(limit, target, step + per_call) - step
                bounds = np.int32(step - base), np.int32(step - base + count)
                for row, values in enumerate(zip(plans, hparams, strict=True)):
                    states[row] = self._advance(states[row], *values, bounds)
                    done = min(width, len(members) - row * width)
                    self._book_steps(done * count, values[0])
                    progress(done * count)
                step += count
                if step in stops:
                    record, carried = measure(states, carried)
                    records.append(record)
                late = time.perf_counter() - saved > checkpoint_seconds
                if folder is not None and late and step < total_steps:
                    _save(folder, step, (states, records, carried))
                    saved = time.perf_counter()
        if not records:
            return states, {}
        return states, {n: np.stack([r[n] for r in records]) for n in records[0]}

    def ask(
        self,
        function: Callable[..., dict[str, jax.Array]],
        states: list[Any],
        count: int,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Asks every member about images, at the highest matrix precision.

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
        bound = Bound(_ask, (function, self.program.network))
        batched = (True, False, False, False, False)
        rows = []
        for state in states:
            variables = student.evaluated_variables(self.program, state)
            blocks = []
            for first in range(0, len(images), BLOCK):
                block = images[first : first + BLOCK], labels[first : first + BLOCK]
                fill = BLOCK - len(block[0])
                padded = (np.concatenate([a, np.repeat(a[:1], fill, 0)]) for a in block)
                with jax.default_matmul_precision("highest"):
                    answers = self.call(
                        bound,
                        batched,
                        variables,
                        *self._share((*padded, self.pool.mean, self.pool.std)),
                    )
                blocks.append(
                    {n: np.asarray(a)[:, : BLOCK - fill] for n, a in answers.items()}
                )
            rows.append(
                {n: np.concatenate([b[n] for b in blocks], 1) for n in blocks[0]}
            )
        self.cost.forward_passes += count * len(images)
        self.cost.flops += count * len(images) * self._image_flops
        return {n: np.concatenate([row[n] for row in rows])[:count] for n in rows[0]}

    def time_step(self, members: Members, steps: int = 3, repeats: int = 2) -> float:
        """Returns the seconds of one member-step, the best of a few calls."""
        part = members.parts(self.width(len(members)))[0]
        state = self._init(part)
        plan, hparams = self._plan(part, 0), self._place(part.hparams)
        best = float("inf")
        for _ in range(1 + repeats):  # the first call is a warm-up
            bounds = np.int32(0), np.int32(steps)
            state = self._advance(state, plan, hparams, bounds)
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
        lifted = lift(function, self.driver, batched)
        return self._run((function, batched, self.driver), lifted, args, donate)

    def _run(self, key: Any, function: Callable, args: tuple, donate=()):
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(args))
        key = (key, shapes, jax.tree.structure(args))
        if key not in self._compiled:
            start = time.perf_counter()
            lowered = jax.jit(function, donate_argnums=donate).lower(*args)
            self._compiled[key] = lowered.compile()
            self.cost.compile_seconds += time.perf_counter() - start
        start = time.perf_counter()
        result = jax.block_until_ready(self._compiled[key](*args))
        self.cost.seconds += time.perf_counter() - start
        return result

    def _init(self, part: Members) -> dict[str, Any]:
        # What does not matter to the weights is left out, so that the executable is
        # shared by all regimes.
        bare = dataclasses.replace(
            self.program, objective=None, recipe=Recipe(), batch_size=1, schedule=""
        )
        init = Bound(student.init_student, bare)
        rows = [self._run(init, init, (seed,)) for seed in part.seeds]
        return self._place(jax.tree.map(lambda *leaves: np.stack(leaves), *rows))

    def _plan(self, part: Members, step: int) -> student.Plan:
        plan = jax.tree.map(
            lambda *leaves: np.stack(leaves),
            *(self._plan_row(part, row, step) for row in range(len(part))),
        )
        return self._place(plan)

    def _plan_row(self, part: Members, row: int, step: int) -> student.Plan:
        length = STRETCH * self.program.batch_size
        seed, subset = part.seeds[row], part.subsets[row]
        supervision = part.supervision
        presented = self._run(
            (order.presentations, length, supervision),
            functools.partial(
                order.presentations, length=length, supervision=supervision
            ),
            (
                seed,
                subset,
                self._ids[subset],
                np.int32(step * self.program.batch_size),
            ),
        )
        mixed = supervision if supervision and supervision.mixes else None
        make = functools.partial(
            student.make_plan,
            self.program.recipe,
            self.program.network.image_shape,
            supervision=mixed,
        )
        plan = self._run(
            (student.make_plan, make.args, mixed), make, (self._ids, seed, presented)
        )
        if part.targets is None:
            return plan
        steps_left = int(part.hparams.total_steps[row]) - step
        asked = np.arange(length) < steps_left * self.program.batch_size
        if plan.weights is not None:
            asked &= np.asarray(plan.weights[0]) > 0
        found = part.targets[row](
            np.asarray(presented.epochs)[asked], np.asarray(presented.positions)[asked]
        )
        targets = np.zeros((length, found.shape[1]), np.float32)
        targets[asked] = found
        return plan._replace(targets=targets)

    def _advance(self, state, plan, hparams, bounds):
        before = self.cost.seconds
        state = self.call(
            Bound(student.advance, self.program),
            (True, False, True, True, False, False),
            *(state, self.pool, plan, hparams, *bounds),
            donate=(0,),
        )
        steps = int(bounds[1] - bounds[0])
        self._seconds_per_step = (self.cost.seconds - before) / steps
        return state

    def _steps_per_call(self, parts: int) -> int:
        if not self._seconds_per_step:
            return 4
        return max(1, int(CALL_SECONDS / (parts * self._seconds_per_step)))

    def _book_steps(self, steps: int, plan: student.Plan) -> None:
        self.cost.train_passes += steps * self.program.passes
        self.cost.flops += steps * self._step_flops(plan)

    @functools.cached_property
    def _image_flops(self) -> float:
        """Operations of one image's forward pass."""
        network = self.program.network
        variables = jax.eval_shape(network.init, jax.random.key(0))
        image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
        return flops(network.apply, variables, image)

    def _step_flops(self, plan: student.Plan) -> float:
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
            self._flops_of_step = flops(step, state, self.pool, plan, hparams)
        return self._flops_of_step

    def _place(self, tree: Any) -> Any:
        """Puts arrays with a member axis on the device or devices."""
        if self._sharding is None:
            return jax.tree.map(jnp.asarray, tree)
        return jax.device_put(tree, self._sharding)

    def _share(self, tree: Any) -> Any:
        """Puts arrays without a member axis on the device or on every device."""
        if self._sharding is None:
            return jax.tree.map(jnp.asarray, tree)
        return jax.device_put(tree, NamedSharding(self._sharding.mesh, PartitionSpec()))


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with its static first argument; equal when both are equal."""

    function: Callable
    static: Any

    def __call__(self, *args):
        return self.function(self.static, *args)


def _ask(static, variables, images, labels, mean, std):
    function, network = static
    return function(network, variables, student.normalise(images, mean, std), labels)


def _save(folder: pathlib.Path, step: int, tree: Any) -> None:
    """Keeps one checkpoint, the newest, under `folder`/STEP."""
    old = list(folder.glob("*")) if folder.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save_tree(folder / str(step), tree)
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def _restore(folder, states, stops, measure):
    """Returns (step, states, records, carried) of the newest checkpoint, or fresh."""
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdigit()]
    if not steps:
        return 0, states, [], None
    step = max(steps)
    done = sum(stop <= step for stop in stops)
    record, carried = measure(states, None) if done else ({}, None)
    like = states, [record] * done, carried
    return step, *checkpoint.load_tree(folder / str(step), like)
