"""Whether images of a file are ZCA-whitened, and the whitening of a source.

Letters: M images, N training images, H height, W width, K channels.
"""

import numpy as np

from ddjax.data import zca
from ddjax.data.source import Source
from ddjax.errors import InputError

_SAMPLE = 500  # training images for a suspicion
_LEAST = 0.6  # of the normalised images' deviation, above which there is none
_BLOCKS = 64  # px; FRePo whitens larger images in blocks


def undone(
    images_MHWK: np.ndarray, source: Source | None, frepo: bool, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turns whitened images back into pixels.

    Args:
      images_MHWK: [M,H,W,K] floats, whitened.
      source: to whose training images the whitening is fitted.
      frepo: the whitening is FRePo's, else that of MTT, TESLA and DATM.
      where: what has the images, for messages.

    Returns:
      [M,H,W,K] float32 on the scale 0..255, and a remark.

    Raises:
      InputError: there is no source, or its images have another shape.
    """
    if source is None:
        raise InputError(
            f"{where}: images are ZCA-whitened, and undoing that takes the training "
            "images: source=SOURCE gives them"
        )
    if images_MHWK.shape[1:] != source.shape:
        raise InputError(
            f"{where}: ZCA-whitened images have shape {list(images_MHWK.shape[1:])}, "
            f"expected the source's {list(source.shape)}: they cannot be resized before"
        )
    if frepo and source.shape[0] > _BLOCKS:
        raise InputError(
            f"{where}: images of {source.shape[0]} px, which FRePo whitens in blocks; "
            f"allowed are at most {_BLOCKS} px"
        )
    images = source.train.images
    if frepo:
        fitted = zca.fit(images, zca.FREPO, source.mean, source.std, relative=True)
    else:
        fitted = zca.fit(images)
    kind = "FRePo's, of normalised images" if frepo else "that of MTT, of [0, 1]"
    return fitted.unwhiten(images_MHWK), (
        f"images were learned after ZCA whitening ({kind}) and were brought back to "
        f"pixels by that of {source.name} (digest {fitted.digest}); students are "
        "trained on pixels, not on whitened images",
    )


def suspicion(numbers_MHWK: np.ndarray, source: Source) -> tuple[str, ...]:
    """Returns a remark if numbers are more like whitened images than normalised ones.

    Whitened images have a smaller deviation and neighbours that differ more. Compared
    are the logarithm of the deviation and the correlation of neighbours in a row, with
    those of training images, normalised and whitened as MTT does.

    Args:
      numbers_MHWK: [M,H,W,K] floats of the source's shape, as the file has them.
      source: whose training images they are compared with.
    """
    count = len(source.train)
    positions = np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)
    sample = np.asarray(source.train.take(positions).images[:])
    normal = (sample / 255 - source.mean) / source.std
    found, plain = _moments(numbers_MHWK), _moments(normal)
    if found[0] > plain[0] + np.log(_LEAST) or found[1] >= plain[1]:
        return ()
    white = _moments(_whitened(sample / 255))
    to_plain, to_white = (np.hypot(*(found - other)) for other in (plain, white))
    if to_white > to_plain / 2:
        return ()
    return (
        f"images have a deviation of {np.exp(found[0]):.2g} and neighbours that "
        f"correlate by {found[1]:.2g}, nearer to ZCA-whitened images of the source "
        f"({np.exp(white[0]):.2g}, {white[1]:.2g}) than to normalised ones "
        f"({np.exp(plain[0]):.2g}, {plain[1]:.2g}): if they were learned after "
        "whitening, '#zca' behind the path undoes it",
    )


def _whitened(values_NHWK: np.ndarray) -> np.ndarray:
    """A sample whitened by itself, by its images' products instead of all numbers'."""
    count = len(values_NHWK)
    values_ND = values_NHWK.reshape(count, -1)
    values_ND = values_ND - values_ND.mean(axis=0)
    squares, vectors = np.linalg.eigh(values_ND @ values_ND.T / max(count - 1, 1))
    shrunk = (np.maximum(squares, 0) + zca.KORNIA) ** -0.5
    return ((vectors * shrunk) @ vectors.T @ values_ND).reshape(values_NHWK.shape)


def _moments(values_MHWK: np.ndarray) -> np.ndarray:
    """Logarithm of the deviation, and correlation of neighbours in a row."""
    values = values_MHWK - values_MHWK.mean(axis=(0, 1, 2), dtype=np.float64)
    left, right = values[:, :, :-1], values[:, :, 1:]
    spread = np.sqrt((left**2).mean() * (right**2).mean()) or 1.0
    return np.array([np.log(values.std() or 1e-9), (left * right).mean() / spread])
