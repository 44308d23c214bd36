"""What a student is trained on: the pool, plans of presentations, batches of views.

Letters: B batch, C classes, H W K image height, width and channels, L presentations of
a plan, N pool examples.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from ddjax import mesh
from ddjax.data import augment
from ddjax.train.order import Order
from ddjax.train.supervision import Supervision


class Pool(NamedTuple):
    """The examples that all members of a sweep share, on the device.

    Attributes:
      images: [N,H,W,K] uint8, or None where plans bring them along.
      labels: [N] int32.
      ids: [N] int32, stable example ids, which key the augmentation.
      mean, std: [K] float32 in [0, 1] units.
      teacher_logits: [N,C] float32, one stored teacher vector an image, or None.
      teachers: variables of the teachers that predict, a tuple, or None.
    """

    images: jax.Array | None
    labels: jax.Array
    ids: jax.Array
    mean: jax.Array
    std: jax.Array
    teacher_logits: jax.Array | None = None
    teachers: Any = None


class Batch(NamedTuple):
    """One step's views.

    Attributes:
      inputs: [B,H,W,K] float32, augmented, mixed and normalised.
      positions, partners: [B] int32, whose view it is and what CutMix pasted in.
      keep: [B] float32, the fraction of pixels that are the view's own.
      passes: [B] int32, the pass over the subset.
      weights: (soft, hard), [B] float32, of the two losses; None where there is
        only one.
      targets: [B,C] float32, stored teacher logits of the views, or None.
      weak: [B,H,W,K] float32, the same images and mixtures without augmentation, or
        None where a step has one view of an image.
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


def place_pool(pool: Pool, onto: Mesh) -> Pool:
    """Puts a pool on devices: its examples divided among those that share a batch.

    Args:
      pool: the examples; rows of zeros are added to what cannot be divided.
      onto: of `mesh.grid`.
    """

    def divided(array):
        if array is None:
            return None
        missing = -len(array) % onto.shape[mesh.DATA]
        if missing:
            array = np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
        return mesh.place(array, onto, PartitionSpec(mesh.DATA))

    return mesh.place(pool._replace(images=None, teacher_logits=None), onto)._replace(
        images=divided(pool.images), teacher_logits=divided(pool.teacher_logits)
    )


def normalise(images: Any, mean: Any, std: Any) -> Any:
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
      images, partner_images: [L,H,W,K] uint8, the images at `positions` and `partners`
        where the pool does not hold them, else None.
    """

    positions: jax.Array
    partners: jax.Array
    passes: jax.Array
    draws: augment.Draw
    partner_draws: augment.Draw | None
    weights: tuple[jax.Array, jax.Array] | None = None
    targets: jax.Array | None = None
    images: jax.Array | None = None
    partner_images: jax.Array | None = None

    def shown(self, pool: Pool) -> jax.Array:
        """Returns the images at `positions`."""
        if self.images is None:
            return mesh.look_up(pool.images, self.positions)
        return self.images

    def pasted(self, pool: Pool) -> jax.Array:
        """Returns the images at `partners`."""
        if self.images is None:
            return mesh.look_up(pool.images, self.partners)
        return self.partner_images


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
      supervision: the label schedule; None: every presentation has the same loss.
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
    images = mesh.share_rows(plan.shown(pool))
    pasted = mesh.share_rows(plan.pasted(pool)) if recipe.cutmix else None
    plan = mesh.share_rows(plan)

    def views(draws, images):
        return jax.vmap(augment.render, in_axes=(None, 0, 0))(recipe, draws, images)

    def mixed(show):
        shown = show(plan.draws, images)
        if recipe.cutmix:
            partners = show(plan.partner_draws, pasted)
            shown = jax.vmap(augment.cutmix)(plan.draws.box, shown, partners)
        return normalise(shown, pool.mean, pool.std)

    return Batch(
        mixed(views),
        plan.positions,
        plan.partners,
        plan.draws.box.keep if recipe.cutmix else jnp.ones(plan.positions.shape),
        plan.passes,
        plan.weights,
        plan.targets,
        mixed(lambda _, images: images) if two_views else None,
    )
