"""Encoded images to small squares, as fast as one core can.

Letters: S side of the square, C channels.
"""

import io

import numpy as np

from ddjax.data import source

# What the pixels depend on beside the file; a change of it changes every digest.
RULE = "libjpeg-turbo scaled to at least the size, bilinear or area to it; 2"


def decode(data: bytes, size: int, num_channels: int, where: str) -> np.ndarray:
    """Decode an image to a square.

    Nothing is cropped, whatever the proportions. A JPEG is decoded at the smallest of
    libjpeg's scales (eighths of the full size) that is at least `size` on both sides,
    which spares most of the work on a large image. OpenCV then brings it to the square:
    bilinear with integers where a side at most halves, else the mean of areas. The same
    bytes give the same pixels, always.

    An image that has the size already is decoded to the very pixels that are loaded
    into memory, with two exceptions, both JPEG. One in CMYK differs by up to 2 of 255
    levels: libjpeg and Pillow, which reads images into memory, turn it into RGB by
    different arithmetic. One in colour that is asked for in grey is its luma here, and
    the grey of its RGB pixels there: the same, but where these were cut off at 0 or
    255, by up to 15 levels in pure noise. Others differ from `source.resize`, the exact
    mean of areas, which is ten to twenty times slower: at 224 pixels from 500x375 by
    0.4 (smooth) to 6 (much grain) of 255 levels on average.

    Args:
      data: a JPEG, PNG, BMP or WebP file. Grey, CMYK and palette images become what
        `num_channels` says; transparency is dropped.
      size: S, pixels per side.
      num_channels: C, 1 for grey, 3 for RGB.
      where: what the image is called in messages.

    Returns:
      [S,S,C] uint8.

    Raises:
      InputError: of another format, damaged, truncated, or of another depth.
    """
    pixels = None
    if data[:2] == b"\xff\xd8":
        import simplejpeg

        space = "GRAY" if num_channels == 1 else "RGB"
        try:
            pixels = simplejpeg.decode_jpeg(
                data, space, min_height=size, min_width=size
            )
        except ValueError:  # flawed: Pillow forgives more and says why not
            pixels = None
    if pixels is None:
        pixels = source.decode(io.BytesIO(data), num_channels, where)
    return _square(pixels, size)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    height, width, num_channels = pixels.shape
    if height == width == size:
        return pixels
    import cv2

    shrinks = max(height, width) > 2 * size
    rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT
    square = cv2.resize(pixels, (size, size), interpolation=rule)
    return square.reshape(size, size, num_channels)
