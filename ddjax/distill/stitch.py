"""Patches put together to images.

Letters: f patches a side of an image, n images, s a patch's side, S an image's side,
K channels.
"""

import numpy as np


def stitch(patches, factor: int, side: int) -> np.ndarray:
    """Puts n * f^2 patches together to n images of f x f cells.

    Cells are counted row by row, and the k-th group of n patches fills cell k of all
    images: with the best patch first, every image gets an equally good one of each
    rank. If f does not divide S, the first S % f rows and columns of cells are a pixel
    larger, and their patches are stretched to the nearest pixel.

    Args:
      patches: [n*f*f,s,s,K] of any dtype, s = S // f.
      factor: f, at least 1.
      side: S, pixels, at least f.

    Returns:
      [n,S,S,K] of the same dtype.

    Source: `mix_images` of LINs-lab/RDED.
    """
    size = side // factor
    lengths_f = size + (np.arange(factor) < side % factor)
    # For every row or column of an image: its cell, and which of a patch it shows.
    cell_S = np.repeat(np.arange(factor), lengths_f)
    line_S = np.concatenate([np.arange(n) * size // n for n in lengths_f])
    patches = np.asarray(patches)
    grid = patches.reshape(factor, factor, -1, *patches.shape[1:])
    images_SSnK = grid[cell_S[:, None], cell_S, :, line_S[:, None], line_S]
    return np.ascontiguousarray(np.moveaxis(images_SSnK, 2, 0))
