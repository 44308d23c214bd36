"""An image set as arrays: .npz, and the .pt files of the DC, DM and MTT family.

Whatever numbers a file has become levels of 0..255.

Letters: M images, H height, W width, K channels, C classes.
"""

import dataclasses
import io
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ddjax.artifacts import write_file
from ddjax.data.arrays import Archive
from ddjax.data.classes import shown
from ddjax.data.image_sets.files import check_sizes
from ddjax.data.images import resize as resize_images
from ddjax.errors import InputError

SUFFIXES = (".npz", ".pt", ".pth")
_PAIRS = (("images_best.pt", "labels_best.pt"), ("images.pt", "labels.pt"))
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


def held_by(folder: Path) -> bool:
    """Whether a folder has a file of images as MTT, DATM and DD-Ranking call it."""
    return any((folder / images).is_file() for images, _ in _PAIRS)


def read(
    path: Path,
    num_classes: int,
    shape: tuple[int, int, int],
    pixels: Pixels,
    resize: bool,
) -> tuple[np.ndarray, dict[str, np.ndarray], tuple[str, ...]]:
    """Read images and labels from arrays.

    ".npz" has images [M,H,W,K] and labels, [M] integers or [M,C] soft labels, and may
    have soft_labels [M,C] and class_names. ".pt" or ".pth" is what `torch.save` wrote,
    for which PyTorch must be installed; only tensors are read, so it can run no code:

    - {"data": [[images, labels], ...]}, one pair an experiment: DC, DSA, DM. The first
      pair is taken.
    - images_best.pt beside labels_best.pt: MTT, DATM; images.pt beside labels.pt:
      DD-Ranking; either of these or their folder is PATH. Without the labels, images
      are class after class, as DD-Ranking takes them.

    Images of .pt files are [M,K,H,W]; those of images_zca_*.pt are not normalised.

    Args:
      path: the file, or the folder of .pt files.
      num_classes: C of the source.
      shape: (H, W, K) of the source's images.
      pixels: how the file's numbers are pixels.
      resize: whether images of another size are brought to it.

    Returns:
      Images [M,H,W,K] uint8; the arrays `labels`, `soft_labels` and `class_names` as
      far as the file has them, of which `labels` may be soft; and remarks on what was
      assumed.

    Raises:
      InputError: the file is missing, damaged, of another layout or holds more than
        tensors, or images have another shape or kind, see `to_levels`.

    Source: layouts as written by VICO-UoE/DatasetCondensation (main.py, main_DM.py),
    GeorgeCazenavette/mtt-distillation (distill.py), and read by NUS-HPC-AI-Lab/
    DD-Ranking (demo_soft.py, demo_hard.py, hard_label_eval.py). MTT's runs with ZCA
    keep whitened images, which only its own whitening turns into pixels: of these take
    images_zca_*.pt, which MTT has turned back and never normalised.
    """
    if path.suffix == ".npz":
        found, notes = _read_npz(path), ()
        channel_axis = 3
    else:
        found, notes = _read_torch(path, num_classes)
        channel_axis = 1
        if path.name.startswith("images_zca"):
            pixels = dataclasses.replace(pixels, mean=None, std=None)
    images_MHWK, more = _channels_last(found.pop("images"), channel_axis, shape, path)
    notes += more
    images_MHWK, more = to_levels(images_MHWK, pixels, str(path))
    notes += more
    size = images_MHWK.shape[1:3]
    notes += check_sizes({size: len(images_MHWK)}, shape, resize, str(path))
    if size != shape[:2]:
        images_MHWK = resize_images(images_MHWK, shape[0])
    return images_MHWK, found, notes


def write_npz(
    path: Path,
    images_MHWK: np.ndarray,
    labels_M: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Write images, labels and class_names; the file is whole or not there.

    Args:
      path: the file, of suffix ".npz".
      images_MHWK: [M,H,W,K] uint8.
      labels_M: [M] integers.
      classes: class names in label order.
    """
    file = io.BytesIO()
    names = np.array(list(classes), dtype=str)
    np.savez(
        file, images=images_MHWK, labels=labels_M.astype(np.int32), class_names=names
    )
    write_file(path, file.getvalue())


def _read_npz(path):
    wanted = ("images", "labels", "soft_labels", "class_names")
    with Archive(path) as archive:
        names = archive.names
        found = {name: archive.read(name) for name in wanted if name in names}
    if "images" not in found or not found.keys() & {"labels", "soft_labels"}:
        raise InputError(
            f"{path}: found the arrays {names}, expected images and labels or "
            "soft_labels"
        )
    names = found.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise InputError(
            f"{path}: class_names has shape {names.shape} of {names.dtype}, expected "
            "[C] strings"
        )
    return found


def _read_torch(path, num_classes):
    if path.is_dir():
        names = next(pair for pair in _PAIRS if (path / pair[0]).is_file())
        images_path, labels_path = (path / name for name in names)
    else:
        name = re.sub("^images(_zca)?", "labels", path.name)
        images_path, labels_path = path, path.with_name(name)
    held = _load(images_path)
    if _is_tensor(held):
        images = _array(held)
        if labels_path != images_path and labels_path.is_file():
            labels = _load(labels_path)
            if not _is_tensor(labels):
                raise InputError(f"{labels_path}: found {_kind(labels)}, not a tensor")
            return {"images": images, "labels": _array(labels)}, ()
        if images.ndim == 0 or len(images) == 0 or len(images) % num_classes:
            raise InputError(
                f"{images_path}: found images of shape {list(images.shape)} and no "
                f"labels beside them, and they cannot be as many of each of "
                f"{num_classes} classes"
            )
        ipc = len(images) // num_classes
        labels = np.repeat(np.arange(num_classes), ipc)
        return {"images": images, "labels": labels}, (
            f"no labels are beside {images_path.name}: images were taken as class "
            f"after class, {ipc} each",
        )
    pairs = held.get("data") if isinstance(held, Mapping) else None
    first = pairs[0] if isinstance(pairs, list | tuple) and pairs else None
    if (
        not isinstance(first, list | tuple)
        or len(first) != 2
        or not all(map(_is_tensor, first))
    ):
        raise InputError(
            f"{images_path}: found {_kind(held)}, expected a tensor of images, or "
            "{'data': [[images, labels], ...]}"
        )
    notes = ()
    if len(pairs) > 1:
        notes = (f"the file holds {len(pairs)} image sets, the first was taken",)
    return {"images": _array(first[0]), "labels": _array(first[1])}, notes


def _load(path):
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: only PyTorch can read it; install that (pip install torch), or "
            "save images and labels as .npz"
        ) from error
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    # DC and DM keep accuracies beside the images: float64 scalars of NumPy, which
    # hold nothing but a number.
    scalar = np.float64(0).__reduce__()[0]
    numbers = [
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        np.dtype,
        type(np.dtype(np.float64)),
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(numbers):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = "is damaged, or holds more than tensors"
        if named:
            reason = f"holds {named[1]}, and reading that could run code"
        raise InputError(f"{path}: is refused, since it {reason}") from error
    except Exception as error:  # Of many kinds, depending on where the damage is.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is no readable PyTorch file ({reason})") from error


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach")


def _array(tensor):
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _kind(value):
    if isinstance(value, Mapping):
        return f"a mapping with {shown(sorted(map(str, value)))}"
    return type(value).__name__


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
        finite, or more of them outside of [0, 1] than may be clipped; the
        message has settings that make them fit.
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
    if not np.isfinite(values).all():
        bad = np.array(~np.isfinite(values).all(axis=(1, 2, 3)))
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
      InputError: as above; the message names the scale that fits them.
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
