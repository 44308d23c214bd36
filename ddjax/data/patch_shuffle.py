"""Patch shuffle: strips of an image change places, so that its patches do.

The image is cut in equal strips of columns, which are permuted, and in equal strips of
rows, which are permuted too. Where pixels go is all that is computed here: `render`
moves them while it crops and mirrors.

Letters: F strips along an axis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.data.recipe import SHUFFLE, Recipe, view_key


class Strips(NamedTuple):
    """Where the strips of an image go.

    Attributes:
      rows, columns: [F] int32, permutations of 0 .. F-1: the place among the strips
        that each one takes, counted from the top and from the left.
    """

    rows: jax.Array
    columns: jax.Array


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
