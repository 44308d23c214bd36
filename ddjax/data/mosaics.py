"""Multi-formation: an image is a mosaic of smaller ones, each of which students have.

Letters: M images, F factor, H W image, s a tile's side, K channels.
"""

import jax
import jax.numpy as jnp
import numpy as np

GREY = 127.5  # of 0..255, with which IDC pads what the factor does not divide


def decoded(
    images_MHWK: jax.Array | np.ndarray, factor: int, padding: jax.Array | float
) -> jax.Array:
    """Cuts images into tiles, each enlarged to the size of an image.

    Args:
      images_MHWK: [M,H,W,K] float32.
      factor: F; an image has F x F tiles; 1: images stay what they are. Static.
      padding: [K] float32 or a number, the colour that is added below and to the right
        where F does not divide a side.

    Returns:
      [M*F*F,H,W,K] float32: an image's tiles row by row, then the next image's.
      Bilinear, with pixel centres at halves and edges continued; gradients flow
      through it without gathers.

    Source: Kim et al., "Dataset Condensation via Efficient Synthetic-Data
    Parameterization", arXiv 2205.14959; snu-mllab/Efficient-Dataset-Condensation,
    condense.py, `decode_zoom`, which gives all images' first tiles first.
    """
    images_MHWK = jnp.asarray(images_MHWK)
    if factor == 1:
        return images_MHWK
    count, height, width, channels = images_MHWK.shape
    tall, wide = -(-height // factor), -(-width // factor)
    sides = (0, tall * factor - height), (0, wide * factor - width)
    missing = jnp.zeros((1, 1, 1, channels)) + jnp.reshape(padding, (1, 1, 1, -1))
    there = jnp.pad(jnp.ones((height, width)), sides)[None, :, :, None]
    padded = jnp.pad(images_MHWK, ((0, 0), *sides, (0, 0)))
    tiles = jnp.where(there > 0, padded, missing)
    tiles = tiles.reshape(count, factor, tall, factor, wide, channels)
    large = jnp.einsum(
        "ys,xt,mfsgtk->mfgyxk", _enlarged(tall, height), _enlarged(wide, width), tiles
    )
    return large.reshape(-1, height, width, channels)


def mosaic(images: np.ndarray, factor: int) -> np.ndarray:
    """Makes mosaics of small copies of images.

    Args:
      images: [M,F*F,H,W,K], those of each mosaic, row by row.
      factor: F.

    Returns:
      [M,H,W,K] of the images' dtype. Copies are taken pixel by pixel, the nearest
      below; where F does not divide a side, the first tiles are a pixel larger.

    Source: as `decoded`, `Synthesizer.init` with "mix".
    """
    height, width = images.shape[2:4]
    rows, columns = (_nearest(side, factor) for side in (height, width))
    found = np.empty_like(images[:, 0])
    bounds = [np.cumsum([0, *map(len, places)]) for places in (rows, columns)]
    for place in range(factor**2):
        i, j = divmod(place, factor)
        area = slice(*bounds[0][i : i + 2]), slice(*bounds[1][j : j + 2])
        found[:, *area] = images[:, place][:, rows[i]][:, :, columns[j]]
    return found


def _enlarged(small, large):
    """[large,small] float32, what each pixel of an axis gives to each larger one."""
    centres = (np.arange(large) + 0.5) * small / large - 0.5
    centres = centres.clip(0, small - 1)
    weights = 1 - np.abs(centres[:, None] - np.arange(small))
    return np.maximum(weights, 0).astype(np.float32)


def _nearest(side, factor):
    """For each tile along an axis the pixels that it takes."""
    lengths = [side // factor + (i < side % factor) for i in range(factor)]
    return [np.arange(n) * side // n for n in lengths]
