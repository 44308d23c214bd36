"""Pixels as levels of 0..255, from whatever numbers a file has.

Letters: M images, H height, W width, K channels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ddjax.errors import InputError

# By what others normalise; written as settings they name the channels' mean and std.
_KNOWN = {
    "values of -1 to 1": ((0.5,), (0.5,)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "MNIST's": ((0.1307,), (0.3081,)),
}


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How the numbers of a file are pixels.

    The pixel in [0, 1] is (number * std + mean) / scale.

    Attributes:
      mean: [K] by which numbers were normalised; None: they were not.
      std: [K] as mean.
      scale: of white; 0: 255 for uint8, 1 for floats.
      clip: share of the numbers, at most, that may lie outside and be clipped.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    scale: float = 0.0
    clip: float = 0.005


def to_levels(
    images_MHWK: np.ndarray, pixels: Pixels, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn the numbers of a file into levels.

    Floats are normalised, unless all of them lie between 0 and white, or mean and std
    are None.

    Args:
      images_MHWK: [M,H,W,K] numbers.
      pixels: how they are pixels.
      where: what has them, for messages.

    Returns:
      [M,H,W,K] uint8, and remarks on what was assumed.

    Raises:
      InputError: other integers than uint8 without a scale, numbers that are not
        finite, or more of them outside of [0, 1] than may be clipped; says what would
        make them fit.
    """
    kind, scale, notes = images_MHWK.dtype, pixels.scale, ()
    if kind.kind not in "biuf" or (kind != np.uint8 and kind.kind != "f" and not scale):
        raise InputError(
            f"{where}: images have dtype {kind}, expected uint8 or float; "
            f"scale={_white(images_MHWK)} takes {_white(images_MHWK)} as white"
        )
    if kind == np.uint8 and scale in (0, 255):
        if pixels.mean is not None:
            notes = ("images are levels of 0..255: mean and std were not used",)
        return images_MHWK, notes
    values = images_MHWK.astype(np.float32)
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values).all(axis=(1, 2, 3))
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} images have values that are not "
            f"finite, the first is at position {bad.argmax()}"
        )
    white = scale or 1.0
    low, high = float(values.min()), float(values.max())
    span = f"images have values of {low:.4g} to {high:.4g}"
    if pixels.mean is None or pixels.std is None or (low >= 0 and high <= white):
        notes = (f"{span}, taken as pixels in [0, {white:g}], not normalised",)
    else:
        mean, std = (np.asarray(m, np.float32) for m in (pixels.mean, pixels.std))
        values = values * std + mean
        notes = (
            f"{span}, taken as normalised by mean {_listed(mean)} and std "
            f"{_listed(std)}",
        )
    levels = np.rint(values / white * 255)
    outside = int(((levels < 0) | (levels > 255)).sum())
    if outside:
        share = outside / levels.size
        lay = f"{outside} of {levels.size} values ({100 * share:.3g} %) "
        if share > pixels.clip:
            raise InputError(
                f"{where}: {notes[0]}: {lay}would lie outside [0, 1] and be clipped, "
                f"allowed are {100 * pixels.clip:g} %{_advice(images_MHWK, low, high)}"
                f"; clip={_above(share)} clips them"
            )
        notes += (f"{lay}lay outside [0, 1] and were clipped",)
    return levels.clip(0, 255).astype(np.uint8), notes


def check_bits(images_MHWK: np.ndarray, where: str) -> None:
    """Refuse images of levels 0 and 1 of 0..255, which are black to the eye.

    Args:
      images_MHWK: [M,H,W,K] uint8.
      where: what has them, for messages.

    Raises:
      InputError: as above, and says which scale shows them.
    """
    if images_MHWK.max() == 1:
        raise InputError(
            f"{where}: all pixels of all images are 0 or 1 of the levels 0..255, so "
            "that all is black; scale=1 takes uint8 of 1 as white"
        )


def _white(images):
    """The white that numbers of a file suggest."""
    high = float(images.max()) if images.dtype.kind in "biuf" and images.size else 1.0
    for white in (1, 255, 65535):
        if white / 16 < high <= 1.02 * white:
            return white
    return float(f"{high:.4g}")


def _advice(images, low, high):
    """Settings with which the numbers would fit, in words."""
    if low >= 0:
        return f"; scale={_white(images)} takes {_white(images)} as white"
    fits = []
    for name, (mean, std) in _KNOWN.items():
        channels = images.shape[-1]
        if len(mean) not in (1, channels) or (name == "MNIST's" and channels > 1):
            continue
        mean, std = (np.broadcast_to(np.float32(m), channels) for m in (mean, std))
        bottom, top = -mean / std, (1 - mean) / std
        slack = 0.01 * (top - bottom)  # of files that were rounded
        inside = (images >= bottom - slack).all() and (images <= top + slack).all()
        wide = high - low > 0.6 * (top - bottom).min()  # or anything would fit
        if inside and wide:
            fits.append(f"mean={_flag(mean)} std={_flag(std)} are {name}")
    if not fits:
        return (
            "; mean=NUMBERS and std=NUMBERS, one for each channel, say by what they "
            "were normalised"
        )
    return "".join(f"; {text}, by which they fit" for text in fits)


def _above(share):
    """A share, rounded up to what a setting may say."""
    return f"{min(1.0, np.ceil(100 * share + 1e-9) / 100):.2f}"


def _listed(values):
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _flag(values):
    """Numbers as a flag takes them, without what a shell would read."""
    return ",".join(f"{value:.4g}" for value in values) + "," * (len(values) == 1)
