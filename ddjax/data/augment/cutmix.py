"""CutMix: a box of an image is filled with the same place of a partner.

Letters: H W image height and width, C channels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddjax.data.augment.recipe import CUTMIX, Recipe, to_integer, view_key
from ddjax.errors import InputError


class Box(NamedTuple):
    """The part of an image that CutMix replaces.

    Attributes:
      y0, y1, x0, x1: [] int32, rows y0 .. y1-1 and columns x0 .. x1-1.
      keep: [] float32 in [0, 1], the fraction of pixels that stay, which is the weight
        of the image's own label.
    """

    y0: jax.Array
    y1: jax.Array
    x0: jax.Array
    x1: jax.Array
    keep: jax.Array


def cutmix_draw(
    recipe: Recipe,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The random numbers behind a CutMix box.

    Args:
      recipe: an augmentation with `cutmix`.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Returns:
      lam: [] float32 in [0, 1], drawn from Beta(alpha, alpha): the fraction of pixels
        that would stay if the box lay wholly inside the image.
      centre row in 0 .. height-1 and centre column in 0 .. width-1: [] int32, uniform.

    Raises:
      InputError: the recipe has no CutMix.
    """
    if not recipe.cutmix:
        raise InputError("augment.cutmix: found 0, allowed is > 0 where a box is drawn")
    key = view_key(CUTMIX, seed, epoch, example_id)
    if recipe.cutmix == 1:  # Beta(1, 1) is uniform
        lam, y, x = jax.random.uniform(key, (3,))
    else:
        lam_key, centre_key = jax.random.split(key)
        lam = jax.random.beta(lam_key, recipe.cutmix, recipe.cutmix)
        y, x = jax.random.uniform(centre_key, (2,))
    return lam, to_integer(y, height), to_integer(x, width)


def cutmix_box(
    recipe: Recipe,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> Box:
    """The box of an example that CutMix fills with its partner.

    A side is floor(side of the image * sqrt(1 - lam)), the box reaches half of it,
    rounded down, to both sides of the centre, and what lies beyond the image is cut
    off.

    Args:
      recipe: an augmentation with `cutmix`.
      seed, epoch, example_id: [] int32; of the image that is pasted into.
      height, width: of the image, in pixels; static.

    Returns:
      The box, with the fraction that truly stays: lam itself ignores what is cut off.

    Raises:
      InputError: the recipe has no CutMix.

    Source: the box rule that the repositories of dataset distillation share.
      Deviation: they draw one lam and one box a batch; here each example draws its
      own, so that a view does not depend on its batch.
    """
    lam, y, x = cutmix_draw(recipe, seed, epoch, example_id, height, width)
    side = jnp.sqrt(1 - lam)
    y0, y1 = _span(y, (height * side).astype(jnp.int32), height)
    x0, x1 = _span(x, (width * side).astype(jnp.int32), width)
    area, pixels = (y1 - y0) * (x1 - x0), height * width
    # Exactly 0 and 1 at the ends, though XLA may divide by a rounded reciprocal.
    keep = jnp.where(area == 0, 1.0, (pixels - area) / pixels)
    return Box(y0, y1, x0, x1, keep)


def cutmix(box: Box, image_HWC: jax.Array, partner_HWC: jax.Array) -> jax.Array:
    """Pastes a partner's pixels into a box of an image, at the same place.

    Args:
      box: where.
      image_HWC: [H,W,C], the view that keeps what is outside the box.
      partner_HWC: [H,W,C], the view whose pixels fill the box.

    Returns:
      [H,W,C] of the images' dtype.
    """
    height, width, _ = image_HWC.shape
    y = jnp.arange(height)[:, None, None]
    x = jnp.arange(width)[None, :, None]
    inside = (box.y0 <= y) & (y < box.y1) & (box.x0 <= x) & (x < box.x1)
    return jnp.where(inside, partner_HWC, image_HWC)


def _span(
    centre: jax.Array, length: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    """The part of centre -/+ length // 2 that lies in 0 .. size."""
    half = length // 2
    return jnp.maximum(centre - half, 0), jnp.minimum(centre + half, size)
