"""How like a source's images those of a set are, by their channels' moments.

Letters: M images, H height, W width, K channels.
"""

from collections.abc import Sequence

import numpy as np

_LEAST = 0.02  # of the range of pixels, by which channels must differ to be told apart
_DEVIATIONS = 3.0  # of a mean, beyond which it is none of chance
_FEWEST = 8  # images, with fewer of which nothing is said


def remarks(
    images_MHWK: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> tuple[str, ...]:
    """What looks as if the channels or the levels were not the source's.

    Args:
      images_MHWK: [M,H,W,K] uint8, a set.
      mean: [K] of the source's pixels in [0, 1].
      std: [K] as mean.

    Returns:
      A remark for each suspicion; synthetic images may have such moments rightly.
    """
    if len(images_MHWK) < _FEWEST:
        return ()
    means_MK = images_MHWK.mean(axis=(1, 2), dtype=np.float64) / 255
    found, wanted = means_MK.mean(axis=0), np.asarray(mean)
    shown = f"means {_listed(found)}, the source's {_listed(wanted)}"
    if len(wanted) == 3:
        difference_M = means_MK[:, 0] - means_MK[:, 2]
        error = difference_M.std() / np.sqrt(len(difference_M))
        ours, theirs = difference_M.mean(), wanted[0] - wanted[2]
        clear = abs(ours) > max(_LEAST / 2, _DEVIATIONS * error)
        if abs(theirs) > _LEAST and clear and ours * theirs < 0:
            return (
                f"red and blue look exchanged, as where BGR was saved as RGB: {shown}",
            )
    if abs(1 - found - wanted).max() < abs(found - wanted).min() / 4:
        return (f"black and white look exchanged: {shown}",)
    if (abs(found - wanted) > 2 * np.asarray(std)).any():
        return (f"levels are far from the source's: {shown}",)
    return ()


def _listed(values):
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
