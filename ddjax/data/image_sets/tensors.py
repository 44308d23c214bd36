"""An image set as arrays: .npz, and the .pt files of the DC, DM and MTT family.

Letters: M images, H height, W width, K channels, C classes.
"""

import dataclasses
from pathlib import Path

import numpy as np

from ddjax.data.image_sets import layouts, whitened
from ddjax.data.image_sets.files import check_sizes
from ddjax.data.image_sets.layouts import Held, held_by
from ddjax.data.image_sets.pixels import (
    Normalisation,
    Pixels,
    check_finite,
    kept,
    to_normalised,
    to_pixels,
)
from ddjax.data.image_sets.suffix import Suffix
from ddjax.data.images import resize as resize_images
from ddjax.data.source import Source
from ddjax.declare.walk import require
from ddjax.errors import InputError

__all__ = ["SUFFIXES", "held_by", "read"]

SUFFIXES = (".npz", ".pt", ".pth")


def read(
    path: Path,
    num_classes: int,
    shape: tuple[int, int, int],
    pixels: Pixels,
    resize: bool,
    suffix: Suffix,
    source: Source | None,
) -> Held:
    """Read images and labels from arrays.

    ".npz" is described at `layouts.read_npz`. ".pt" or ".pth" is what `torch.save`
    wrote; only tensors are read, so it can run no code:

    - {"data": [[images, labels], ...]}, one pair an experiment: DC, DSA, DM, CAFE,
      DataDAM. The last is taken, as DC-BENCH does, or the one that the suffix names.
    - images_best.pt beside labels_best.pt and lr_best.pt: MTT, TESLA, DATM, or
      images_best_0.pt and so on, which are parts of one set; images.pt beside
      labels.pt: DD-Ranking; NAME_images.pt beside NAME_labels.pt: DC-BENCH. One of
      these or the folder of the first three is PATH. Without the labels, images are
      class after class, as DD-Ranking takes them.
    - [images, labels], in [0, 1]: IDC; {"data": images, "label": labels, "dataset":
      name}: CIM; both with a factor of multi-formation as a suffix.

    Images of .pt files are [M,K,H,W]. Those of DC's and MTT's family are normalised: by
    `pixels`, or by the constants of those projects for the data set that the file or
    its folders name, or by the source's moments, the first of them by which half of
    the numbers lie in [0, 1]. Floats that all lie between 0 and 1 are pixels even so.

    Args:
      path: the file, or the folder of .pt files.
      num_classes: C of the source.
      shape: (H, W, K) of the source's images.
      pixels: how the file's numbers are pixels.
      resize: whether images of another size are brought to it.
      suffix: what is stated of the file.
      source: for its moments and for undoing ZCA whitening; None: neither.

    Returns:
      What the file holds: images [M,H,W,K], uint8 or float32 on the scale 0..255;
      labels by name, of which `labels` may be soft; remarks on what was assumed.

    Raises:
      InputError: the file is missing, damaged, of another layout or holds more than
        tensors, or images have another shape or kind, see `to_pixels`.

    Source: layouts as written by VICO-UoE/DatasetCondensation (main.py, main_DM.py,
    utils.py for the constants), GeorgeCazenavette/mtt-distillation (distill.py,
    utils.py, whose CIFAR-100 has CIFAR-10's constants), NUS-HPC-AI-Lab/DATM (DATM.py),
    snu-mllab/Efficient-Dataset-Condensation (test.py), LINs-lab/CIM (condense.py),
    yongchao97/FRePo (datadistillation/utils.py) and read by justincui03/dc_benchmark
    (data_loader) and NUS-HPC-AI-Lab/DD-Ranking (demo_soft.py, hard_label_eval.py).
    MTT's images_zca_*.pt were turned back by it and never normalised.
    """
    if path.suffix == ".npz":
        held = layouts.read_npz(path, suffix)
    else:
        held = layouts.read_torch(path, num_classes, suffix)
    if held.scale and not pixels.scale and held.images.dtype.kind == "f":
        # The file states what its numbers are, wherever learned pixels lie.
        pixels = Pixels(scale=held.scale, clip=1.0)
    where = str(path)
    images_MHWK, notes = _channels_last(held.images, held.channel_axis, shape, path)
    notes = held.notes + notes
    images_MHWK, more = _pixels(images_MHWK, held, pixels, source, where)
    notes += more
    labels = held.labels
    if suffix.factor > 1:
        # Here, since it imports JAX, which reading needs for nothing else.
        from ddjax.data.mosaics import GREY, decoded

        tiles, side = suffix.factor**2, min(images_MHWK.shape[1:3])
        allowed = f"at most {side}, the pixels of an image's side"
        require(suffix.factor <= side, f"{path} factor", suffix.factor, allowed)
        small = images_MHWK.astype(np.float32)
        images_MHWK = np.asarray(decoded(small, suffix.factor, GREY))
        labels = {
            name: array if name == "class_names" else np.repeat(array, tiles, axis=0)
            for name, array in labels.items()
        }
        notes += (
            f"each image was divided into {tiles} of its size, by "
            f"#factor={suffix.factor}",
        )
    size = images_MHWK.shape[1:3]
    notes += check_sizes({size: len(images_MHWK)}, shape, resize, where)
    if size != shape[:2]:
        images_MHWK = resize_images(images_MHWK, shape[0])
    return dataclasses.replace(held, images=images_MHWK, labels=labels, notes=notes)


def _pixels(
    images_MHWK: np.ndarray,
    held: Held,
    pixels: Pixels,
    source: Source | None,
    where: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images on the scale 0..255, and remarks."""
    match held.space:
        case "unnormalised":
            plain = dataclasses.replace(pixels, mean=None, std=None).learned()
            return to_pixels(images_MHWK, plain, where)
        case "whitened" | "frepo":
            if images_MHWK.dtype.kind != "f":
                raise InputError(
                    f"{where}: images have dtype {images_MHWK.dtype}, expected floats, "
                    "as ZCA-whitened images are"
                )
            check_finite(images_MHWK, where)
            frepo = held.space == "frepo"
            images, notes = whitened.undone(images_MHWK, source, frepo, where)
            images, more = kept(images)
            return images, notes + more
        case "normalised":
            channels = images_MHWK.shape[3]
            known = []
            if held.constants is not None and len(held.constants[1]) == channels:
                name, mean, std = held.constants
                known.append(Normalisation(f"the constants of {name}", mean, std))
            if source is not None:
                name = f"the moments of {source.name}"
                known.append(Normalisation(name, source.mean, source.std))
            images, notes = to_normalised(images_MHWK, pixels, known, where)
            floats = images.dtype == np.float32 and pixels.mean is None
            if floats and source is not None and images.shape[1:] == source.shape:
                notes += whitened.suspicion(images_MHWK, source)
            return images, notes
    return to_pixels(images_MHWK, pixels, where)


def _channels_last(images, channel_axis, shape, path):
    if images.ndim == 3 and shape[2] == 1:
        return images[..., None], ()
    for axis in (channel_axis, 4 - channel_axis):
        if images.ndim == 4 and len(images) and images.shape[axis] == shape[2]:
            notes: tuple[str, ...] = ()
            if axis != channel_axis:
                order = "[M,H,W,K]" if axis == 3 else "[M,K,H,W]"
                notes = (f"images of shape {list(images.shape)} taken as {order}",)
            return np.moveaxis(images, axis, 3), notes
    raise InputError(
        f"{path}: images have shape {list(images.shape)}, expected [M,K,H,W] or "
        f"[M,H,W,K] with K = {shape[2]} channels, as the source has"
    )
