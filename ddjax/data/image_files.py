"""Images as PNG or JPEG files, all of the size that is wanted.

Letters: M images, H height, W width, K channels.
"""

import collections
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ddjax.data import source
from ddjax.errors import InputError

_OPTIONS = {"png": {}, "jpeg": {"quality": 75}}


def encode(image_HWK: np.ndarray, file_format: str) -> bytes:
    """Make a file of an image.

    Args:
      image_HWK: [H,W,K] uint8, K 1 or 3.
      file_format: "png", which keeps every pixel, or "jpeg", of quality 75 as the files
        of most published image sets.

    Returns:
      The file's content.
    """
    from PIL import Image

    pixels = image_HWK[..., 0] if image_HWK.shape[-1] == 1 else image_HWK
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **_OPTIONS[file_format])
    return file.getvalue()


def read(
    open_file: Callable[[int], Any],
    count: int,
    shape: tuple[int, int, int],
    resize: bool,
    describe: Callable[[int], str],
    where: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read images that must have one shape.

    Args:
      open_file: position -> path or binary file object of a PNG or JPEG image.
      count: M, at least 1.
      shape: (H, W, K) that is wanted, K 1 or 3.
      resize: whether images of another size are brought to it.
      describe: position -> what the image is called in messages.
      where: what all of them are called in messages.

    Returns:
      Images [M,H,W,K] uint8, and remarks: on sizes, on colour that became grey or grey
      that became colour, on transparency, which is dropped.

    Raises:
      InputError: an image is damaged, has another size and `resize` is not set, or the
        source's images have neither one nor three channels.
    """
    if shape[2] not in (1, 3):
        raise InputError(
            f"{where}: the source's images have {shape[2]} channels, allowed is 1 or "
            "3: there are no other PNG or JPEG images"
        )
    sizes, modes = collections.Counter(), collections.Counter()
    for position in range(count):
        with source.opened(open_file(position), describe(position)) as image:
            sizes[image.height, image.width] += 1
            modes[image.mode] += 1
    notes = check_sizes(sizes, shape, resize, where)
    grey = sum(modes[mode] for mode in ("1", "L", "LA"))
    if shape[2] == 1 and grey < count:
        notes += (f"{count - grey} of {count} images have colour and were made grey",)
    if shape[2] == 3 and grey:
        notes += (f"{grey} of {count} images are grey and were given three channels",)
    clear = sum(number for mode, number in modes.items() if mode in ("LA", "RGBA"))
    if clear:
        notes += (f"the transparency of {clear} of {count} images was dropped",)

    def read_image(position: int) -> np.ndarray:
        return source.decode(open_file(position), shape[2], describe(position))

    image_size = None if set(sizes) == {shape[:2]} else shape[0]
    return source.gather(read_image, count, image_size, describe), notes


def check_sizes(
    sizes: Mapping[tuple[int, int], int],
    shape: tuple[int, int, int],
    resize: bool,
    where: str,
) -> tuple[str, ...]:
    """Refuse images of another size, or remark that they are resized.

    Args:
      sizes: (height, width) -> how many images have it.
      shape: (H, W, K) that is wanted.
      resize: whether other sizes are accepted, to be brought to H by W.
      where: what the images are called in messages.

    Returns:
      A remark if some images have another size, otherwise none.

    Raises:
      InputError: some have and `resize` is not set, or H and W differ: only squares can
        be made.
    """
    height, width = shape[:2]
    others = {size: count for size, count in sizes.items() if size != (height, width)}
    if not others:
        return ()
    found = ", ".join(f"{count} of {h} x {w}" for (h, w), count in others.items())
    wanted = f"{height} x {width} (height x width)"
    if not resize:
        raise InputError(
            f"{where}: found images of another size: {found}, expected {wanted}, as "
            "the source's; resize=True brings them to it"
        )
    if height != width:
        raise InputError(
            f"{where}: found images of another size: {found}, and only squares can be "
            f"made by resize=True, not {wanted}"
        )
    return (f"images of another size ({found}) were brought to {wanted}",)
