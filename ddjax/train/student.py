"""The training kernel of one student: a loop of steps, lifted over members by `sweep`.

Letters: B batch, C classes, H W K image height, width and channels, N pool examples.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ddjax.data import augment
from ddjax.models import Network
from ddjax.train.order import Order
from ddjax.train.schedule import Steps, schedule_factor
from ddjax.train.supervision import Supervision

CURVE_POINTS = 50
_INIT = 0x1417
_DROP = 0xD409


class Pool(NamedTuple):
    """The examples that all members of a sweep share, on the device.

    Attributes:
      images: [N,H,W,K] uint8.
      labels: [N] int32.
      ids: [N] int32, stable example ids, which key the augmentation.
      mean, std: [K] float32 in [0, 1] units.
      teacher_logits: [N,C] float32, one stored teacher vector an image, or None.
      teachers: variables of the teachers that answer, a tuple, or None.
    """

    images: jax.Array
    labels: jax.Array
    ids: jax.Array
    mean: jax.Array
    std: jax.Array
    teacher_logits: jax.Array | None = None
    teachers: Any = None


class HParams(NamedTuple):
    """What may differ between members of one compiled program; float32 scalars."""

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


class Batch(NamedTuple):
    """One step's views.

    Attributes:
      inputs: [B,H,W,K] float32, augmented, mixed and normalised.
      positions, partners: [B] int32, whose view it is and what CutMix pasted in.
      keep: [B] float32, the fraction of pixels that are the view's own.
      passes: [B] int32, the pass over the subset.
      weights: (soft, hard), [B] float32, of the two losses; None where only one is
        asked.
      targets: [B,C] float32, stored teacher logits of the views, or None.
      weak: [B,H,W,K] float32, the same images and mixtures without augmentation, or
        None where a step shows each image once.
    """

    inputs: jax.Array
    positions: jax.Array
    partners: jax.Array
    keep: jax.Array
    passes: jax.Array
    weights: tuple[jax.Array, jax.Array] | None = None
    targets: jax.Array | None = None
    weak: jax.Array | None = None

    @property
    def shown(self) -> jax.Array:
        """[B,H,W,K], or [2B,H,W,K] with the weak views behind the others."""
        if self.weak is None:
            return self.inputs
        return jnp.concatenate([self.inputs, self.weak])


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
      two_views: whether a step also shows each image without augmentation.
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


def normalise(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Returns [...,K] pixels in 0..255 as float32 with the source's mean and deviation.

    Args:
      images: [...,K] uint8 or float.
      mean, std: [K] float32 in [0, 1] units.
    """
    shape = (1,) * (images.ndim - 1) + (-1,)
    scaled = images.astype(jnp.float32) / 255.0
    return (scaled - mean.reshape(shape)) / std.reshape(shape)


class Plan(NamedTuple):
    """A stretch of presentations with everything random about them.

    Random numbers are drawn here, ahead of the training loop: the loop's program then
    compiles faster and its steps do nothing but train.

    Attributes:
      positions, partners: [L] int32, see `Order`.
      passes: [L] int32, the pass over the subset.
      draws: the views' parameters, arrays [L].
      partner_draws: those of the partners' views, None without CutMix.
      weights, targets: see `Batch`, arrays [L].
    """

    positions: jax.Array
    partners: jax.Array
    passes: jax.Array
    draws: augment.Draw
    partner_draws: augment.Draw | None
    weights: tuple[jax.Array, jax.Array] | None = None
    targets: jax.Array | None = None


def make_plan(
    recipe: augment.Recipe,
    shape: tuple[int, ...],
    ids: jax.Array,
    seed: jax.Array,
    order: Order,
    supervision: Supervision | None = None,
) -> Plan:
    """Returns a stretch's plan, without the targets.

    Args:
      recipe: the augmentation.
      shape: (H, W, ...) of the images.
      ids: [N] int32, the pool's stable ids.
      seed: [] int32, the member's seed.
      order: the stretch, arrays [L].
      supervision: the label schedule; None: every presentation is asked the same.
    """

    def draws(recipe, positions):
        draw = jax.vmap(augment.draw, in_axes=(None, None, 0, 0, None, None))
        return draw(recipe, seed, order.epochs, ids[positions], *shape[:2])

    partner_draws = None
    if recipe.cutmix:
        unmixed = dataclasses.replace(recipe, cutmix=0.0)
        partner_draws = draws(unmixed, order.partners)
    return Plan(
        order.positions,
        order.partners,
        order.passes,
        draws(recipe, order.positions),
        partner_draws,
        supervision.weights(order.passes) if supervision else None,
    )


def make_batch(
    recipe: augment.Recipe, pool: Pool, plan: Plan, two_views: bool = False
) -> Batch:
    """Returns the views of some presentations.

    Args:
      recipe: the augmentation.
      pool: the examples.
      plan: arrays [B].
      two_views: whether the images without augmentation are wanted too; they are mixed
        by the same boxes.
    """

    def views(draws, positions):
        render = jax.vmap(augment.render, in_axes=(None, 0, 0))
        return render(recipe, draws, pool.images[positions])

    def mixed(show):
        images = show(plan.draws, plan.positions)
        if recipe.cutmix:
            partners = show(plan.partner_draws, plan.partners)
            images = jax.vmap(augment.cutmix)(plan.draws.box, images, partners)
        return normalise(images, pool.mean, pool.std)

    return Batch(
        mixed(views),
        plan.positions,
        plan.partners,
        plan.draws.box.keep if recipe.cutmix else jnp.ones(plan.positions.shape),
        plan.passes,
        plan.weights,
        plan.targets,
        mixed(lambda _, positions: pool.images[positions]) if two_views else None,
    )


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
    key = jax.random.fold_in(jax.random.key(seed), _INIT)
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
    key = jax.random.fold_in(jax.random.key(state["seed"]), _DROP)
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


def evaluated_variables(program: Program, state: dict[str, Any]) -> Any:
    """Returns the variables a student is judged by: averaged ones when there are."""
    if program.ema:
        return state["variables"] | {"params": state["average"]}
    return state["variables"]
