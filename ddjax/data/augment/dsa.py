"""DSA, the augmentation of dataset condensation: one random operation a view.

The operation is drawn among colour, crop, cutout, flip, scale and rotation. To be fast
when there are many views at once, the draw is turned into numbers for all of them, of
which those that were not drawn change nothing: one map of coordinates, one change of
colours and one box.

Letters: H W image height and width, C channels.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment.recipe import DSA, Dsa, to_integer, view_key

_BRIGHTNESS = 1.0  # width of what is added, around 0
_SATURATION = 2.0  # largest factor; the smallest is 0
_CONTRAST = 0.5  # smallest factor; the largest is 1 more
_CROP = 0.125  # largest shift, a fraction of the side
_CUTOUT = 0.5  # of the side
_FLIP = 0.5  # probability
_SCALE = 1.2  # largest factor; the smallest is its inverse
_ROTATION = 15.0  # degrees either way


class DsaDraw(NamedTuple):
    """What DSA does to one view.

    Attributes:
      matrix: [2,2] float32, maps a place in the view to its place in the image, (y, x)
        from the centre.
      shift: [2] float32, added to that, in pixels.
      colour: [3] float32: added brightness, factor of saturation, factor of contrast.
      box: [2,2] int32, (first, last + 1) row and column of what is cut out.
    """

    matrix: jax.Array
    shift: jax.Array
    colour: jax.Array
    box: jax.Array


def draw_dsa(
    dsa: Dsa,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> DsaDraw:
    """Draws one operation and its parameters.

    Args:
      dsa: the operations.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Source: VICO-UoE/DatasetCondensation, utils.py, ParamDiffAug and DiffAugment with
      its mode "S", which DC, DSA, DM and MTT train their students with: operations and
      constants. Deviations: they draw one operation a batch and its parameters for
      each image; here an image draws its operation too, so that a view does not depend
      on its batch. On images that are not square, theirs shears where it rotates.
    """
    numbers = jax.random.uniform(view_key(DSA, seed, epoch, example_id), (4,))
    chosen = to_integer(numbers[0], len(dsa.operations))
    return drawn_dsa(dsa, chosen, numbers[1:], height, width)


def drawn_dsa(
    dsa: Dsa, chosen: jax.Array, numbers: jax.Array, height: int, width: int
) -> DsaDraw:
    """Turns what was drawn into the parameters of all operations.

    Args:
      dsa: the operations.
      chosen: [] int32, which of them; the others' parameters change nothing.
      numbers: [3] float32 in [0, 1).
      height, width: of the image, in pixels; static.
    """

    def where(name, then, neutral):
        if name not in dsa.operations:
            return neutral
        return jnp.where(chosen == dsa.operations.index(name), then, neutral)

    sides = np.array([height, width])
    matrix = jnp.eye(2)
    mirror = jnp.where(numbers[0] < _FLIP, -1.0, 1.0)
    matrix = where("flip", jnp.diag(jnp.stack([1.0, mirror])), matrix)
    scales = 1 / _SCALE + (_SCALE - 1 / _SCALE) * numbers[:2]
    matrix = where("scale", jnp.diag(scales), matrix)
    angle = math.radians(_ROTATION) * (2 * numbers[0] - 1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.stack([cos, sin, -sin, cos]).reshape(2, 2)
    matrix = where("rotate", turn, matrix)

    most = np.floor(_CROP * sides + 0.5).astype(int)
    shift = to_integer(numbers[:2], 2 * most + 1) - most
    factors = jnp.stack(
        [
            _BRIGHTNESS * (numbers[0] - 0.5),
            _SATURATION * numbers[1],
            _CONTRAST + numbers[2],
        ]
    )
    lengths = np.floor(_CUTOUT * sides + 0.5).astype(int)
    first = to_integer(numbers[:2], sides + 1 - lengths % 2) - lengths // 2
    return DsaDraw(
        matrix,
        where("crop", shift.astype(jnp.float32), jnp.zeros(2)),
        where("color", factors, jnp.array([0.0, 1.0, 1.0])),
        where("cutout", jnp.stack([first, first + lengths], 1), jnp.zeros((2, 2), int)),
    )


def apply_dsa(dsa: Dsa, drawn: DsaDraw, image_HWC: jax.Array) -> jax.Array:
    """Applies the drawn operation.

    The literature applies DSA to normalised images: brightness is in standard
    deviations, saturation and contrast are about the means of normalised pixels, and
    what lies outside the image or is cut out has the mean colour. Here pixels are not
    normalised, and the numbers are scaled so that the result is the same.

    Args:
      dsa: the operations, and what pixels are normalised by.
      drawn: of `draw_dsa` with the same operations.
      image_HWC: [H,W,C] uint8 or float in [0, 255].

    Returns:
      [H,W,C] float32; a change of colour may leave [0, 255].
    """
    # Channels first: whatever follows runs along whole rows.
    image_CHW = jnp.moveaxis(image_HWC, 2, 0).astype(jnp.float32)
    mean_C11 = 255 * np.array(dsa.mean, np.float32).reshape(-1, 1, 1)
    std_C11 = 255 * np.array(dsa.std, np.float32).reshape(-1, 1, 1)
    shown_CHW = image_CHW
    if {"crop", "flip", "scale", "rotate"} & {*dsa.operations}:
        shown_CHW = _mapped(drawn, image_CHW, mean_C11)
    if "color" in dsa.operations:
        # The change is that of the image itself, which is mapped only where the change
        # is 0: XLA would else gather the mapped pixels once for each of their uses.
        normal_CHW = (image_CHW - mean_C11) / std_C11
        shown_CHW = shown_CHW + std_C11 * colour_change(drawn.colour, normal_CHW)
    if "cutout" in dsa.operations:
        y = jnp.arange(image_CHW.shape[1])[None, :, None]
        x = jnp.arange(image_CHW.shape[2])[None, None, :]
        (y0, y1), (x0, x1) = drawn.box
        inside = (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)
        shown_CHW = jnp.where(inside, mean_C11, shown_CHW)
    return jnp.moveaxis(shown_CHW, 0, 2)


def _mapped(drawn, image_CHW, fill_C11):
    """Samples the image where the map points, bilinear, `fill` all around it.

    A map of whole pixels, like the identity, changes no value.
    """
    channels, height, width = image_CHW.shape
    y = jnp.arange(height)[:, None] - (height - 1) / 2
    x = jnp.arange(width)[None, :] - (width - 1) / 2
    (yy, yx), (xy, xx) = drawn.matrix
    dy, dx = drawn.shift
    source_y = yy * y + yx * x + (dy + (height - 1) / 2)
    source_x = xy * y + xx * x + (dx + (width - 1) / 2)
    top, left = jnp.floor(source_y), jnp.floor(source_x)
    down, right = (source_y - top)[None], (source_x - left)[None]
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    outside = height * width
    pixels = jnp.concatenate(
        [image_CHW.reshape(channels, -1), fill_C11.reshape(channels, 1)], axis=1
    )

    def pixel(row, column):
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        at = jnp.where(inside, row * width + column, outside)
        return pixels.at[:, at].get(mode="promise_in_bounds")

    upper = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    lower = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return (1 - down) * upper + down * lower


def colour_change(colour, normal_CHW):
    """What brightness, saturation and contrast, one after the other, add to pixels.

    Written so that neutral numbers change nothing.
    """
    brightness, saturation, contrast = colour
    bright_CHW = normal_CHW + brightness
    grey_1HW = bright_CHW.mean(axis=0, keepdims=True)
    # A change of saturation leaves all greys, and so their mean, what they are.
    level_111 = grey_1HW.mean(keepdims=True)
    vivid_CHW = bright_CHW + (saturation - 1) * (bright_CHW - grey_1HW)
    return vivid_CHW + (contrast - 1) * (vivid_CHW - level_111) - normal_CHW
