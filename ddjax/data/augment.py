"""Augmented views of one image, made on the device and replayable by anyone.

Every random number is a pure function of (seed, epoch, example id), so a view is the
same in any order, at any batch size, for whoever asks. Different accelerators agree up
to the rounding of floats. The functions see one example; lift them with `vmap`.

Letters: H W image height and width, C channels.
"""

import dataclasses
import math
from numbers import Integral, Real
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddjax.errors import InputError

# One stream of random numbers for each purpose. Teacher labels are stored for views
# drawn from these streams: never renumber them.
_CROP, _FLIP, _CUTMIX = range(3)

_TRIES = 10
_MAX_RATIO = 4 / 3


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is done to an image; static and hashable, all off by default.

    Attributes:
      pad: pixels of black added on each side before the image's size is cut out again
        at a uniform offset.
      resized_crop: (lowest, highest) fraction of the image's area, in (0, 1]; a window
        of such an area is resized to the image's size. None: off.
      flip: mirror left and right with probability 1/2.
      cutmix: alpha of the Beta(alpha, alpha) distribution of CutMix; 0: off.

    Raises:
      InputError: a value out of its range, or both kinds of crop at once.
    """

    pad: int = 0
    resized_crop: tuple[float, float] | None = None
    flip: bool = False
    cutmix: float = 0.0

    def __post_init__(self):
        if not isinstance(self.pad, Integral) or self.pad < 0:
            raise InputError(
                f"augment.pad: found {self.pad!r}, allowed is an integer >= 0"
            )
        if self.resized_crop is not None:
            areas = self.resized_crop
            if not _is_area_range(areas):
                raise InputError(
                    f"augment.resized_crop: found {areas!r}, allowed is a pair "
                    "(lowest, highest) of areas with 0 < lowest <= highest <= 1"
                )
            # A list from a config would not be hashable.
            object.__setattr__(self, "resized_crop", tuple(areas))
            if self.pad:
                raise InputError(
                    f"augment.resized_crop: found {areas!r} beside augment.pad = "
                    f"{self.pad}, allowed is one of the two crops"
                )
        if not isinstance(self.cutmix, Real) or not 0 <= self.cutmix < math.inf:
            raise InputError(
                f"augment.cutmix: found {self.cutmix!r}, allowed is a finite "
                "number >= 0"
            )


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


class Draw(NamedTuple):
    """All that is random about a view; None where the recipe does not ask for it.

    Attributes:
      window: y0, x0 of `crop_offset`, or y0, x0, height, width of
        `resized_crop_window`.
      flip: [] bool.
      box: what CutMix replaces.
    """

    window: tuple[jax.Array, ...] | None
    flip: jax.Array | None
    box: Box | None


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
    """
    at = (seed, epoch, example_id)
    window = None
    if recipe.resized_crop is not None:
        window = resized_crop_window(recipe, *at, height, width)
    elif recipe.pad:
        window = crop_offset(recipe, *at)
    flip = flip_coin(*at) if recipe.flip else None
    box = cutmix_box(recipe, *at, height, width) if recipe.cutmix else None
    return Draw(window, flip, box)


def render(recipe: Recipe, drawn: Draw, image_HWC: jax.Array) -> jax.Array:
    """The view of an image with given parameters: cropped and mirrored, not yet mixed.

    Args:
      recipe: the augmentation.
      drawn: of `draw` with the same recipe.
      image_HWC: [H,W,C] uint8 or float in [0, 255].

    Returns:
      [H,W,C] float32 in [0, 255]. A resized crop is not rounded to whole values.
    """
    height, width, _ = image_HWC.shape
    rows, columns = jnp.arange(height), jnp.arange(width)
    if recipe.flip:
        columns = jnp.where(drawn.flip, columns[::-1], columns)
    if recipe.resized_crop is not None:
        y0, x0, crop_height, crop_width = drawn.window
        return _resample(
            image_HWC,
            _interpolation(rows, y0, crop_height),
            _interpolation(columns, x0, crop_width),
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
      [H,W,C] float32 in [0, 255].
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
    y, x = jax.random.uniform(_key(_CROP, seed, epoch, example_id), (2,))
    count = 2 * recipe.pad + 1
    return _integer(y, count), _integer(x, count)


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
    draws = jax.random.uniform(_key(_CROP, seed, epoch, example_id), (_TRIES + 1, 2))
    tries, place = draws[:_TRIES], draws[_TRIES]
    low, high = recipe.resized_crop
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
        _integer(place[0], height - crop_height + 1),
        (height - central_height) // 2,
    )
    x0 = jnp.where(
        found,
        _integer(place[1], width - crop_width + 1),
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
    return jax.random.uniform(_key(_FLIP, seed, epoch, example_id)) < 0.5


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
    key = _key(_CUTMIX, seed, epoch, example_id)
    if recipe.cutmix == 1:  # Beta(1, 1) is uniform
        lam, y, x = jax.random.uniform(key, (3,))
    else:
        lam_key, centre_key = jax.random.split(key)
        lam = jax.random.beta(lam_key, recipe.cutmix, recipe.cutmix)
        y, x = jax.random.uniform(centre_key, (2,))
    return lam, _integer(y, height), _integer(x, width)


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


def _is_area_range(value) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(area, Real) for area in value)
        and 0 < value[0] <= value[1] <= 1
    )


def _key(
    purpose: int, seed: jax.Array, epoch: jax.Array, example_id: jax.Array
) -> jax.Array:
    """The typed key of one purpose at one view, whatever JAX's default generator."""
    key = jax.random.key(0, impl="threefry2x32")
    for number in (seed, purpose, epoch, example_id):
        key = jax.random.fold_in(key, number)
    return key


def _integer(uniform: jax.Array, count: jax.Array | int) -> jax.Array:
    """A number in [0, 1) as an integer in 0 .. count-1."""
    return (uniform * count).astype(jnp.int32)


def _span(
    centre: jax.Array, length: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    """The part of centre -/+ length // 2 that lies in 0 .. size."""
    half = length // 2
    return jnp.maximum(centre - half, 0), jnp.minimum(centre + half, size)


def _interpolation(
    targets: jax.Array, start: jax.Array, length: jax.Array
) -> jax.Array:
    """Bilinear weights along one axis, [target, source] float32.

    A target pixel's centre, mapped into the window start .. start+length-1 and clamped
    to its edge pixels, lies between two sources at most; the weight falls linearly with
    the distance to them.
    """
    size = targets.shape[0]
    position = (targets + 0.5) * (length / size) - 0.5
    position = start + jnp.clip(position, 0, length - 1)
    distance = jnp.abs(position[:, None] - jnp.arange(size)[None, :])
    return jnp.maximum(0.0, 1.0 - distance)


def _resample(
    image_HWC: jax.Array, rows_HH: jax.Array, columns_WW: jax.Array
) -> jax.Array:
    """Applies interpolation matrices along both axes.

    Two matrix products are several times faster than gathers inside a compiled loop on
    CPU, with the channels before the width so that both products are plain ones. Full
    precision, because a teacher's label and a student's view must show the same image
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
