"""Image sets as arrays for others: .npz, and the .pt files of DC and MTT.

Letters: M images, H height, W width, K channels, C classes.
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import torch_files
from ddjax.artifacts import write_file

_LEAST = 1e-12  # of a probability, whose logarithm is a logit


@dataclasses.dataclass(frozen=True)
class Rounding:
    """What rounding images to 8 bits changes, in levels: 1/255 of black to white.

    Attributes:
      largest: change of a number.
      mean: change, the average of all numbers.
      clipped: share of the numbers that lie more than half a level outside of 0..255.
    """

    largest: float
    mean: float
    clipped: float


def rounded(images_MHWK: np.ndarray) -> np.ndarray:
    """Returns images as levels of 8 bits.

    Args:
      images_MHWK: [M,H,W,K] uint8, or floats on the scale 0..255, which are rounded
        to the nearest level, a tie to the even one; what lies outside is clipped.
    """
    if images_MHWK.dtype == np.uint8:
        return images_MHWK
    return np.rint(images_MHWK).clip(0, 255).astype(np.uint8)


def rounding(images_MHWK: np.ndarray) -> Rounding:
    """Returns what `rounded` changes.

    Args:
      images_MHWK: [M,H,W,K] uint8, or finite floats on the scale 0..255.
    """
    change = abs(rounded(images_MHWK) - images_MHWK.astype(np.float64))
    beyond = (images_MHWK < -0.5) | (images_MHWK > 255.5)
    return Rounding(float(change.max()), float(change.mean()), float(beyond.mean()))


def write_npz(
    path: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    classes: Sequence[str],
    soft_MC: np.ndarray | None = None,
    learning_rate: float | None = None,
) -> None:
    """Write images, labels, class_names and what else there is.

    Floats have an array `scale`, 255, their number for white. The file is whole or not
    there.

    Args:
      path: the file, of suffix ".npz".
      images_MHWK: [M,H,W,K] uint8, or float32 on the scale 0..255.
      labels_M: [M] integers.
      classes: class names in label order.
      soft_MC: [M,C] soft labels, or None.
      learning_rate: learned, or None.
    """
    arrays: dict[str, Any] = {
        "images": images_MHWK,
        "labels": labels_M.astype(np.int32),
        "class_names": np.array(list(classes), dtype=str),
    }
    if images_MHWK.dtype != np.uint8:
        arrays["scale"] = np.float32(255)
    if soft_MC is not None:
        arrays["soft_labels"] = soft_MC.astype(np.float32)
    if learning_rate is not None:
        arrays["learning_rate"] = np.float64(learning_rate)
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_file(path, file.getvalue())


def write_dc(
    path: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write {"data": [[images, labels]], "accs_all_exps": {}} as DC, DSA and DM do.

    Args:
      path: the file, of suffix ".pt".
      images_MHWK: [M,H,W,K] uint8, or float32 on the scale 0..255; written as
        [M,K,H,W] float32, normalised.
      labels_M: [M] integers; written as int64, class after class.
      mean, std: [K] in [0, 1] units, by which images are normalised.
    """
    order = np.argsort(labels_M, kind="stable")
    images = _normalised(images_MHWK[order], mean, std)
    pair = [images, labels_M[order].astype(np.int64)]
    torch_files.write(path, {"data": [pair], "accs_all_exps": {}})


def write_mtt(
    folder: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    soft_MC: np.ndarray | None = None,
    learning_rate: float | None = None,
) -> None:
    """Write images_best.pt, labels_best.pt and lr_best.pt as MTT and DATM do.

    Args:
      folder: an empty folder.
      images_MHWK, labels_M, mean, std: see `write_dc`.
      soft_MC: [M,C] soft labels, written as logits, their logarithms; None: labels are.
      learning_rate: learned; None: there is no such file.
    """
    order = np.argsort(labels_M, kind="stable")
    labels = labels_M[order].astype(np.int64)
    if soft_MC is not None:
        labels = np.log(np.maximum(soft_MC[order], _LEAST)).astype(np.float32)
    images = _normalised(images_MHWK[order], mean, std)
    torch_files.write(folder / "images_best.pt", images)
    torch_files.write(folder / "labels_best.pt", labels)
    if learning_rate is not None:
        torch_files.write(folder / "lr_best.pt", np.array(learning_rate, np.float32))


def _normalised(images_MHWK, mean, std):
    """[M,K,H,W] float32."""
    values = (images_MHWK.astype(np.float64) / 255 - mean) / std
    return np.moveaxis(values, 3, 1).astype(np.float32)
