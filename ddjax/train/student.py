"""The training kernel of one student: a loop of steps, lifted over members by `sweep`.

Letters: B batch, C classes, H W K image height, width and channels, N pool examples.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddjax import keys
from ddjax.data import augment
from ddjax.models import Network
from ddjax.train.batches import Plan, Pool, make_batch
from ddjax.train.schedule import Steps, schedule_factor

CURVE_POINTS = 50
_INIT = 0x1417
_DROP = 0xD409


class HParams(NamedTuple):
    """What may differ between members of one compiled program; float32 scalars.

    Attributes:
      learning_rate: the peak.
      total_steps: the length of the schedule.
      weight_decay, momentum: of the optimiser.
      zeta, warmup: see `schedule_factor`.
      clip: largest norm of the gradient, if the program clips.
      ema: decay of the averaged weights, if the program averages.
      label_smoothing: of hard labels.
      temperature: of soft labels.
    """

    learning_rate: jax.Array
    total_steps: jax.Array
    weight_decay: jax.Array = 0.0
    momentum: jax.Array = 0.9
    zeta: jax.Array = 1.0
    warmup: jax.Array = 0.0
    clip: jax.Array = 0.0
    ema: jax.Array = 0.0
    label_smoothing: jax.Array = 0.0
    temperature: jax.Array = 1.0


@dataclasses.dataclass(frozen=True)
class Program:
    """What is compiled in: everything that changes a shape or an operation.

    Attributes:
      network: the student.
      objective: (logits of `Batch.shown`, Batch, Pool, HParams) -> loss [B]; hashable.
      recipe: the augmentation.
      batch_size: B.
      optimizer: "adamw" or "sgd".
      schedule: see `schedule_factor`.
      nesterov, clip, ema: whether these are in the program.
      micro_batch: images whose gradients are summed at a time, a divisor of B; 0: B.
      two_views: whether a step also has each image without augmentation.
    """

    network: Network
    objective: Callable[..., jax.Array]
    recipe: augment.Recipe
    batch_size: int
    optimizer: str = "adamw"
    schedule: str | Steps = "cosine"
    nesterov: bool = False
    clip: bool = False
    ema: bool = False
    micro_batch: int = 0
    two_views: bool = False

    @property
    def passes(self) -> int:
        """Images that pass through the student in a step."""
        return self.batch_size * (1 + self.two_views)


def _moments(program: Program, hparams: HParams) -> optax.GradientTransformation:
    if program.optimizer == "sgd":
        return optax.trace(decay=hparams.momentum, nesterov=program.nesterov)
    return optax.scale_by_adam()


def init_student(program: Program, seed: jax.Array) -> dict[str, Any]:
    """Returns the state of an untrained student.

    Args:
      program: what is compiled in.
      seed: [] int32; the same seed gives the same weights in every regime and subset.

    Returns:
      A dict of pytrees: `variables`, `moments`, `curve` ([2, CURVE_POINTS], sums and
      counts of step losses along the training), `step`, `seed` and, with `ema`,
      `average`.
    """
    key = jax.random.fold_in(keys.key(seed), _INIT)
    variables = program.network.init(key)
    params = variables["params"]
    state = {
        "variables": variables,
        "moments": _moments(program, HParams(0.0, 1.0)).init(params),
        "curve": jnp.zeros((2, CURVE_POINTS), jnp.float32),
        "step": jnp.zeros((), jnp.int32),
        "seed": jnp.asarray(seed, jnp.int32),
    }
    if program.ema:
        state["average"] = params
    return state


def _gradients(program, variables, batch, pool, hparams, key):
    """Returns the batch's mean loss, the updated variables and the gradients."""

    def loss_fn(params, batch, key):
        logits, updated = program.network.apply(
            variables | {"params": params}, batch.shown, train=True, key=key
        )
        return program.objective(logits, batch, pool, hparams).mean(), updated

    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    params = variables["params"]
    count = program.batch_size // (program.micro_batch or program.batch_size)
    if count == 1:
        (loss, updated), grads = grad_fn(params, batch, key)
        return loss, updated, grads

    def add(sums, part):
        (loss, _), grads = grad_fn(params, *part)
        return jax.tree.map(jnp.add, sums, (loss, grads)), None

    parts = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), batch)
    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    sums, _ = jax.lax.scan(add, zeros, (parts, jax.random.split(key, count)))
    loss, grads = jax.tree.map(lambda a: a / count, sums)
    return loss, variables, grads


def train_step(
    program: Program,
    state: dict[str, Any],
    pool: Pool,
    plan: Plan,
    hparams: HParams,
) -> dict[str, Any]:
    """Returns the state after one step on one batch.

    AdamW's decay is decoupled, SGD's is added to the gradient; both touch arrays with
    two or more axes only, so no bias or normalisation parameter is decayed.

    Args:
      program: what is compiled in.
      state: see `init_student`.
      pool: the examples.
      plan: arrays [B], the batch.
      hparams: scalars.
    """
    batch = make_batch(program.recipe, pool, plan, program.two_views)
    variables, step = state["variables"], state["step"]
    params = variables["params"]

    # For dropout; a network without it leaves the key unused.
    key = jax.random.fold_in(keys.key(state["seed"]), _DROP)
    key = jax.random.fold_in(key, step)
    loss, updated, grads = _gradients(program, variables, batch, pool, hparams, key)
    if program.clip:
        norm = optax.tree.norm(grads)
        scale = jnp.minimum(1.0, hparams.clip / jnp.maximum(norm, 1e-12))
        grads = jax.tree.map(lambda g: g * scale, grads)

    def decay(update, param):
        return update + hparams.weight_decay * param if param.ndim > 1 else update

    moments = _moments(program, hparams)
    if program.optimizer == "sgd":
        grads = jax.tree.map(decay, grads, params)
    updates, new_moments = moments.update(grads, state["moments"])
    if program.optimizer == "adamw":
        updates = jax.tree.map(decay, updates, params)
    rate = hparams.learning_rate * schedule_factor(
        program.schedule, step, hparams.total_steps, hparams.zeta, hparams.warmup
    )
    params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
    point = (step * CURVE_POINTS / hparams.total_steps).astype(jnp.int32)
    new_state = {
        "variables": updated | {"params": params},
        "moments": new_moments,
        "curve": state["curve"]
        .at[:, point]
        .add(jnp.stack([loss, jnp.ones_like(loss)])),
        "step": step + 1,
        "seed": state["seed"],
    }
    if program.ema:
        # The average of the first steps would else be dominated by the initial
        # weights, hence the usual ramp of the decay.
        ramp = jnp.minimum(hparams.ema, (1.0 + step) / (10.0 + step))
        new_state["average"] = jax.tree.map(
            lambda a, p: ramp * a + (1.0 - ramp) * p, state["average"], params
        )
    return new_state


def advance(
    program: Program,
    state: dict[str, Any],
    pool: Pool,
    plan: Plan,
    hparams: HParams,
    first: jax.Array,
    stop: jax.Array,
) -> dict[str, Any]:
    """Trains one student for some steps.

    Args:
      program: what is compiled in.
      state: see `init_student`.
      pool: the examples.
      plan: arrays [T * B], a stretch of presentations.
      hparams: scalars.
      first, stop: [] int32, which steps of the stretch, 0 <= first <= stop <= T.

    Returns:
      The state after step stop - 1. How a training is cut into stretches and steps
      changes nothing in the result.
    """
    size = program.batch_size

    def body(step, state):
        batch = jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, step * size, size), plan
        )
        return train_step(program, state, pool, batch, hparams)

    return jax.lax.fori_loop(first, stop, body, state)


def advance_all(
    program: Program,
    state: dict[str, Any],
    pool: Pool,
    plan: Plan,
    hparams: HParams,
) -> dict[str, Any]:
    """Trains one student for all steps of a stretch, as `advance` does.

    Unlike `advance` it may be differentiated in reverse: with respect to the weights of
    the state, hparams, and images of the pool that are float. A step is computed again
    in the backward pass, so that memory holds the activations of one step, and the
    state before each. The derivative through AdamW is not finite where the gradient of
    a weight was exactly 0 at all steps so far, since it has the root of its square.

    Args:
      program: what is compiled in.
      state: see `init_student`.
      pool: the examples; images [N,H,W,K] may be float in 0..255.
      plan: arrays [T * B], a stretch of presentations.
      hparams: scalars.

    Returns:
      The state after step T - 1.
    """
    plans = jax.tree.map(
        lambda a: a.reshape(-1, program.batch_size, *a.shape[1:]), plan
    )

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def body(state, plan):
        return train_step(program, state, pool, plan, hparams), None

    return jax.lax.scan(body, state, plans)[0]


def evaluated_variables(program: Program, state: dict[str, Any]) -> Any:
    """Returns the variables that are evaluated: averaged ones where there are any."""
    if program.ema:
        return state["variables"] | {"params": state["average"]}
    return state["variables"]
