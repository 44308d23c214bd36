"""Augmented views of one image, computed on the device and replayable anywhere.

Every random number is a pure function of (seed, epoch, example id), so a view is the
same in any order, at any batch size. Different accelerators agree up
to the rounding of floats. The functions see one example; lift them with `vmap`.

Letters: H W image height and width, C channels, F strips along an axis.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment.color import apply_color, draw_color
from ddjax.data.augment.cutmix import Box, cutmix, cutmix_box, cutmix_draw
from ddjax.data.augment.cutout import apply_cutout, draw_cutout
from ddjax.data.augment.dsa import apply_dsa, draw_dsa
from ddjax.data.augment.policy import apply_policy, draw_policy
from ddjax.data.augment.recipe import (
    CROP,
    DSA_OPERATIONS,
    FLIP,
    POLICIES,
    SHUFFLE,
    Cutout,
    Dsa,
    Options,
    Recipe,
    to_integer,
    view_key,
)

__all__ = [
    "DSA_OPERATIONS",
    "POLICIES",
    "Box",
    "Cutout",
    "Draw",
    "Dsa",
    "Options",
    "Recipe",
    "Strips",
    "crop_offset",
    "cutmix",
    "cutmix_box",
    "cutmix_draw",
    "destination",
    "draw",
    "draw_strips",
    "flip_coin",
    "render",
    "resized_crop_window",
    "to_integer",
    "view",
    "view_key",
]


def __dir__() -> list[str]:
    return __all__


_TRIES = 10
_MAX_RATIO = 4 / 3


class Strips(NamedTuple):
    """Where the strips of an image go.

    Attributes:
      rows, columns: [F] int32, permutations of 0 .. F-1: the place among the strips
        that each one takes, counted from the top and from the left.
    """

    rows: jax.Array
    columns: jax.Array


class Draw(NamedTuple):
    """All that is random about a view; None where the recipe has none of it.

    Attributes:
      window: y0, x0 of `crop_offset`, or y0, x0, height, width of
        `resized_crop_window`.
      flip: [] bool.
      box: `Box`, what CutMix replaces.
      strips: `Strips`, where patch shuffle puts them.
      dsa: `dsa.DsaDraw`, what DSA does.
      color: `color.ColorDraw`, how colours change without DSA.
      cutout: [2,2] int32, the square that cutout covers.
      policy: `policy.PolicyDraw`, the operations of AutoAugment or RandAugment.
    """

    window: Any
    flip: Any
    box: Any
    strips: Any = None
    dsa: Any = None
    color: Any = None
    cutout: Any = None
    policy: Any = None


def draw(
    recipe: Recipe,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> Draw:
    """Draws a view's parameters, a pure function of (seed, epoch, example id).

    Args:
      recipe: the augmentation.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Raises:
      InputError: the image is too small for the recipe.
    """
    recipe.check(height, width)
    at = (seed, epoch, example_id)
    window: tuple[jax.Array, ...] | None = None
    if recipe.resized_crop is not None:
        window = resized_crop_window(recipe, *at, height, width)
    elif recipe.pad:
        window = crop_offset(recipe, *at)
    flip = flip_coin(*at) if recipe.flip else None
    box = cutmix_box(recipe, *at, height, width) if recipe.cutmix else None
    strips = draw_strips(recipe, *at) if recipe.patch_shuffle else None
    dsa = draw_dsa(recipe.dsa, *at, height, width) if recipe.dsa else None
    color = draw_color(recipe, *at) if recipe.colors else None
    cutout = draw_cutout(recipe.cutout, *at, height, width) if recipe.cutout else None
    policy = draw_policy(recipe.policy, *at, height, width) if recipe.policy else None
    return Draw(window, flip, box, strips, dsa, color, cutout, policy)


def render(recipe: Recipe, drawn: Draw, image_HWC: jax.Array) -> jax.Array:
    """The view of an image with given parameters, not yet mixed.

    It is shuffled, then cropped, then mirrored, then a policy's operations follow, then
    its colours change, then a square is cut out; or it is augmented by DSA.

    Args:
      recipe: the augmentation.
      drawn: of `draw` with the same recipe.
      image_HWC: [H,W,C] uint8 or float in [0, 255].

    Returns:
      [H,W,C] float32 in [0, 255], which changes of colour may leave. A resized crop is
      not rounded to whole values.

    Raises:
      InputError: the recipe changes colours that the image does not have.
    """
    recipe.check(*image_HWC.shape)
    if recipe.dsa is not None:
        return apply_dsa(recipe.dsa, drawn.dsa, image_HWC)
    image_HWC = _moved(recipe, drawn, image_HWC)
    if recipe.policy:
        image_HWC = apply_policy(drawn.policy, image_HWC)
    if recipe.colors:
        image_HWC = apply_color(recipe, drawn.color, image_HWC)
    if recipe.cutout is not None:
        image_HWC = apply_cutout(recipe.cutout, drawn.cutout, image_HWC)
    return image_HWC


def _moved(recipe: Recipe, drawn: Draw, image_HWC: jax.Array) -> jax.Array:
    """The image shuffled, then cropped, then mirrored."""
    height, width, _ = image_HWC.shape
    rows, columns = jnp.arange(height), jnp.arange(width)
    if recipe.flip:
        columns = jnp.where(drawn.flip, columns[::-1], columns)
    down, across = jnp.arange(height), jnp.arange(width)
    if recipe.patch_shuffle:
        down = destination(drawn.strips.rows, height)
        across = destination(drawn.strips.columns, width)
    if recipe.resized_crop is not None:
        y0, x0, crop_height, crop_width = drawn.window
        return _resample(
            image_HWC,
            _interpolation(rows, y0, crop_height, down),
            _interpolation(columns, x0, crop_width, across),
        )
    if recipe.patch_shuffle:
        if recipe.pad:
            y0, x0 = drawn.window
            rows, columns = rows + y0 - recipe.pad, columns + x0 - recipe.pad
        # A row without a 1, of a pixel outside the image, gives black.
        return _resample(
            image_HWC,
            (rows[:, None] == down[None, :]).astype(jnp.float32),
            (columns[:, None] == across[None, :]).astype(jnp.float32),
        )
    if recipe.pad:
        sides = (recipe.pad, recipe.pad)
        image_HWC = jnp.pad(image_HWC, (sides, sides, (0, 0)))
        y0, x0 = drawn.window
        rows, columns = rows + y0, columns + x0
        image_HWC = image_HWC.at[rows].get(mode="promise_in_bounds")
    if recipe.pad or recipe.flip:
        image_HWC = image_HWC.at[:, columns].get(mode="promise_in_bounds")
    return image_HWC.astype(jnp.float32)


def view(
    recipe: Recipe,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    image_HWC: jax.Array,
) -> jax.Array:
    """The view of an image at an epoch: `render` of what `draw` gives.

    Args:
      recipe: the augmentation.
      seed, epoch, example_id: [] int32.
      image_HWC: [H,W,C] uint8 or float in [0, 255].

    Returns:
      [H,W,C] float32, see `render`.
    """
    height, width, _ = image_HWC.shape
    drawn = draw(recipe, seed, epoch, example_id, height, width)
    return render(recipe, drawn, image_HWC)


def crop_offset(
    recipe: Recipe, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Where the padded image is cut out.

    Args:
      recipe: the augmentation.
      seed, epoch, example_id: [] int32.

    Returns:
      y0, x0: [] int32, uniform in 0 .. 2 * pad, in pixels of the padded image.
    """
    y, x = jax.random.uniform(view_key(CROP, seed, epoch, example_id), (2,))
    count = 2 * recipe.pad + 1
    return to_integer(y, count), to_integer(x, count)


def resized_crop_window(
    recipe: Recipe,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The window that is resized to the whole image, by torchvision's rule.

    The area is uniform in the recipe's range, the logarithm of width / height uniform
    between those of 3/4 and 4/3, the sides rounded to whole pixels. The first of ten
    tries that fits lies at a uniform place; if none fits, the window is the largest
    central one with an aspect ratio in that range.

    Args:
      recipe: an augmentation with `resized_crop`.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Returns:
      y0, x0, window height, window width: [] int32, inside the image.
    """
    draws = jax.random.uniform(view_key(CROP, seed, epoch, example_id), (_TRIES + 1, 2))
    tries, place = draws[:_TRIES], draws[_TRIES]
    areas: Any = recipe.resized_crop
    low, high = areas
    area = height * width * (low + (high - low) * tries[:, 0])
    ratio = jnp.exp(math.log(_MAX_RATIO) * (2 * tries[:, 1] - 1))
    heights = jnp.round(jnp.sqrt(area / ratio)).astype(jnp.int32)
    widths = jnp.round(jnp.sqrt(area * ratio)).astype(jnp.int32)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first, found = jnp.argmax(fits), jnp.any(fits)

    central_height = min(height, round(width * _MAX_RATIO))
    central_width = min(width, round(height * _MAX_RATIO))
    crop_height = jnp.where(found, heights[first], central_height)
    crop_width = jnp.where(found, widths[first], central_width)
    y0 = jnp.where(
        found,
        to_integer(place[0], height - crop_height + 1),
        (height - central_height) // 2,
    )
    x0 = jnp.where(
        found,
        to_integer(place[1], width - crop_width + 1),
        (width - central_width) // 2,
    )
    return y0, x0, crop_height, crop_width


def flip_coin(seed: jax.Array, epoch: jax.Array, example_id: jax.Array) -> jax.Array:
    """Whether a recipe with `flip` mirrors this view.

    Args:
      seed, epoch, example_id: [] int32.

    Returns:
      [] bool, true with probability 1/2.
    """
    return jax.random.uniform(view_key(FLIP, seed, epoch, example_id)) < 0.5


def draw_strips(
    recipe: Recipe, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> Strips:
    """Draws where the strips go, uniform over all pairs of permutations.

    Args:
      recipe: an augmentation with `patch_shuffle`.
      seed, epoch, example_id: [] int32.

    Source: LINs-lab/RDED (validation/utils.py), class ShufflePatches, first thing after
      the conversion to a tensor; RD3's unified protocol has it too. Columns are
      permuted before rows there, which gives the same image as the other way round.
    """
    key = view_key(SHUFFLE, seed, epoch, example_id)
    rows, columns = jnp.argsort(jax.random.uniform(key, (2, recipe.patch_shuffle)))
    return Strips(rows, columns)


def destination(places_F: jax.Array, size: int) -> jax.Array:
    """Returns where the pixels along one axis go, [size] int32.

    Args:
      places_F: [F] int32, of `Strips`.
      size: of the image along the axis, static, at least F. A strip has size // F
        pixels, the last one also the remainder, which it takes along: nothing is lost.

    Source: RDED as in `draw_strips`, where the remainder is left out (but of strips one
      pixel wide) and the image becomes smaller: its test for the last strip compares
      the strip's first pixel with its number. No difference where F divides the size,
      as 2 does in all of RDED's recipes.
    """
    starts_F = np.arange(len(places_F)) * (size // len(places_F))
    widths_F = np.diff(starts_F, append=size)
    # Row k marks the strips that strip k has in front of it.
    ahead_FF = places_F[None, :] < places_F[:, None]
    begins_F = jnp.sum(jnp.where(ahead_FF, widths_F[None, :], 0), axis=1)
    shifts = jnp.repeat(begins_F - starts_F, widths_F, total_repeat_length=size)
    return jnp.arange(size) + shifts


def _interpolation(
    targets: jax.Array, start: jax.Array, length: jax.Array, places: jax.Array
) -> jax.Array:
    """Bilinear weights along one axis, [target, source] float32.

    A target pixel's centre, mapped into the window start .. start+length-1 and clamped
    to its edge pixels, lies between two sources at most; the weight falls linearly with
    the distance to them. `places` are where each source pixel lies.
    """
    size = targets.shape[0]
    position = (targets + 0.5) * (length / size) - 0.5
    position = start + jnp.clip(position, 0, length - 1)
    distance = jnp.abs(position[:, None] - places[None, :])
    return jnp.maximum(0.0, 1.0 - distance)


def _resample(
    image_HWC: jax.Array, rows_HH: jax.Array, columns_WW: jax.Array
) -> jax.Array:
    """Applies interpolation matrices along both axes.

    Two matrix products are several times faster than gathers inside a compiled loop on
    CPU, with the channels before the width so that both products are plain ones. Full
    precision, because a teacher's label and a student's view must be the same image
    on every accelerator.
    """
    height, width, channels = image_HWC.shape
    highest = jax.lax.Precision.HIGHEST
    lines = jnp.moveaxis(image_HWC, 2, 1).astype(jnp.float32)
    lines = lines.reshape(height, channels * width)
    lines = jnp.matmul(rows_HH, lines, precision=highest)
    lines = lines.reshape(height * channels, width)
    lines = jnp.matmul(lines, columns_WW.T, precision=highest)
    return jnp.moveaxis(lines.reshape(height, channels, width), 1, 2)
