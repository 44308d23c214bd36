"""Multi-formation: a stored image that is a mosaic of smaller ones, each used whole.

Letters: M images, H height, W width, K channels, F factor.
"""

import numpy as np

from ddjax.declare.walk import require

_GREY = 127.5  # with which IDC pads what the factor does not divide


def expand(images_MHWK: np.ndarray, factor: int) -> np.ndarray:
    """Cuts each image into tiles and enlarges every tile to the image's size.

    Args:
      images_MHWK: [M,H,W,K] numbers on the scale 0..255.
      factor: F; an image has F x F tiles, each of the next whole number of pixels.

    Returns:
      [F*F*M,H,W,K] float32, all images' first tiles, then their second ones and so on,
      row by row, so that labels are repeated with `np.tile(labels, F * F)`. Tiles are
      enlarged bilinearly, with pixel centres at halves and edges continued.

    Raises:
      InputError: images are not square, or smaller than the factor.

    Source: "Dataset Condensation via Efficient Synthetic-Data Parameterization", ICML
    2022, section 4; snu-mllab/Efficient-Dataset-Condensation (test.py, decode_zoom:
    the order, the padding, `Upsample` of mode bilinear), as LINs-lab/CIM has it.
    """
    height, width = images_MHWK.shape[1:3]
    require(height == width, "images", (height, width), "square images for a factor")
    require(factor <= height, "factor", factor, f"at most {height}, the images' size")
    side = -(-height // factor)
    missing = side * factor - height
    padded = np.pad(
        images_MHWK.astype(np.float32),
        ((0, 0), (0, missing), (0, missing), (0, 0)),
        constant_values=_GREY,
    )
    weights = _bilinear(side, height)
    tiles = [
        padded[:, row : row + side, column : column + side]
        for row in range(0, side * factor, side)
        for column in range(0, side * factor, side)
    ]
    return np.einsum(
        "hs,mstk,wt->mhwk", weights, np.concatenate(tiles), weights, optimize=True
    )


def _bilinear(size: int, wanted: int) -> np.ndarray:
    """[wanted, size] float32, how much of each pixel is in each new one."""
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    centres = centres.clip(0, size - 1)
    weights = np.maximum(0, 1 - abs(centres[:, None] - np.arange(size)))
    return weights.astype(np.float32)
