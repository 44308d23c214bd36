"""Layouts of the files in which projects keep learned image sets.

Letters: M images, H height, W width, K channels, C classes.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddjax import torch_files
from ddjax.data.arrays import Archive
from ddjax.data.classes import shown
from ddjax.data.image_sets.pixels import DC, MTT
from ddjax.data.image_sets.suffix import Suffix
from ddjax.errors import InputError

# Files that make a folder an image set, the first one that is there.
_FILES = ("images_best.pt", "images_best_0.pt", "images.pt", "data.pt")
_IMAGES = re.compile(r"images(_zca)?(?=[_.])")
_PART = re.compile(r"images_best_\d+\.pt")
_WORDS = re.compile(r"[A-Za-z0-9]+")
_COMMON = ("tiny", "imagenet")  # words of paths, which MTT writes as Tiny and ImageNet
_FOLDERS = 4  # whose names may state the data set
_EXPECTED = (
    "a tensor of images, {'data': [[images, labels], ...]} of DC, [images, labels] of "
    "IDC, or {'data': images, 'label': labels} of CIM"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """What a file holds.

    Attributes:
      images: [M,K,H,W] or [M,H,W,K].
      labels: the arrays `labels`, `soft_labels` and `class_names` as far as there are;
        `labels` may be soft.
      space: "pixels" of images that may be normalised or not, as arguments state;
        "unnormalised" of learned ones in [0, 1]; "normalised" of learned ones;
        "whitened" and "frepo" of ZCA-whitened ones.
      channel_axis: of images, 1 or 3.
      constants: of the data set that the path names, (name, mean, std); None: none.
      scale: the number that is white, 0: unknown.
      learning_rate: learned, None: the file has none.
      notes: what was assumed.
    """

    images: np.ndarray
    labels: dict[str, np.ndarray]
    space: str
    channel_axis: int = 1
    constants: tuple[str, tuple[float, ...], tuple[float, ...]] | None = None
    scale: float = 0.0
    learning_rate: float | None = None
    notes: tuple[str, ...] = ()


def held_by(folder: Path) -> bool:
    """Whether a folder has a file of images as MTT, DATM, IDC and others call it."""
    return any((folder / name).is_file() for name in _FILES)


def read_torch(path: Path, num_classes: int, suffix: Suffix) -> Held:
    """Reads a file of PyTorch, or a folder of such.

    Args:
      path: the file, or the folder of `_FILES`.
      num_classes: C of the source, for images without labels.
      suffix: what is stated of the file.

    Returns:
      What it holds; floats as float32.

    Raises:
      InputError: it is missing, damaged, of another layout or holds more than tensors;
        or the suffix has what does not apply to it.
    """
    if path.is_dir():
        path = next(path / name for name in _FILES if (path / name).is_file())
    value = torch_files.read(path)
    suffix.refuse(str(path), "temperature")
    if not isinstance(value, Mapping):
        suffix.refuse(str(path), "experiment")
    if isinstance(value, np.ndarray):
        held = _beside(path, value, num_classes)
    elif _is_pair(value):
        held = _learned(value, "unnormalised")
    else:
        held = _dictionary(path, value, suffix)
    if suffix.zca:
        if path.name.startswith("images_zca"):
            raise InputError(
                f"{path}: found #zca, but MTT has turned images of that name back"
            )
        held = dataclasses.replace(held, space="whitened")
    of_mtt = path.name.startswith("images_")
    return dataclasses.replace(held, constants=_constants(path, MTT if of_mtt else DC))


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(each, np.ndarray) for each in value)
    )


def _learned(pair: Any, space: str, notes: tuple[str, ...] = ()) -> Held:
    images, labels = map(_floats, pair)
    return Held(images, {"labels": labels}, space, notes=notes)


def _dictionary(path: Path, value: Any, suffix: Suffix) -> Held:
    data = value.get("data") if isinstance(value, Mapping) else None
    if isinstance(data, np.ndarray) and isinstance(value.get("label"), np.ndarray):
        suffix.refuse(str(path), "experiment")
        named = value.get("dataset")
        remark = (f"the file names the data set {named!r}",) * isinstance(named, str)
        return _learned((data, value["label"]), "unnormalised", remark)
    if not isinstance(data, list | tuple) or not data or not all(map(_is_pair, data)):
        raise InputError(f"{path}: found {_kind(value)}, expected {_EXPECTED}")
    chosen = len(data) - 1 if suffix.experiment is None else suffix.experiment
    if chosen >= len(data):
        raise InputError(
            f"{path}: found #{chosen}, but there are {len(data)} image sets, allowed "
            f"is 0..{len(data) - 1}"
        )
    notes: tuple[str, ...] = ()
    if len(data) > 1:
        how = "the last" if suffix.experiment is None else f"#{chosen}"
        notes = (
            f"the file holds {len(data)} image sets, {how} was taken; '#0' to "
            f"'#{len(data) - 1}' behind the path choose one",
        )
    return _learned(data[chosen], "normalised", notes)


def _beside(path: Path, images: np.ndarray, num_classes: int) -> Held:
    """Images of a file, and labels and a learned rate of the files beside it."""
    parts = _parts(path)
    arrays = [images] if parts == [path] else [_tensor(part) for part in parts]
    if len({array.shape[1:] for array in arrays}) > 1:
        raise InputError(
            f"{path}: parts have images of shapes "
            f"{', '.join(str(list(array.shape)) for array in arrays)}, expected the "
            "same in all"
        )
    images = _floats(np.concatenate(arrays) if len(arrays) > 1 else arrays[0])
    notes: tuple[str, ...] = ()
    if len(parts) > 1:
        notes = (f"{len(parts)} parts were put together, {path.name} and the next",)
    named = [_sibling(part, "labels") for part in parts]
    turned = path.name.startswith("images_zca")
    space = "unnormalised" if turned else "normalised"
    if named[0] != path and all(place.is_file() for place in named):
        labels = [_floats(_tensor(place)) for place in named]
        if len(labels) > 1 and any(a.shape[1:] != labels[0].shape[1:] for a in labels):
            raise InputError(f"{named[0]}: parts have labels of different shapes")
        whole = np.concatenate(labels) if len(labels) > 1 else labels[0]
        rate, more = _learning_rate(_sibling(parts[0], "lr"))
        return Held(
            images,
            {"labels": whole},
            space,
            learning_rate=rate,
            notes=notes + more,
        )
    if images.ndim == 0 or len(images) == 0 or len(images) % num_classes:
        raise InputError(
            f"{path}: found images of shape {list(images.shape)} and no labels beside "
            f"them, and they cannot be as many of each of {num_classes} classes"
        )
    ipc = len(images) // num_classes
    notes += (
        f"no labels are beside {path.name}: images were taken as class after class, "
        f"{ipc} each",
    )
    return Held(
        images,
        {"labels": np.repeat(np.arange(num_classes), ipc)},
        space,
        notes=notes,
    )


def _parts(path: Path) -> list[Path]:
    """The files of a set in several, from the first on."""
    if not _PART.fullmatch(path.name):
        return [path]
    parts: list[Path] = []
    while (place := path.with_name(f"images_best_{len(parts)}.pt")).is_file():
        parts.append(place)
    return parts if path in parts else [path]


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(_IMAGES.sub(kind, path.name, count=1))


def _learning_rate(path: Path) -> tuple[float | None, tuple[str, ...]]:
    if not path.is_file() or not path.name.startswith("lr"):
        return None, ()
    rate = _floats(_tensor(path))
    if rate.size != 1 or not 0 < float(rate.ravel()[0]) < np.inf:
        found = float(rate.ravel()[0]) if rate.size == 1 else list(rate.shape)
        raise InputError(f"{path}: found {found}, expected one learned rate above 0")
    value = float(rate.ravel()[0])
    return value, (f"a learned learning rate of {value:.4g} is in {path.name}",)


def _tensor(path: Path) -> np.ndarray:
    value = torch_files.read(path)
    if not isinstance(value, np.ndarray):
        raise InputError(f"{path}: found {_kind(value)}, not a tensor")
    return value


def _floats(array: np.ndarray) -> np.ndarray:
    """Floats of any kind as float32, in memory of their own; others as they are."""
    return array if array.dtype.kind in "biu" else array.astype(np.float32)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping with {shown(sorted(map(str, value)))}"
    return type(value).__name__


def _constants(path, known):
    """Of the data set that the file's name, or the nearest folder's, has as a word."""
    for name in (path.name, *(folder.name for folder in path.parents[:_FOLDERS])):
        for word in _WORDS.findall(name):
            if word.lower() in known and word not in _COMMON:
                return word, *known[word.lower()]
    return None


def read_npz(path: Path, suffix: Suffix) -> Held:
    """Reads an .npz file.

    It has images [M,H,W,K] and labels, [M] integers or [M,C] soft labels, and may have
    soft_labels [M,C], class_names, scale and learning_rate; or, of FRePo, image and
    label: learned images, and learned regression targets [M,C], which the suffix's
    temperature turns into soft labels: a softmax of targets / temperature, or the
    likeliest class alone if it is 0.

    Args:
      path: the file.
      suffix: what is stated of the file.

    Raises:
      InputError: it is damaged, lacks an array or has one of another form; the suffix
        has what does not apply to it, or no temperature for targets.
    """
    wanted = ("images", "labels", "soft_labels", "class_names", "image", "label")
    suffix.refuse(str(path), "experiment")
    with Archive(path) as archive:
        names = archive.names
        more = ("scale", "learning_rate") if "images" in names else ()
        found = {n: archive.read(n) for n in (*wanted, *more) if n in names}
    if {"image", "label"} <= found.keys() and "images" not in found:
        suffix.refuse(str(path), "zca")
        return _frepo(path, found["image"], found["label"], suffix.temperature)
    suffix.refuse(str(path), "temperature")
    if "images" not in found or not found.keys() & {"labels", "soft_labels"}:
        raise InputError(
            f"{path}: found the arrays {names}, expected images and labels or "
            "soft_labels, or image and label of FRePo"
        )
    class_names = found.get("class_names")
    if class_names is not None and (
        class_names.ndim != 1 or class_names.dtype.kind != "U"
    ):
        raise InputError(
            f"{path}: class_names has shape {class_names.shape} of "
            f"{class_names.dtype}, expected [C] strings"
        )
    rate = _number(path, found, "learning_rate")
    return Held(
        found.pop("images"),
        {key: found[key] for key in wanted if key in found},
        "whitened" if suffix.zca else "pixels",
        channel_axis=3,
        scale=_number(path, found, "scale") or 0.0,
        learning_rate=rate,
        notes=(f"a learned learning rate of {rate:.4g} is in it",) if rate else (),
    )


def _number(path: Path, found: dict[str, np.ndarray], name: str) -> float | None:
    """The array of one positive number of that name, None if there is none."""
    if name not in found:
        return None
    array = found[name]
    if array.size != 1 or array.dtype.kind not in "iuf" or not 0 < array.item() < 1e12:
        raise InputError(
            f"{path}: {name} has shape {list(array.shape)} of {array.dtype}, expected "
            "one number above 0"
        )
    return float(array.item())


def _frepo(
    path: Path, images: np.ndarray, targets: np.ndarray, temperature: float | None
) -> Held:
    if targets.ndim != 2 or targets.dtype.kind != "f" or images.ndim != 4:
        raise InputError(
            f"{path}: image has shape {list(images.shape)} and label "
            f"{list(targets.shape)} of {targets.dtype}, expected [M,H,W,K] and [M,C] "
            "floats, as of FRePo"
        )
    if temperature is None:
        raise InputError(
            f"{path}: labels are learned targets of a regression, no probabilities; "
            "allowed is '#temperature=NUMBER' behind the path, for the softmax of "
            "targets / NUMBER, or '#temperature=0' for the likeliest class alone"
        )
    if not np.isfinite(targets).all():
        raise InputError(f"{path}: label has values that are not finite")
    if temperature:
        scaled = targets.astype(np.float64) / temperature
        scores = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        labels = scores / scores.sum(axis=1, keepdims=True)
        how = f"soft labels by a softmax at temperature {temperature:g}"
    else:
        labels, how = targets.argmax(axis=1), "the class of the largest one"
    space = "normalised" if images.shape[3] == 1 else "frepo"
    notes = (f"learned regression targets became {how}",)
    return Held(images, {"labels": labels}, space, channel_axis=3, notes=notes)
