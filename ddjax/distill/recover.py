"""The kernel of SRe2L's family: gradient descent on images through teachers.

Images are float32, normalised. Everything random about an image is a pure function of
(seed, iteration, slot), its slot being its place in the synthetic set, so it does not
depend on its batch.

Letters: B images of a batch, H W image, K channels, D channels of a layer, T
iterations.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ddjax import losses
from ddjax.data import augment
from ddjax.data.augment import Recipe, to_integer, view_key
from ddjax.distill.statistics import (
    Moments,
    likeness,
    measures_of,
    smoothed,
    statistics_distance,
)
from ddjax.models import Network, Variables
from ddjax.train.programs import Traceable, variables_of
from ddjax.train.schedule import schedule_factor

_ROLL, _DROP = 1000, 1001  # streams of random numbers beside ddjax.data.augment's
# What the loss is the sum of; the curves of a synthetic set have these names.
PARTS = ("cross_entropy", "statistics", "likeness", "flatness")
_FLATNESS_TEMPERATURE = 4.0  # EDC's


class Form(NamedTuple):
    """What a descent computes; static.

    Attributes:
      recipe: the augmentation of images, but for the roll. It decides whether there are
        crops; their areas are among the `Numbers`, so that other areas need no other
        program.
      patch: side of the patches of convolutions' inputs; 0: only the inputs of batch
        norms are matched.
      rotate: whether teachers take turns, one an iteration, or all count in each.
      smooth: whether statistics are averaged over iterations, see `smoothed`.
      classes: of the images of a batch, equally many each, whose likeness is part of
        the loss; 0: it is not.
      flat: whether logits are drawn to those of the images' average over iterations.
    """

    recipe: Recipe
    patch: int = 0
    rotate: bool = False
    smooth: bool = False
    classes: int = 0
    flat: bool = False


class Batch(NamedTuple):
    """Images that are optimised together.

    Attributes:
      slots: [B] int32, their places in the synthetic set.
      labels: [B] int32.
    """

    slots: np.ndarray
    labels: np.ndarray


class Target(NamedTuple):
    """What a batch is matched with, of one teacher.

    Attributes:
      variables: of the teacher in this batch, which may differ from its own.
      statistics: to be matched, each layer -> moments; of several the mean distance
        counts.
      weight: [] of this teacher's loss.
    """

    variables: Variables
    statistics: tuple[dict[str, Moments], ...]
    weight: Any


class Numbers(NamedTuple):
    """What a descent depends on beside its shapes; named as in the methods' options.

    Attributes:
      learning_rate, beta1, beta2, bn_weight, first_bn, var_weight: [] float32.
      momentum, drop_rate, likeness, flatness, flatness_momentum: [] float32.
      roll: [2] int32, the lowest and highest number of pixels an image rolls by.
      areas: [T] float32, the lowest area of a crop at each iteration.
      low, high: [K] float32, normalised black and white.
      seed: [] int32.
    """

    learning_rate: Any
    beta1: Any
    beta2: Any
    bn_weight: Any
    first_bn: Any
    var_weight: Any
    momentum: Any
    drop_rate: Any
    likeness: Any
    flatness: Any
    flatness_momentum: Any
    roll: Any
    areas: Any
    low: Any
    high: Any
    seed: Any


class Stage(NamedTuple):
    """A part of the descent of a batch; static. Most descents have one.

    Attributes:
      stop: iterations of the descent that are done at its end.
      rows: how many of the batch's images, from its first on, are optimised in it. An
        image that joins late begins as it started, under an Adam that counts from the
        descent's first iteration.
      side: height and width of its images, pixels; 0: the set's own.
      keep: None: images and Adam go on. A number in [0, 1]: what images keep of the
        stage before, the rest being what they started from, and Adam begins anew.
    """

    stop: int
    rows: int
    side: int = 0
    keep: float | None = None


def lengths(stages: tuple[Stage, ...]) -> list[int]:
    """Returns the iterations of each stage."""
    return np.diff([0, *(stage.stop for stage in stages)]).tolist()


class State(NamedTuple):
    """An unfinished descent of a batch.

    Attributes:
      images: [B,H,W,K] float32.
      adam: Adam's state; its count is the number of iterations since it began.
      iteration: [] int32, the number of iterations done.
      averages: of the statistics, for each teacher; () unless they are smoothed.
      slow: [B,H,W,K] float32, the images' average over iterations; () unless logits
        are drawn to its.
    """

    images: jax.Array
    adam: optax.ScaleByAdamState
    iteration: jax.Array
    averages: Any = ()
    slow: Any = ()


class _Areas(NamedTuple):
    """The part of a recipe that a crop's window reads, with areas known later."""

    resized_crop: tuple[jax.Array, float]


def begin(form: Form, images_BHWK: jax.Array, targets: tuple[Target, ...]) -> State:
    """Returns the state before the first iteration."""
    # Copies, since `advance` overwrites them.
    images_BHWK = jnp.array(images_BHWK, jnp.float32)
    averages: Any = ()
    slow: Any = ()
    if form.smooth:
        averages = tuple(
            jax.tree.map(jnp.zeros_like, target.statistics[0]) for target in targets
        )
    if form.flat:
        slow = jnp.array(images_BHWK)
    adam = optax.scale_by_adam().init(images_BHWK)
    return State(images_BHWK, adam, jnp.zeros((), jnp.int32), averages, slow)


def enter(
    form: Form,
    stage: Stage,
    state: State | None,
    start_BHWK: jax.Array,
    targets: tuple[Target, ...],
) -> State:
    """Returns the state at the beginning of a stage.

    Args:
      form: of the descent.
      stage: what begins.
      state: at the end of the stage before; None: it is the first.
      start_BHWK: [B,H,W,K] float32, what all images of the batch start from.
      targets: see `begin`.
    """
    side = stage.side or start_BHWK.shape[1]
    start_BHWK = resized(start_BHWK[: stage.rows], side)
    if state is None:
        return begin(form, start_BHWK, targets)
    if stage.keep is not None:
        kept_BHWK = stage.keep * resized(state.images, side)
        merged_BHWK = kept_BHWK + (1 - stage.keep) * start_BHWK
        return begin(form, merged_BHWK, targets)._replace(iteration=state.iteration)
    begun, count = begin(form, start_BHWK, targets), len(state.images)

    def join(old, new):
        return jnp.concatenate([old, new[count:]])

    return state._replace(
        images=join(state.images, begun.images),
        adam=state.adam._replace(
            mu=join(state.adam.mu, begun.adam.mu), nu=join(state.adam.nu, begun.adam.nu)
        ),
        slow=join(state.slow, begun.slow) if form.flat else (),
    )


def resized(images_BHWK: jax.Array, side: int) -> jax.Array:
    """Resizes images to [B,side,side,K], bilinear without antialiasing.

    Source: `interpolate` of PyTorch with align_corners=False.
    """
    shape = (len(images_BHWK), side, side, images_BHWK.shape[3])
    if images_BHWK.shape == shape:
        return images_BHWK
    return jax.image.resize(images_BHWK, shape, "linear", antialias=False)


def views(
    recipe: Recipe,
    numbers: Numbers,
    images_BHWK: jax.Array,
    slots_B: jax.Array,
    iteration: jax.Array,
) -> jax.Array:
    """Crops, mirrors and rolls every image by its own draw.

    Args:
      recipe: which of crop and flip; its areas are not read.
      numbers: the range of the roll, the areas and the seed.
      images_BHWK: [B,H,W,K] float32.
      slots_B: [B] int32.
      iteration: [] int32, below T.

    Returns:
      [B,H,W,K] float32.

    Source: SRe2L, which draws once an iteration for the whole batch: then all images
    lose the same region in it, and batches of another size are cropped otherwise.
    """
    height, width = images_BHWK.shape[1:3]
    lowest, highest = numbers.roll

    def view(image_HWK, slot):
        at = (numbers.seed, iteration, slot)
        drawn = augment.draw(recipe, *at, height, width)
        if recipe.resized_crop is not None:
            areas = _Areas((numbers.areas[iteration], 1.0))
            window = augment.resized_crop_window(areas, *at, height, width)
            drawn = drawn._replace(window=window)
        shown_HWK = augment.render(recipe, drawn, image_HWK)
        uniform = jax.random.uniform(view_key(_ROLL, *at), (2,))
        rolled = lowest + to_integer(uniform, highest - lowest + 1)
        return jnp.roll(shown_HWK, rolled, axis=(0, 1))

    return jax.vmap(view)(images_BHWK, slots_B)


def synthesis_loss(
    form: Form,
    networks: tuple[Network, ...],
    targets: tuple[Target, ...],
    numbers: Numbers,
    state: State,
    batch: Batch,
    iteration: jax.Array,
) -> tuple[jax.Array, tuple[jax.Array, Any]]:
    """Returns the loss of this iteration's views through all teachers, or one in turn.

    sum_m w_m (CE_m + bn_weight * distance_m + likeness weight * likeness + flatness
    weight * flatness_m), where the cross-entropy is averaged over the batch and the
    teachers are in eval mode.

    Args:
      form: the terms of the loss.
      networks: one a teacher.
      targets: as many.
      numbers: the weights in the loss.
      state: of the images.
      batch: their slots and labels.
      iteration: [] int32.

    Returns:
      The loss [], and its [4] parts before their weights, summed over teachers with
      theirs, with the new averages of the statistics.

    Source: SRe2L; the weighted sum is CV-DD's; taking turns, smoothing and likeness are
    G-VBSM's; halves of the distance and flatness EDC's: KL(softmax(slow / 4) ||
    softmax(images / 4)) averaged over the batch, which its code divides by the number
    of classes too.
    """
    measures = measures_of(form.patch)

    def augmented(images_BHWK):
        return views(form.recipe, numbers, images_BHWK, batch.slots, iteration)

    views_BHWK = augmented(state.images)
    slow_BHWK = jax.lax.stop_gradient(augmented(state.slow)) if form.flat else ()
    first = iteration < (len(networks) if form.rotate else 1)

    def through(teacher, averages):
        network, target = networks[teacher], targets[teacher]
        logits_BC, measured = network.inspect(target.variables, views_BHWK, measures)
        entropy = losses.cross_entropy(logits_BC, batch.labels).mean()
        kept_L = 1.0
        if form.patch:
            key = view_key(_DROP, numbers.seed, iteration, 0)
            drawn_L = jax.random.bernoulli(key, 1 - numbers.drop_rate, (len(measured),))
            convs_L = np.array([len(found) > 2 for found in measured.values()])
            kept_L = jnp.where(convs_L, drawn_L, True).astype(jnp.float32)
        if form.smooth:
            measured, average = smoothed(
                measured, averages[teacher], numbers.momentum, first
            )
            averages = (*averages[:teacher], average, *averages[teacher + 1 :])
        weights = numbers.first_bn, numbers.var_weight, kept_L
        distances = [
            statistics_distance(measured, wanted, *weights)
            for wanted in target.statistics
        ]
        alike = flat = jnp.zeros(())
        if form.classes:
            alike = likeness(views_BHWK, form.classes)
        if form.flat:
            slow_BC, _ = network.apply(target.variables, slow_BHWK)
            flat = losses.kl_divergence(
                logits_BC, slow_BC, _FLATNESS_TEMPERATURE, scale_by_t2=False
            ).mean()
        parts = jnp.stack([entropy, sum(distances) / len(distances), alike, flat])
        return target.weight * parts, averages

    each = [functools.partial(through, teacher) for teacher in range(len(networks))]
    if form.rotate:
        turn = iteration % len(networks)
        parts, averages = jax.lax.switch(turn, each, state.averages)
    else:
        parts, averages = jnp.zeros(len(PARTS)), state.averages
        for one in each:
            found, averages = one(averages)
            parts += found
    weights = (1.0, numbers.bn_weight, numbers.likeness, numbers.flatness)
    return jnp.sum(jnp.stack(weights) * parts), (parts, averages)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
def advance(
    networks: tuple[Network, ...],
    form: Form,
    state: State,
    batch: Batch,
    targets: tuple[Target, ...],
    numbers: Numbers,
    stop: jax.Array,
) -> tuple[State, jax.Array]:
    """Optimises a batch of images up to an iteration.

    An iteration draws views, moves the images by Adam at a rate that falls by a cosine
    from the first iteration to T, and clips them to what pixels can be.

    Args:
      networks: one a teacher.
      form: the terms of the loss.
      state: of `begin` or of an earlier call; consumed.
      batch: the images' slots and labels.
      targets: as many as networks.
      numbers: everything else.
      stop: [] int32, at most T.

    Returns:
      The state after iteration `stop`, and [4] the parts of the loss, see
      `synthesis_loss`, averaged over the iterations of this call (0 without any).
    """
    adam = optax.scale_by_adam(numbers.beta1, numbers.beta2)
    low, high = (a.reshape(1, 1, 1, -1) for a in (numbers.low, numbers.high))
    total = numbers.areas.shape[0]

    def loss_of(images_BHWK, state, iteration):
        state = state._replace(images=images_BHWK)
        return synthesis_loss(form, networks, targets, numbers, state, batch, iteration)

    def step(iteration, carried):
        state, sums = carried
        grads, (parts, averages) = jax.grad(loss_of, has_aux=True)(
            state.images, state, iteration
        )
        steps, moved = adam.update(grads, state.adam)
        rate = numbers.learning_rate * schedule_factor("cosine", iteration, total)
        images_BHWK = jnp.clip(state.images - rate * steps, low, high)
        slow = state.slow
        if form.flat:
            share = numbers.flatness_momentum
            slow = share * slow + (1 - share) * state.images
        return State(images_BHWK, moved, iteration + 1, averages, slow), sums + parts

    # Not a scan: its length would be static, and the last segment another program.
    first = state.iteration
    start = (state, jnp.zeros(len(PARTS)))
    state, sums = jax.lax.fori_loop(first, stop, step, start)
    return state, sums / jnp.maximum(stop - first, 1)


def program(
    networks: tuple[Network, ...], form: Form, images: int, iterations: int
) -> Traceable:
    """Returns `advance` with abstract arguments, to be lowered and counted.

    Args:
      networks: of the teachers.
      form: what is computed.
      images: B.
      iterations: T; in XLA's count of the operations one counts, with the most
        expensive of teachers that take turns.
    """
    array = jax.ShapeDtypeStruct
    number, integer = array((), jnp.float32), array((), jnp.int32)
    shape = networks[0].image_shape
    images_BHWK = array((images, *shape), jnp.float32)
    measures, targets = measures_of(form.patch), []
    for network in networks:
        variables = variables_of(network)
        inspect = functools.partial(network.inspect, measures=measures)
        _, measured = jax.eval_shape(inspect, variables, images_BHWK)
        targets.append(Target(variables, (measured,), number))
    numbers = dict.fromkeys(Numbers._fields, number)
    numbers |= {"roll": array((2,), jnp.int32), "seed": integer}
    numbers |= {"areas": array((iterations,), jnp.float32)}
    numbers |= dict.fromkeys(("low", "high"), array(shape[-1:], jnp.float32))
    state = jax.eval_shape(functools.partial(begin, form), images_BHWK, tuple(targets))
    places: Any = array((images,), jnp.int32)
    rest = Batch(places, places), tuple(targets), Numbers(**numbers), integer
    return Traceable(advance, (networks, form, state, *rest))


@functools.cache
def iteration_flops(networks, form, images, iterations) -> float:
    """Returns the operations of an iteration; arguments of `program`."""
    return program(networks, form, images, iterations).flops()
