"""Cutout: a square of an image has the mean colour.

Letters: H W image height and width, C channels.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.augment.recipe import CUTOUT, Cutout, to_integer, view_key


def draw_cutout(
    cutout: Cutout,
    seed: jax.Array,
    epoch: jax.Array,
    example_id: jax.Array,
    height: int,
    width: int,
) -> jax.Array:
    """Draws which pixels are cut out.

    The square's centre is uniform over the pixels, and what lies outside the image is
    lost: half of a large square may be.

    Args:
      cutout: its side.
      seed, epoch, example_id: [] int32.
      height, width: of the image, in pixels; static.

    Returns:
      [2,2] int32, (first, last + 1) row and column; they may lie outside the image.

    Source: DeVries and Taylor, arXiv 1708.04552, as justincui03/dc_benchmark has it
      (evaluator/evaluator_utils.py, class Cutout): an odd side loses a pixel. There all
      images of a batch have the same square, here each its own.
    """
    places = jax.random.uniform(view_key(CUTOUT, seed, epoch, example_id), (2,))
    centre = to_integer(places, np.array([height, width]))
    half = cutout.side // 2
    return jnp.stack([centre - half, centre + half], axis=1)


def apply_cutout(cutout: Cutout, box: jax.Array, image_HWC: jax.Array) -> jax.Array:
    """Gives the pixels of a box the mean colour, which is 0 once they are normalised.

    Args:
      cutout: the mean colour.
      box: [2,2] int32, of `draw_cutout`.
      image_HWC: [H,W,C] float32 in [0, 255].

    Returns:
      [H,W,C] float32 in [0, 255].
    """
    y = jnp.arange(image_HWC.shape[0])[:, None, None]
    x = jnp.arange(image_HWC.shape[1])[None, :, None]
    (y0, y1), (x0, x1) = box
    inside = (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)
    mean_11C = 255 * np.array(cutout.mean, np.float32).reshape(1, 1, -1)
    return jnp.where(inside, mean_11C, image_HWC)
