"""Runs the iterations of a method on a set, and resumes after a stop.

Letters: M synthetic images, C classes, H W image, K channels.
"""

import abc
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax import keys
from ddjax.artifacts import Cost, digest
from ddjax.declare.walk import join, require
from ddjax.distill.match.real import real_images, real_shapes
from ddjax.distill.synthesis import start_images
from ddjax.distill.task import Ipcs, Method, Outline, SyntheticSet, Task
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.process import ending
from ddjax.train import checkpoint
from ddjax.train.checkpoint import Checkpoint
from ddjax.train.flops import flops, flops_of
from ddjax.train.programs import Traceable

_POINTS = 100  # of the curve of the loss, after each of which the state is written
State = dict[str, Any]


class Loop(NamedTuple):
    """What an iteration repeats, of which XLA's count has one repetition.

    Attributes:
      more: repetitions beyond the first.
      function: of `arguments`.
      arguments: arrays or their shapes.
    """

    more: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def flops(self) -> float:
        """Returns the operations of the repetitions beyond the first."""
        return self.more * flops(self.function, *self.arguments) if self.more else 0.0


@dataclasses.dataclass(frozen=True)
class Step(abc.ABC):
    """An iteration of a method; hashable, and compiled in whole.

    Attributes:
      network: whose weights are drawn anew.
      options: the method's settings.
      num_classes: C.
      ipc: synthetic images a class.
    """

    network: Network
    options: Any
    num_classes: int
    ipc: int

    def start(self, task: Task, key: jax.Array) -> tuple[jax.Array, np.ndarray]:
        """Returns what images start from, as `options.init` has it.

        Args:
          task: what is distilled.
          key: a typed PRNG key.

        Returns:
          [M,H,W,K] float32, normalised, class after class; and the ids of the real
          images in them, [M,S] int32.
        """
        begin, sources = start_images(task, self.options.init, None, key)
        slots = np.arange(len(task.slot_labels), dtype=np.int32)
        return jnp.asarray(begin(slots)), sources

    def given(self, task: Task) -> Any:
        """Returns what iterations read and never change, arrays on the device."""
        return real_images(task)

    def given_shapes(self, outline: Outline) -> Any:
        """Returns the shapes of `given`, a pytree of `jax.ShapeDtypeStruct`."""
        return real_shapes(outline)

    def begin(self, key: jax.Array, images_MHWK: jax.Array, given: Any) -> State:
        """Returns the state before the first iteration: `images` and what else changes.

        Args:
          key: a typed PRNG key.
          images_MHWK: [M,H,W,K] float32, normalised, class after class.
          given: see `given`.
        """
        del key, given
        return {"images": images_MHWK, "velocity": jnp.zeros_like(images_MHWK)}

    @abc.abstractmethod
    def __call__(
        self, state: State, real: Any, key: jax.Array
    ) -> tuple[State, jax.Array]:
        """Returns the state after an iteration, and its loss, [] float32.

        Args:
          state: see `begin`.
          real: see `given`; the pool, unless the method reads something else.
          key: a typed PRNG key of this iteration.
        """

    def probe(self) -> "Step":
        """Returns the iteration whose loss measures a set that is not learned."""
        return self

    def descend(
        self, state: State, gradient_MHWK: jax.Array, rate: Any = None
    ) -> State:
        """Returns the state after a step of SGD with momentum on the images.

        PyTorch's momentum: v <- m v + g, X <- X - lr v.

        Args:
          state: see `begin`.
          gradient_MHWK: [M,H,W,K] float32.
          rate: lr; None: `options.learning_rate`.
        """
        rate = self.options.learning_rate if rate is None else rate
        velocity = self.options.momentum * state["velocity"] + gradient_MHWK
        images = state["images"] - rate * velocity
        return state | {"images": images, "velocity": velocity}

    @abc.abstractmethod
    def passes(self) -> Cost:
        """Returns the passes of an iteration; FLOPs are counted from the program."""

    def flops(self, counted: float, state: State, given: Any) -> float:
        """Returns the operations of an iteration.

        Args:
          counted: as XLA counts them, the bodies of inner loops once.
          state, given: arrays or their shapes.
        """
        return counted + sum(each.flops() for each in self.loops(state, given))

    def loops(self, state: State, given: Any) -> tuple[Loop, ...]:
        """Returns what an iteration repeats in loops.

        Args:
          state, given: arrays or their shapes.
        """
        del state, given
        return ()

    def learned(self, state: State) -> dict[str, Any]:
        """Returns what else is known of the set: fields of `SyntheticSet`."""
        del state
        return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Matching(Method):
    """A method that learns images by gradient descent through fresh networks.

    `function` is the class of its `Step`; its docstring names the source.

    Attributes:
      section: name of its settings.
      per_class: whether a step takes `options.real` images of every class.
    """

    uses_teachers: bool = False
    section: str = ""
    per_class: bool = True

    def step(self, outline: Outline, entry: Any, ipc: int) -> Step:
        """Returns the iteration of an entry at a budget."""
        options = getattr(entry, self.section)
        return self.function(outline.student, options, outline.num_classes, ipc)

    def check(self, outline: Outline, entry: Any, key: str, ipcs: Ipcs) -> None:
        options: Any = getattr(entry, self.section)
        fewest, place = int(outline.class_counts.min()), join(key, self.section)
        if self.per_class:
            allowed = f"at most the {fewest} images of the smallest class"
            require(options.real <= fewest, f"{place}.real", options.real, allowed)
        allowed = f"noise, or at most the {fewest} images of the smallest class"
        fits = options.init == "noise" or max(ipcs) <= fewest
        require(fits, f"{place}.init", options.init, f"{allowed} for IPC {max(ipcs)}")
        super().check(outline, entry, key, ipcs)

    def work(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        step = self.step(outline, entry, ipc)
        count, passes = step.options.iterations, step.passes()
        program = _program(step, outline)
        each = step.flops(program.flops(), *program.arguments[1:3])
        return super().work(outline, entry, ipc) + Cost(
            forward_passes=count * passes.forward_passes,
            train_passes=count * passes.train_passes,
            flops=count * each,
        )

    def program(self, outline: Outline, entry: Any, ipc: int) -> Traceable:
        """Returns a stretch of iterations with abstract arguments."""
        return _program(self.step(outline, entry, ipc), outline)

    def measuring(self, outline: Outline, entry: Any, ipc: int) -> Cost:
        """Returns what the loss of a set costs in a draw; FLOPs are an upper bound."""
        step = self.step(outline, entry, ipc).probe()
        _, state, real, key, *_ = _program(step, outline).arguments
        program = Traceable(losses, (step, state["images"], real, key, 1))
        each = step.flops(program.flops(), state, real)
        return dataclasses.replace(step.passes(), flops=each)

    def synthesise(
        self, task: Task, entry: Any, start: SyntheticSet | None = None
    ) -> SyntheticSet:
        outline = task.outline(start)
        self.check(outline, entry, "", (task.ipc,))
        step = self.step(outline, entry, task.ipc)
        start_key, key = jax.random.split(task.key)
        images, sources = step.start(task, start_key)
        state, curve, cost, notes = learn(task, step, images, key)
        pixels = np.asarray(state["images"]) * task.std + task.mean
        return SyntheticSet(
            images=np.asarray(pixels * 255, np.float32),
            labels=task.slot_labels,
            sources=sources,
            cost=cost + super().work(outline, entry, task.ipc),
            info={"loss": curve},
            notes=notes,
            **step.learned(state),
        )


@functools.partial(jax.jit, static_argnums=(0, 4))
def losses(
    step: Step, images_MHWK: jax.Array, real: Any, key: jax.Array, draws: int
) -> jax.Array:
    """Returns the loss of a set in several draws of networks and real images.

    Args:
      step: of `Step.probe`; static.
      images_MHWK: [M,H,W,K] float32, normalised, class after class.
      real: see `Step.given`.
      key: a typed PRNG key; equal keys are equal draws, whatever the images.
      draws: D; static.

    Returns:
      [D] float32.
    """

    def one(key):
        begin_key, key = jax.random.split(key)
        return step(step.begin(begin_key, images_MHWK, real), real, key)[1]

    return jax.lax.map(one, jax.random.split(key, draws))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(
    step: Step,
    state: State,
    real: Any,
    key: jax.Array,
    first: jax.Array,
    stop: jax.Array,
) -> tuple[State, jax.Array]:
    """Does the iterations first .. stop-1.

    Args:
      step: static.
      state: see `Step.begin`; it is given away.
      real: see `Step.given`.
      key: a typed PRNG key, of which each iteration has its own.
      first, stop: [] int32.

    Returns:
      The state, and the mean loss of these iterations, [] float32.
    """

    def body(iteration, carry):
        state, total = carry
        state, loss = step(state, real, jax.random.fold_in(key, iteration))
        return state, total + loss

    state, total = jax.lax.fori_loop(first, stop, body, (state, jnp.zeros(())))
    return state, total / (stop - first)


def learn(
    task: Task, step: Step, images_MHWK: jax.Array, key: jax.Array
) -> tuple[State, list[float], Cost, tuple[str, ...]]:
    """Learns a set, from its beginning or from where an earlier call was stopped.

    Args:
      task: what is distilled; what was done before an interruption is in its folder.
      step: an iteration.
      images_MHWK: [M,H,W,K] float32, what images start from, normalised.
      key: a typed PRNG key.

    Returns:
      The last state, the curve of the loss, the cost, and notes: where a loss was not
      finite, the state is the last good one, and a note names the iteration.

    Raises:
      InputError: the folder holds another set, or no loss was finite.
    """
    begin_key, key = jax.random.split(key)
    real = step.given(task)
    state = jax.jit(step.begin)(begin_key, images_MHWK, real)
    identity = digest([repr(step), np.asarray(jax.random.key_data(key)).tolist()])
    done, curve, cost = 0, [], Cost()
    leaves, structure = jax.tree.flatten(state)
    kept = task.folder and checkpoint.restore(task.folder, task.say)
    if kept:
        if kept.info["identity"] != identity:
            raise InputError(
                f"folder: {task.folder} belongs to another synthesis, allowed is a "
                "folder of the same task and settings or an empty one"
            )
        done, cost, curve = kept.step, kept.cost, kept.info["curve"]
        leaves = [jnp.array(kept.arrays[f"state{i}"]) for i in range(len(leaves))]
        state = jax.tree.unflatten(structure, leaves)
    number, clock = np.int32(0), time.perf_counter()
    lowered = advance.lower(step, state, real, key, number, number)
    compiled = lowered.compile()
    each = step.flops(flops_of(lowered), state, real)
    cost.compile_seconds += time.perf_counter() - clock
    passes, total = step.passes(), step.options.iterations
    size = -(-total // _POINTS)
    notes: tuple[str, ...] = ()
    while done < total:
        ending.stop_if_requested()
        stop, clock = min(done + size, total), time.perf_counter()
        before = jax.device_get(state)
        state, loss = compiled(state, real, key, np.int32(done), np.int32(stop))
        loss = float(loss)
        cost.seconds += time.perf_counter() - clock
        if not np.isfinite(loss):
            found = f"the loss is {loss} in iterations {done} to {stop}"
            if not done:
                raise InputError(
                    f"learning_rate: {step.options.learning_rate:g}, but {found}; "
                    "offer a smaller one"
                )
            notes = (f"{found}; the set is that of iteration {done}",)
            state = before
            break
        cost += Cost(
            forward_passes=(stop - done) * passes.forward_passes,
            train_passes=(stop - done) * passes.train_passes,
            flops=(stop - done) * each,
        )
        task.progress(stop - done)
        done = stop
        curve = [*curve, loss]
        if task.folder:
            arrays = {
                f"state{i}": np.asarray(leaf)
                for i, leaf in enumerate(jax.tree.leaves(state))
            }
            info = {"identity": identity, "curve": curve}
            checkpoint.save(task.folder, Checkpoint(done, arrays, info, cost))
    return jax.device_get(state), curve, cost, notes


def _program(step: Step, outline: Outline) -> Traceable:
    array, shape = jax.ShapeDtypeStruct, outline.image_shape
    images = array((outline.num_classes * step.ipc, *shape), jnp.float32)
    key = jax.eval_shape(lambda: keys.key(0))
    integer, real = array((), jnp.int32), step.given_shapes(outline)
    state = jax.eval_shape(step.begin, key, images, real)
    return Traceable(advance, (step, state, real, key, integer, integer))


def method(step: type[Step], title: str, section: str, options: type, **more: Any):
    """Declares a method by its step.

    Args:
      step: the class, whose docstring names the source.
      title: its name for people.
      section: the name of its settings.
      options: their class.
      **more: other attributes of `Matching`.
    """
    return Matching(step, title, {section: options}, section=section, **more)
