"""MTT: images on which a student's weights go where experts' weights went.

Letters: M synthetic images, C classes, H W image, K channels, B batch, T inner steps, E
experts, S snapshots, P parameters.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.artifacts import Cost
from ddjax.data.augment import DSA_OPERATIONS
from ddjax.declare import setting
from ddjax.declare.walk import join, require
from ddjax.distill.match import loop
from ddjax.distill.match.experts import Experts, check_weights, parameters_of, unflatten
from ddjax.distill.match.options import Images, again
from ddjax.distill.match.siamese import augmented
from ddjax.distill.task import Outline, Task
from ddjax.train.unroll import Learned, StudentLoss, unroll
from ddjax.train.unroll import Step as Inner

LEAST_RATE = 1e-6  # of students; a learned rate stays above
# A step of a student, and the derivative of it: the step again, and its tangent.
_PASSES = 3


@dataclasses.dataclass(frozen=True)
class Unrolled(Images):
    """Settings of methods that unroll a student's training."""

    iterations: int = again("iterations", 5000)
    learning_rate: float = again("learning_rate", 100.0)
    momentum: float = setting(
        0.5, "Of SGD on the images and on the students' learning rate.", "[0, 1)"
    )
    steps: int = setting(30, "Steps of a student, which are unrolled.", "[1, 10000]")
    span: int = setting(
        2, "Epochs of an expert that they are to be worth.", "[1, 10000]"
    )
    batch: int = setting(
        0, "Synthetic images a step, at most the set; 0: the set.", "[0, 1000000]"
    )
    student_rate: float = setting(
        0.01, "What the students' learned learning rate starts from.", "[1e-6, 10]"
    )
    rate_learning_rate: float = setting(
        1e-5, "Of SGD on the students' learning rate; 0: it stays.", "[0, 1]"
    )
    max_start: int = setting(
        10,
        "Students start from an expert after fewer epochs than this.",
        "[1, 10000]",
    )
    augment: tuple[str, ...] = setting(
        DSA_OPERATIONS,
        "Operations of DSA, one of which a batch of a student is shown under, each "
        "image with its own parameters; (): none.",
        DSA_OPERATIONS,
        counts="[0, 6]",
        each="once",
    )

    @property
    def first(self) -> int:
        """The first epoch that a student may start from."""
        return 0


@dataclasses.dataclass(frozen=True)
class Mtt(Unrolled):
    """Trajectory matching."""


class MttStep(loop.Step):
    """MTT: images on which a student's weights go where experts' weights went.

    An iteration draws an expert and an epoch t, starts a student from the expert's
    weights θ*_t, trains it by `steps` steps of plain SGD on the synthetic set at the
    learned rate, and descends the squared distance of its weights to those of the
    expert `span` epochs later, as a fraction of what the expert itself moved:
    |θ_T - θ*_(t+span)|² / |θ*_t - θ*_(t+span)|². The gradient with respect to images
    and rate goes through all steps; each is computed again in the backward pass.

    Source: Cazenavette et al., "Dataset Distillation by Matching Training
    Trajectories", arXiv 2203.11932; GeorgeCazenavette/mtt-distillation, distill.py.
    Deviations: the expert is drawn anew in each iteration, where theirs takes the next
    of a shuffled list; the last batch of a permutation is filled from the next one,
    where theirs is smaller; the rate stays above 1e-6, where theirs may become
    negative; images are not whitened (ZCA).
    """

    def start(self, task: Task, key: jax.Array) -> tuple[jax.Array, np.ndarray]:
        last = self.options.max_start - 1 + self.options.span
        check_weights(task.experts, self.network, last + 1)
        return super().start(task, key)

    def given(self, task: Task) -> Any:
        """Returns the snapshots that windows begin and end with, [E,S,P]."""
        return {"weights": jnp.asarray(task.experts[:, self._snapshots])}

    def given_shapes(self, outline: Outline) -> Any:
        experts, snapshots = outline.experts
        read = len(range(snapshots)[self._snapshots])
        shape = (experts, read, parameters_of(self.network))
        return {"weights": jax.ShapeDtypeStruct(shape, jnp.float32)}

    @property
    def _snapshots(self) -> slice:
        options = self.options
        return slice(options.first, options.max_start + options.span)

    def begin(self, key: jax.Array, images_MHWK: jax.Array, given: Any) -> loop.State:
        state = super().begin(key, images_MHWK, given)
        rate = jnp.float32(self.options.student_rate)
        zero, number = jnp.zeros(()), jnp.zeros((), jnp.int32)
        return state | {"rate": rate, "rate_velocity": zero, "iteration": number}

    def __call__(self, state, real, key):
        window_key, order_key, step_key = jax.random.split(key, 3)
        begin_P, target_P = self.window(window_key, real["weights"], state["iteration"])
        steps = Inner(
            self.rows(order_key, len(state["images"])),
            jax.random.split(step_key, self.options.steps),
        )
        loss_of = functools.partial(self.loss_of, begin_P, target_P, steps)
        learned = {name: state[name] for name in self.leaves(state)}
        loss, gradients = jax.value_and_grad(loss_of)(learned)
        return self.move(state, gradients, loss), loss

    def window(self, key: jax.Array, weights_ESP: jax.Array, iteration: jax.Array):
        """Draws an expert and a window of its epochs.

        Args:
          key: a typed PRNG key.
          weights_ESP: see `given`.
          iteration: [] int32.

        Returns:
          The expert's weights where the window begins and where it ends, [P] each.
        """
        expert_key, start_key = jax.random.split(key)
        expert = jax.random.randint(expert_key, (), 0, len(weights_ESP))
        first = self.options.first
        begin = jax.random.randint(start_key, (), first, self.before(iteration)) - first
        end = begin + self.options.span
        return weights_ESP[expert, begin], weights_ESP[expert, end]

    def before(self, iteration: jax.Array) -> int | jax.Array:
        """Returns before which epoch students start in an iteration."""
        del iteration
        return self.options.max_start

    def rows(self, key: jax.Array, size: int) -> jax.Array:
        """Returns the batches of a student, [T,B] int32: permutations in a row."""
        batch, steps = self.options.batch or size, self.options.steps
        keys = jax.random.split(key, -(-steps * batch // size))
        orders = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
        return orders.reshape(-1)[: steps * batch].reshape(steps, batch)

    def leaves(self, state: loop.State) -> tuple[str, ...]:
        """Returns the names in the state that are learned."""
        return ("images", "rate")

    def labels_of(self, learned: loop.State) -> jax.Array:
        """Returns the labels that students have, [M,C] float32 probabilities."""
        del learned
        classes = jnp.repeat(jnp.arange(self.num_classes), self.ipc)
        return jax.nn.one_hot(classes, self.num_classes)

    def loss_of(self, begin_P, target_P, steps: Inner, learned: loop.State):
        """Returns how far a student ends from the target, a fraction of the window.

        Args:
          begin_P, target_P: [P] float32, an expert's weights at both ends of a window.
          steps: of the student, arrays [T, ...].
          learned: what is differentiated: `images` [M,H,W,K] normalised, `rate` [].
        """
        found = Learned(learned["images"], self.labels_of(learned))
        operations, augment = self.options.augment, None
        if operations:
            augment = functools.partial(augmented, operations)
        loss = StudentLoss(self.network, augment)
        begin, target = (unflatten(self.network, a) for a in (begin_P, target_P))
        end = self.trained(loss, begin, found, learned["rate"], steps)
        return _distance(end, target) / _distance(begin, target)

    def trained(self, loss, params, learned, rate, steps):
        """Returns a student's weights after its steps, a differentiable function."""
        return unroll(loss, params, learned, rate, steps)

    def move(self, state: loop.State, gradients, loss: jax.Array) -> loop.State:
        """Returns the state after a step of SGD with momentum on what is learned."""
        del loss
        moved = self.descend(state, gradients["images"])
        velocity = self.options.momentum * state["rate_velocity"] + gradients["rate"]
        rate = state["rate"] - self.options.rate_learning_rate * velocity
        return moved | {
            "rate": jnp.maximum(rate, LEAST_RATE),
            "rate_velocity": velocity,
            "iteration": state["iteration"] + 1,
        }

    def passes(self) -> Cost:
        batch = self.options.batch or self.num_classes * self.ipc
        return Cost(train_passes=_PASSES * self.options.steps * batch)

    def flops(self, counted: float, state: loop.State, given: Any) -> float:
        del state, given
        # All but the steps of the student, in two loops, is a few operations a weight.
        return self.options.steps * counted

    def learned(self, state: loop.State) -> dict[str, Any]:
        return {"learning_rate": float(state["rate"])}


def refuse(outline: Outline, entry: Any, key: str, ipcs: Any, section: str) -> None:
    """Refuses windows that experts do not have, and batches beyond the set."""
    options: Unrolled = getattr(entry, section)
    size, place = outline.num_classes * min(ipcs), join(key, section)
    allowed = f"at most the {size} images of the set at IPC {min(ipcs)}; 0: all"
    require(options.batch <= size, f"{place}.batch", options.batch, allowed)
    require(outline.experts is not None, "experts", None, "trajectories of experts")
    epochs = outline.experts[1] - 1
    allowed = f"at most the {epochs} epochs of the experts"
    require(options.span <= epochs, f"{place}.span", options.span, allowed)
    most = epochs - options.span + 1
    allowed = (
        f"at most {most}: experts have {epochs} epochs, of which a window takes "
        f"{options.span}"
    )
    require(options.max_start <= most, f"{place}.max_start", options.max_start, allowed)
    pool, batch = outline.size, entry.experts.batch_size
    allowed = f"at most the {pool} images of the pool"
    trained = not entry.experts.path
    require(
        batch <= pool or not trained, join(key, "experts.batch_size"), batch, allowed
    )


def method(step: type[MttStep], title: str, section: str, options: type, **more: Any):
    """Declares a method that reads trajectories by its step, see `loop.method`."""
    more = {"refuses": functools.partial(refuse, section=section)} | more
    sections = {section: options, "experts": Experts}
    return loop.Matching(
        step,
        title,
        sections,
        section=section,
        per_class=False,
        uses_experts=True,
        **more,
    )


def _distance(params, others):
    differences = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), params, others)
    return sum(jax.tree.leaves(differences))


MTT = method(MttStep, "MTT", "mtt", Mtt, measures=True)
