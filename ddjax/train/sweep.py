"""Many students of one program at once: the member axis and its drivers.

Letters: M members, T steps of a stretch, B batch, N pool examples.
"""

import dataclasses
import functools
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ddjax import mesh
from ddjax.artifacts import Cost
from ddjax.train import checkpoint, order, student

# Steps whose presentations are laid out at once. Long enough to make the layout cheap,
# short enough to keep it small: 256 steps of 256 presentations are 0.8 MB a member.
STRETCH = 256
# A call to the device lasts about this long, so that progress moves and Ctrl-C works.
CALL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Members:
    """The students of one group.

    Attributes:
      seeds: [M] int32.
      subsets: M arrays of int32 positions in the pool; sizes may differ.
      hparams: HParams of [M] float32 arrays.
    """

    seeds: np.ndarray
    subsets: list[np.ndarray]
    hparams: student.HParams

    def __len__(self) -> int:
        return len(self.subsets)

    def padded(self, size: int) -> "Members":
        """Returns `size` members, the first one repeated as often as needed."""
        rows = np.concatenate([np.arange(len(self)), np.zeros(size - len(self), int)])
        return Members(
            self.seeds[rows],
            [self.subsets[row] for row in rows],
            jax.tree.map(lambda a: a[rows], self.hparams),
        )


def lift(function: Callable, driver: str, batched: Iterable[bool]) -> Callable:
    """Returns a function of one member as a function of a member axis.

    Args:
      function: positional arguments and results are pytrees of arrays.
      driver: "vmap"; "loop", one compiled body, members in turn; "mesh", members spread
        over the devices (M must be divisible by their number) and on each of them
        looped over on CPU, else vmapped.
      batched: for each argument, whether it has a leading member axis.

    Returns:
      The function, not jitted; results have a leading member axis.
    """
    batched = tuple(batched)
    if driver == "mesh":
        spec = PartitionSpec(mesh.MEMBER)
        # A core's caches hold one member's activations, not several; an accelerator
        # wants the larger products.
        inner = "loop" if jax.default_backend() == "cpu" else "vmap"
        return jax.shard_map(
            lift(function, inner, batched),
            mesh=mesh.member_mesh(),
            in_specs=tuple(spec if b else PartitionSpec() for b in batched),
            out_specs=spec,
            check_vma=False,
        )
    if driver == "vmap":
        return jax.vmap(function, in_axes=tuple(0 if b else None for b in batched))

    def looped(*args):
        def one(members):
            own = iter(members)
            each = zip(batched, args, strict=True)
            return function(*(next(own) if b else shared for b, shared in each))

        return jax.lax.map(one, [a for a, b in zip(args, batched, strict=True) if b])

    return looped


class Runner:
    """Trains and judges groups of members of one program with one driver.

    Compiled executables are kept by group size, and sizes are rounded up to a power of
    two (and to a multiple of the devices under "mesh"), so that few are made.
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
        self._compiled = {} if compiled is None else compiled
        self._seconds_per_step = 0.0
        self._sharding = None
        if driver == "mesh":
            devices = mesh.member_mesh()
            self._sharding = NamedSharding(devices, PartitionSpec(mesh.MEMBER))
        self.pool = self.share(pool)
        self.cost = Cost()

    def take_cost(self) -> Cost:
        """Returns what was spent since the last call."""
        cost, self.cost = self.cost, Cost()
        return cost

    def group_size(self, count: int) -> int:
        """Returns the number of members the program is compiled for."""
        size = 1 << (count - 1).bit_length()
        devices = jax.local_device_count() if self.driver == "mesh" else 1
        return -(-size // devices) * devices

    def call(self, function: Callable, batched: tuple[bool, ...], *args, donate=()):
        """Runs a lifted function, compiling it on first use.

        Args:
          function: hashable; functions that compare equal share an executable.
          batched: see `lift`.
          *args: arguments with member axes.
          donate: positions of arguments whose buffers may be reused.

        Returns:
          The function's result.
        """
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(args))
        key = (function, batched, shapes, self.driver)
        if key not in self._compiled:
            start = time.perf_counter()
            lifted = lift(function, self.driver, batched)
            compiled = jax.jit(lifted, donate_argnums=donate).lower(*args).compile()
            self.cost.compile_seconds += time.perf_counter() - start
            self._compiled[key] = compiled
        start = time.perf_counter()
        result = jax.block_until_ready(self._compiled[key](*args))
        self.cost.seconds += time.perf_counter() - start
        return result

    def book_forward(self, images: int) -> None:
        """Books images that were seen by a forward pass outside training."""
        self.cost.forward_passes += images
        self.cost.flops += images * self._image_flops

    @functools.cached_property
    def _image_flops(self) -> float:
        """Operations of one image's forward pass."""
        network = self.program.network
        variables = jax.eval_shape(network.init, jax.random.key(0))
        image = jax.ShapeDtypeStruct((1, *network.image_shape), np.float32)
        return _flops(network.apply, variables, image)

    @functools.cached_property
    def _step_flops(self) -> float:
        """Operations of one member's training step."""
        program = self.program
        seed = jax.ShapeDtypeStruct((), np.int32)
        state = jax.eval_shape(Bound(student.init_student, program), seed)
        rows = jax.ShapeDtypeStruct((program.batch_size,), np.int32)
        make = functools.partial(
            student.make_plan, program.recipe, program.network.image_shape
        )
        plan = jax.eval_shape(make, self.pool.ids, seed, order.Order(rows, rows, rows))
        number = jax.ShapeDtypeStruct((), np.float32)
        hparams = student.HParams(*[number] * len(student.HParams._fields))
        step = Bound(student.train_step, program)
        return _flops(step, state, self.pool, plan, hparams)

    def place(self, tree: Any) -> Any:
        """Puts arrays with a member axis on the device or devices."""
        if self._sharding is None:
            return jax.tree.map(jnp.asarray, tree)
        return jax.device_put(tree, self._sharding)

    def share(self, tree: Any) -> Any:
        """Puts arrays without a member axis on the device or on every device."""
        if self._sharding is None:
            return jax.tree.map(jnp.asarray, tree)
        return jax.device_put(tree, NamedSharding(self._sharding.mesh, PartitionSpec()))

    def time_step(self, members: Members, steps: int = 3, repeats: int = 2) -> float:
        """Returns the seconds of one member-step, the best of a few calls."""
        real = len(members)
        members = members.padded(self.group_size(real))
        state, best = self._init(members), float("inf")
        hparams = self.place(members.hparams)
        plan = self._plan(members, 0)
        for _ in range(1 + repeats):  # the first call is a warm-up
            bounds = np.int32(0), np.int32(steps)
            state = self._advance(state, plan, hparams, bounds, real)
            best = min(best, self._seconds_per_step / real)
        return best

    def train(
        self,
        members: Members,
        total_steps: int,
        stops: tuple[int, ...] = (),
        measure: Callable[[Any], dict[str, np.ndarray]] | None = None,
        folder: pathlib.Path | None = None,
        checkpoint_seconds: float = 60.0,
        progress: Callable[[int], None] = lambda steps: None,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Trains a group from its beginning, or from its last checkpoint.

        Args:
          members: the group.
          total_steps: steps of every member.
          stops: step counts in 1..total_steps after which `measure` is called.
          measure: state of all members (padding included) -> name -> array [M,...].
          folder: where checkpoints of the unfinished group are kept; None: nowhere.
          checkpoint_seconds: time between checkpoints.
          progress: called with the number of member-steps that were done.

        Returns:
          (state with a member axis, padding included; name -> [S,M,...] of `measure`)
        """
        real = len(members)
        members = members.padded(self.group_size(real))
        state = self._init(members)
        step, records = 0, []
        if folder is not None:
            step, state, records = _restore(folder, state, real, stops, measure)
            state = self.place(state)
            progress(step * real)
        saved = time.perf_counter()
        hparams = self.place(members.hparams)
        targets = sorted({*stops, total_steps})
        while step < total_steps:
            plan, base = self._plan(members, step), step
            limit = min(base + STRETCH, total_steps)
            while step < limit:
                target = next(t for t in targets if t > step)
                count = min(limit, target, step + self._steps_per_call()) - step
                bounds = np.int32(step - base), np.int32(step - base + count)
                state = self._advance(state, plan, hparams, bounds, real)
                step += count
                progress(count * real)
                if step in stops:
                    measured = measure(state)
                    records.append({name: a[:real] for name, a in measured.items()})
                late = time.perf_counter() - saved > checkpoint_seconds
                if folder is not None and late and step < total_steps:
                    _save(folder, step, state, records)
                    saved = time.perf_counter()
        if not records:
            return state, {}
        return state, {n: np.stack([r[n] for r in records]) for n in records[0]}

    def _init(self, members: Members) -> dict[str, Any]:
        init = Bound(student.init_student, self.program)
        return self.call(init, (True,), self.place(members.seeds))

    def _plan(self, members: Members, step: int) -> student.Plan:
        start = time.perf_counter()
        size = self.program.batch_size
        ids = np.asarray(self.pool.ids)
        rows: list[Any] = [None] * len(members)
        lengths = np.array([len(subset) for subset in members.subsets])
        for length in np.unique(lengths):
            (which,) = np.nonzero(lengths == length)
            subsets = np.stack([members.subsets[i] for i in which])
            made = _presentations(
                members.seeds[which],
                subsets,
                ids[subsets],
                np.int32(step * size),
                STRETCH * size,
            )
            made = jax.tree.map(np.asarray, made)
            for row, i in enumerate(which):
                rows[i] = jax.tree.map(lambda a, row=row: a[row], made)
        presented = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
        plan = _make_plans(
            self.program.recipe,
            self.pool.images.shape[1:],
            ids,
            members.seeds,
            presented,
        )
        plan = self.place(jax.tree.map(np.asarray, plan))
        self.cost.seconds += time.perf_counter() - start
        return plan

    def _steps_per_call(self) -> int:
        if not self._seconds_per_step:
            return 4
        return max(1, int(CALL_SECONDS / self._seconds_per_step))

    def _advance(self, state, plan, hparams, bounds, real):
        steps = int(bounds[1] - bounds[0])
        before = self.cost.seconds
        state = self.call(
            Bound(student.advance, self.program),
            (True, False, True, True, False, False),
            *(state, self.pool, plan, hparams, *bounds),
            donate=(0,),
        )
        self._seconds_per_step = (self.cost.seconds - before) / steps
        self.cost.train_passes += real * steps * self.program.batch_size
        self.cost.flops += real * steps * self._step_flops
        return state


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with its static first argument; equal when both are equal."""

    function: Callable
    static: Any

    def __call__(self, *args):
        return self.function(self.static, *args)


_presentations = jax.jit(
    jax.vmap(order.presentations, in_axes=(0, 0, 0, None, None)),
    static_argnums=4,
)
_make_plans = jax.jit(
    jax.vmap(student.make_plan, in_axes=(None, None, None, 0, 0)),
    static_argnums=(0, 1),
)


def _flops(function: Callable, *abstract: Any) -> float:
    """Floating-point operations by XLA's cost analysis, before optimisation."""
    analysis = jax.jit(function).lower(*abstract).cost_analysis()
    return max((analysis or {}).get("flops", 0.0), 0.0)


def _save(folder: pathlib.Path, step: int, state: Any, records: list) -> None:
    """Keeps one checkpoint, the newest, under `folder`/STEP."""
    old = list(folder.glob("*")) if folder.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save_tree(folder / str(step), {"state": state, "records": records})
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def _restore(folder, state, real, stops, measure):
    """Returns (step, state, records) of the newest checkpoint, else the beginning."""
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdigit()]
    if not steps:
        return 0, state, []
    step = max(steps)
    done = sum(stop <= step for stop in stops)
    like = {"state": state, "records": []}
    if done:
        shapes = {n: a[:real] for n, a in measure(state).items()}
        like["records"] = [shapes] * done
    tree = checkpoint.load_tree(folder / str(step), like)
    return step, tree["state"], tree["records"]
