"""The kernel of SRe2L's family: descent on a batch of images through teachers.

Images are float32, normalised. Everything random about an image is a pure function of
(seed, iteration, slot), its slot being its place in the image set, so it does not hang
on the batch that it is in.

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
from ddjax.data.recipe import Recipe, to_integer, view_key
from ddjax.distill.matching import Moments, statistics_distance
from ddjax.models import Network, Variables, moments
from ddjax.settings.recover import Recover
from ddjax.train.schedule import schedule_factor

_ROLL = 1000  # a stream of random numbers beside those of ddjax.data.recipe


class Batch(NamedTuple):
    """Images that are optimised together.

    Attributes:
      slots: [B] int32, their places in the image set.
      labels: [B] int32.
    """

    slots: np.ndarray
    labels: np.ndarray


class Look(NamedTuple):
    """How a batch sees one teacher.

    Attributes:
      variables: of the teacher, which may differ from its own.
      statistics: batch norm -> (mean [D], variance [D]) to be matched.
      weight: [] of this teacher's loss.
    """

    variables: Variables
    statistics: dict[str, Moments]
    weight: Any


class Numbers(NamedTuple):
    """What a synthesis depends on beside its shapes; fields as in `Recover`.

    Attributes:
      learning_rate, beta1, beta2, bn_weight, first_bn, var_weight: [] float32.
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
    roll: Any
    areas: Any
    low: Any
    high: Any
    seed: Any


class State(NamedTuple):
    """An unfinished synthesis of a batch.

    Attributes:
      images: [B,H,W,K] float32.
      adam: Adam's state; its count is the number of iterations done.
    """

    images: jax.Array
    adam: optax.ScaleByAdamState


class _Areas(NamedTuple):
    """The part of a recipe that a crop's window reads, with areas known later."""

    resized_crop: tuple[jax.Array, float]


def recipe_of(settings: Recover) -> Recipe:
    """Returns which views images are seen in, but for the roll.

    It says whether there are crops; their areas are among the `Numbers`, so that other
    ones do not ask for another program.
    """
    crop = (1.0, 1.0) if settings.area < 1 else None
    return Recipe(resized_crop=crop, flip=settings.flip)


def begin(images_BHWK: jax.Array) -> State:
    """Returns the state before the first iteration."""
    # A copy, since `advance` overwrites it.
    images_BHWK = jnp.array(images_BHWK, jnp.float32)
    return State(images_BHWK, optax.scale_by_adam().init(images_BHWK))


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
    lose the same region in it, and batches of another size see something else.
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
    networks: tuple[Network, ...],
    looks: tuple[Look, ...],
    numbers: Numbers,
    images_BHWK: jax.Array,
    labels_B: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """sum_m w_m (CE_m + bn_weight * distance of the statistics_m), in eval mode.

    Args:
      networks: one a teacher.
      looks: as many.
      numbers: the weights in the loss.
      images_BHWK: [B,H,W,K] float32, what the teachers see.
      labels_B: [B] int32.

    Returns:
      The loss [], and [2] its two parts: the cross-entropy, averaged over the batch,
      and the distance before `bn_weight`, both summed over teachers with their weights.

    Source: SRe2L; the weighted sum is CV-DD's.
    """
    parts = jnp.zeros(2)
    for network, look in zip(networks, looks, strict=True):
        logits_BC, measured = network.inspect(look.variables, images_BHWK, moments)
        entropy = losses.cross_entropy(logits_BC, labels_B).mean()
        distance = statistics_distance(
            measured, look.statistics, numbers.first_bn, numbers.var_weight
        )
        parts += look.weight * jnp.stack([entropy, distance])
    return parts[0] + numbers.bn_weight * parts[1], parts


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2,))
def advance(
    networks: tuple[Network, ...],
    recipe: Recipe,
    state: State,
    batch: Batch,
    looks: tuple[Look, ...],
    numbers: Numbers,
    stop: jax.Array,
) -> tuple[State, jax.Array]:
    """Optimises a batch of images up to an iteration.

    An iteration draws views, moves the images by Adam at a rate that falls by a cosine
    from the first iteration to T, and clips them to what pixels can be.

    Args:
      networks: one a teacher.
      recipe: see `views`.
      state: of `begin` or of an earlier call; consumed.
      batch: the images' slots and labels.
      looks: as many as networks.
      numbers: everything else.
      stop: [] int32, at most T.

    Returns:
      The state after iteration `stop`, and [2] the parts of the loss, see
      `synthesis_loss`, averaged over the iterations of this call (0 without any).
    """
    adam = optax.scale_by_adam(numbers.beta1, numbers.beta2)
    low, high = (a.reshape(1, 1, 1, -1) for a in (numbers.low, numbers.high))
    total = numbers.areas.shape[0]

    def loss_of(images_BHWK, iteration):
        shown_BHWK = views(recipe, numbers, images_BHWK, batch.slots, iteration)
        return synthesis_loss(networks, looks, numbers, shown_BHWK, batch.labels)

    def step(iteration, carried):
        state, sums = carried
        grads, parts = jax.grad(loss_of, has_aux=True)(state.images, iteration)
        steps, moved = adam.update(grads, state.adam)
        rate = numbers.learning_rate * schedule_factor("cosine", iteration, total)
        images_BHWK = jnp.clip(state.images - rate * steps, low, high)
        return State(images_BHWK, moved), sums + parts

    # Not a scan: its length would be static, and the last segment another program.
    first = state.adam.count
    state, sums = jax.lax.fori_loop(first, stop, step, (state, jnp.zeros(2)))
    return state, sums / jnp.maximum(stop - first, 1)
