"""Which pixels the numbers of a file are: 8-bit levels, or floats on their scale.

Letters: M images, H height, W width, K channels.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ddjax.errors import InputError

# By what others normalise; written as settings they name the channels' mean and std.
_KNOWN = {
    "values of -1 to 1": ((0.5,), (0.5,)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "MNIST's": ((0.1307,), (0.3081,)),
}


# The constants of DC, by the data set's name in a file of it, lower case.
DC = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashionmnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "tinyimagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
# Where MTT, TESLA and DATM differ from it.
MTT = DC | {"cifar100": DC["cifar10"], "tiny": DC["tinyimagenet"]}
MTT["imagenet"] = MTT["tiny"]
_WHOLE = 0.1  # of a level: what float16 and decimals lose
_LEARNED = 0.5  # of a learned set's numbers may lie outside of [0, 1]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How the numbers of a file are pixels.

    The pixel in [0, 1] is (number * std + mean) / scale.

    Attributes:
      mean: [K] by which numbers were normalised; None: they were not.
      std: [K] as mean.
      scale: of white; 0: 255 for uint8, 1 for floats.
      clip: share of the numbers, at most, that may lie outside.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    scale: float = 0.0
    clip: float = 0.005

    def learned(self) -> "Pixels":
        """Returns the same for pixels that were learned, half of which may lie outside.

        Images that started as noise do so: of N(0, 1) by MNIST's constants a third.
        """
        return dataclasses.replace(self, clip=max(self.clip, _LEARNED))


class Normalisation(NamedTuple):
    """By what a file may be normalised.

    Attributes:
      name: in messages.
      mean, std: [K], see `Pixels`.
    """

    name: str
    mean: Sequence[float]
    std: Sequence[float]


def to_pixels(
    images_MHWK: np.ndarray, pixels: Pixels, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn the numbers of a file into pixels.

    Floats are normalised, unless all of them lie between 0 and white, or mean and std
    are None.

    Args:
      images_MHWK: [M,H,W,K] numbers.
      pixels: how they are pixels.
      where: what has them, for messages.

    Returns:
      [M,H,W,K] uint8 where all are levels of 0..255 within a tenth, float32 on that
      scale and not rounded where they are not; and remarks on what was assumed.

    Raises:
      InputError: other integers than uint8 without a scale, numbers that are not
        finite, or more of them outside of [0, 1] than may be; the message has settings
        that make them fit.
    """
    kind, scale = images_MHWK.dtype, pixels.scale
    notes: tuple[str, ...] = ()
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
    check_finite(values, where)
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
    images, more = kept(values * np.float32(255 / white))
    share = outside(images)
    if share > pixels.clip:
        raise InputError(
            f"{where}: {notes[0]}: {lying(images)}, allowed are "
            f"{100 * pixels.clip:g} %{_advice(images_MHWK, low, high)}"
            f"; clip={_above(share)} accepts them"
        )
    return images, notes + more


def to_normalised(
    images_MHWK: np.ndarray,
    pixels: Pixels,
    known: Sequence[Normalisation],
    where: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn the numbers of a learned set, which are normalised, into pixels.

    Args:
      images_MHWK: [M,H,W,K] numbers.
      pixels: how they are pixels; its mean and std decide, if given.
      known: by what they may be normalised otherwise, the first that fits.
      where: what has them, for messages.

    Returns:
      As `to_pixels`.

    Raises:
      InputError: as `to_pixels`, or by no normalisation of `known` do half of the
        numbers lie in [0, 1]; the message names all of them.
    """
    if pixels.mean is not None:
        return to_pixels(images_MHWK, pixels.learned(), where)
    if not known or images_MHWK.dtype.kind != "f":
        return to_pixels(images_MHWK, pixels, where)
    check_finite(images_MHWK, where)
    reasons = []
    for name, mean, std in known:
        tried = dataclasses.replace(pixels, mean=mean, std=std).learned()
        try:
            images, notes = to_pixels(images_MHWK, tried, where)
        except InputError as error:
            shown = f"{name} (mean {_listed(mean)}, std {_listed(std)})"
            reasons.append((shown, error))
        else:
            taken = "taken as normalised" in notes[0]
            return images, (notes[0] + f": {name}" * taken, *notes[1:])
    raise InputError(
        f"{where}: images fit neither "
        f"{' nor '.join(shown for shown, _ in reasons)}, by which more than "
        f"{100 * _LEARNED:g} % of their values lie outside [0, 1]; mean=NUMBERS and "
        "std=NUMBERS, one for each channel, give what they were normalised with"
    ) from reasons[-1][1]


def kept(images_MHWK: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Keep images as levels of 8 bits if they are such, else as floats.

    Args:
      images_MHWK: [M,H,W,K] float32 on the scale 0..255.

    Returns:
      [M,H,W,K] uint8 or float32, and a remark on floats.
    """
    levels = np.rint(images_MHWK)
    whole = abs(levels - images_MHWK).max(initial=0) <= _WHOLE
    if whole and 0 <= levels.min(initial=0) and levels.max(initial=0) <= 255:
        return levels.astype(np.uint8), ()
    return images_MHWK, (
        f"images are no levels of 8 bits and were kept as floats; {lying(images_MHWK)}",
    )


def outside(images_MHWK: np.ndarray) -> float:
    """Returns the share of numbers more than half a level beyond 0..255."""
    beyond = (images_MHWK < -0.5) | (images_MHWK > 255.5)
    return float(beyond.mean()) if images_MHWK.size else 0.0


def lying(images_MHWK: np.ndarray) -> str:
    """Returns how many numbers lie outside, in words."""
    share, size = outside(images_MHWK), images_MHWK.size
    lie = f"{round(share * size)} of {size} values ({100 * share:.3g} %) lie"
    return f"{lie} outside [0, 1]"


def check_finite(images_MHWK: np.ndarray, where: str) -> None:
    """Refuse numbers that are not finite.

    Args:
      images_MHWK: [M,H,W,K] floats.
      where: what has them, for messages.

    Raises:
      InputError: as above; the message counts the images that have them.
    """
    bad = ~np.isfinite(images_MHWK).all(axis=(1, 2, 3))
    if bad.any():
        raise InputError(
            f"{where}: {bad.sum()} of {len(bad)} images have values that are not "
            f"finite, the first is at position {bad.argmax()}"
        )


def check_bits(images_MHWK: np.ndarray, where: str) -> None:
    """Refuse images of levels 0 to 1 of 0..255, which are black to the eye.

    Args:
      images_MHWK: [M,H,W,K] uint8 or float32 on the scale 0..255.
      where: what has them, for messages.

    Raises:
      InputError: as above; the message names the scale that fits them.
    """
    if 0 < images_MHWK.max() <= 1:
        raise InputError(
            f"{where}: all pixels of all images are 0 or 1 of the levels 0..255, or "
            "between, so that all is black; scale=1 takes uint8 of 1 as white"
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
            "; mean=NUMBERS and std=NUMBERS, one for each channel, give what they "
            "were normalised with"
        )
    return "".join(f"; {text}, by which they fit" for text in fits)


def _above(share):
    """A share, rounded up to the two decimals of a setting."""
    return f"{min(1.0, np.ceil(100 * share + 1e-9) / 100):.2f}"


def _listed(values):
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _flag(values):
    """Numbers as a flag takes them, without what a shell would read."""
    return ",".join(f"{value:.4g}" for value in values) + "," * (len(values) == 1)
