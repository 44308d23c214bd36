"""What a teacher bundle's manifest must say, checked before anything is made of it."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ddjax import models
from ddjax.artifacts import Artifact
from ddjax.declare.walk import shown
from ddjax.errors import InputError


def check_manifest(artifact: Artifact) -> None:
    """Checks that a bundle's manifest and arrays are what a teacher's are.

    Args:
      artifact: the bundle, whose files are whole.

    Raises:
      InputError: names the file, the key, what was found and what is allowed.
    """
    found = _Section(artifact.path / "manifest.json", artifact.manifest)
    settings, info = found.section("settings"), found.section("info")
    settings.require("network", lambda v: v in models.MODELS, "a name of a network")
    settings.section("options")
    if "recipe" in settings.values:
        recipe = settings.section("recipe")
        recipe.require("epochs", _whole, "an integer of at least 1")
    info.require("classes", _names, "a list of at least 2 names")
    info.require("image_shape", _shape, "[height, width, channels], equal sides")
    channels = info.values["image_shape"][2]
    each = f"a list of {channels} numbers"
    info.require("mean", lambda v: _numbers(v, channels), each)
    info.require(
        "std",
        lambda v: _numbers(v, channels) and min(v) >= 1e-6,
        f"{each} of at least 1e-6",
    )
    info.require("parameters", _whole, "an integer of at least 1")
    source = info.section("source")
    for key in ("name", "digest"):
        source.require(key, lambda v: isinstance(v, str), "a text")
    _check_accuracy(info.section("accuracy"))
    if "snapshots" in info.values:
        snapshots = info.section("snapshots")
        for epoch in snapshots.values:
            _check_accuracy(snapshots.section(epoch))
    _check_curve(artifact)


def _check_accuracy(section: "_Section") -> None:
    for split in ("validation", "test"):
        section.require(split, _percent, "a number of percent")


def _check_curve(artifact: Artifact) -> None:
    """Checks the learning curve, which a teacher that was read from a file lacks."""
    arrays = artifact.arrays
    if not arrays:
        return
    shapes = {name: arrays[name].shape for name in arrays}
    points = arrays["validation"].size if "validation" in arrays else 0
    fits = {"loss", "epochs", "validation"} <= arrays.keys() and points > 0
    fits = fits and shapes["epochs"] == shapes["validation"] == (points,)
    fits = fits and len(shapes["loss"]) == 1
    if not fits or any(array.dtype.kind not in "iuf" for array in arrays.values()):
        raise InputError(
            f"{artifact.path / 'arrays.npz'}: found the shapes {shapes}, allowed are "
            "none, or loss [S], and epochs and validation [P]"
        )


class _Section:
    """A mapping of a manifest, with the file and the key where it stands."""

    def __init__(self, path: pathlib.Path, values: Mapping[str, Any], key: str = ""):
        self.path, self.values, self.key = path, values, key

    def section(self, name: str) -> "_Section":
        """Returns the mapping at a name, or refuses what else is there."""
        self.require(name, lambda v: isinstance(v, dict), "a mapping")
        return _Section(self.path, self.values[name], f"{self.key}{name}.")

    def require(self, name: str, fits: Any, allowed: str) -> None:
        """Refuses a value that does not fit, or its absence."""
        if name not in self.values:
            raise InputError(
                f"{self.path}: {self.key}{name} is missing, allowed is {allowed}"
            )
        value = self.values[name]
        try:
            fine = fits(value)
        except TypeError:  # an unhashable value
            fine = False
        if not fine:
            raise InputError(
                f"{self.path}: {self.key}{name}: found {shown(value)}, allowed is "
                f"{allowed}"
            )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percent(value: Any) -> bool:
    return _number(value) and (math.isnan(value) or 0 <= value < 100.001)  # float32


def _numbers(value: Any, count: int) -> bool:
    fits = isinstance(value, list) and len(value) == count and all(map(_number, value))
    return fits and all(abs(number) <= 1000 for number in value)


def _names(value: Any) -> bool:
    listed = isinstance(value, list) and len(value) >= 2
    return listed and all(isinstance(name, str) for name in value)


def _shape(value: Any) -> bool:
    fits = isinstance(value, list) and len(value) == 3 and all(map(_whole, value))
    return fits and value[0] == value[1] and value[2] <= 4


def check_listed(artifact: Artifact, folder: str) -> None:
    """Checks that the manifest has the digest of every file of a folder.

    Args:
      artifact: the bundle.
      folder: of weights in it.

    Raises:
      InputError: there is none, or one that nothing was checked against.
    """
    place, listed = artifact.path / folder, artifact.manifest["files"]
    files = [path for path in place.rglob("*") if not path.is_dir()]
    names = [str(path.relative_to(artifact.path)) for path in files]
    missing = [name for name in names if name not in listed]
    if missing or not names:
        raise InputError(
            f"{artifact.path / 'manifest.json'}: files: found nothing of "
            f"{(missing or [folder])[0]!r}, allowed is the sha256 of every file of "
            f"{folder}"
        )


def check_weights(
    path: pathlib.Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Checks that weights on disk are those of a network, by names, shapes and kinds.

    Args:
      path: the folder of the weights.
      found: name of a leaf -> (shape, dtype) there.
      wanted: likewise, of the network.

    Raises:
      InputError: a leaf is missing, left over or another one.
    """
    for name in dict.fromkeys((*wanted, *found)):
        there, here = found.get(name), wanted.get(name)
        if there != here:
            raise InputError(
                f"{path}: its weights are not those of the network that manifest.json "
                f"describes: {name}: found {_leaf(there)}, expected {_leaf(here)}"
            )


def _leaf(described: tuple[tuple[int, ...], np.dtype] | None) -> str:
    if described is None:
        return "nothing"
    return f"{list(described[0])} of {described[1]}"
