"""Teacher bundles: weights, and what must be known to use them on a source.

A bundle is the folder of a teacher's artifact. Its manifest has the network with
its options, the image shape, mean and deviation, the classes in the order of the
logits, the training recipe, seed, accuracies and the digest of the data.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ddjax import artifacts, keys, models
from ddjax.artifacts import Artifact
from ddjax.data.source import Source
from ddjax.declare.walk import shown
from ddjax.errors import InputError
from ddjax.models import Network
from ddjax.settings import Teacher as TeacherSettings
from ddjax.train import checkpoint

WEIGHTS = "weights"


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A teacher whose logits are in the order of the source's classes.

    Attributes:
      network: its network.
      variables: its weights.
      artifact: its folder and manifest.
      accuracy: split -> percent; as it was measured when the bundle was written.
      address: identifies its logits: the artifact's address, and the snapshot and the
        order of classes where they are not the bundle's own.
      notes: remarks on what it is worth.
    """

    network: Network
    variables: Any
    artifact: Artifact
    accuracy: dict[str, float]
    address: str
    notes: tuple[str, ...] = ()


def read_bundle(path: str, section: str) -> Artifact:
    """Returns the bundle in a folder.

    Args:
      path: the folder.
      section: of the settings that name it, for messages.

    Raises:
      InputError: there is none, it is damaged, or its manifest is none of a teacher.
    """
    advice = f"{section}.path must be the folder of a teacher, or a file of weights"
    found = artifacts.load(pathlib.Path(path), "teacher", advice)
    check_manifest(found)
    return found


def open_bundle(
    artifact: Artifact, source: Source, settings: TeacherSettings, section: str
) -> Teacher:
    """Returns the teacher in a bundle, checked against the source.

    Args:
      artifact: the bundle.
      source: whose images it will see.
      settings: `epoch` and `remap` count.
      section: of the settings, for messages.

    Raises:
      InputError: its image shape differs from the source's, its classes differ or have
        another order and `remap` is not set, there is no such snapshot, or its weights
        are not those of the network that its manifest describes.
    """
    info, described = artifact.info, artifact.manifest["settings"]
    if info["image_shape"] != list(source.shape):
        raise InputError(
            f"{section}.path {artifact.path}: the teacher's image shape is "
            f"{info['image_shape']}, the source's is {list(source.shape)}"
        )
    network = _network(artifact)
    folder, accuracy, address = WEIGHTS, info["accuracy"], artifact.address
    last = described.get("recipe", {}).get("epochs", 0)
    if settings.epoch not in (0, last):
        snapshots = info.get("snapshots", {})
        accuracy = snapshots.get(str(settings.epoch))
        if accuracy is None:
            known = ", ".join((*snapshots, str(last)))
            raise InputError(
                f"{section}.epoch: found {settings.epoch}, allowed is 0 or a snapshot "
                f"of {artifact.path}: {known}"
            )
        folder = snapshot_folder(settings.epoch)
        address = f"{artifact.address}@{settings.epoch}"
    fitted, order = fit(network, info, source, settings.remap, section, artifact.path)
    check_listed(artifact, folder)
    variables = _variables(artifact.path / folder, network)
    if order is not None:
        variables = reorder(variables, network.head, order)
        address += f"/{artifacts.digest(order)}"
    return Teacher(fitted, variables, artifact, accuracy, address)


def _network(artifact: Artifact) -> Network:
    """Returns the network that a bundle's manifest describes."""
    info, described = artifact.info, artifact.manifest["settings"]
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in described["options"].items()
    }
    try:
        network = models.network(
            described["network"],
            len(info["classes"]),
            tuple(info["image_shape"]),
            **options,
        )
        jax.eval_shape(network.init, keys.key(0))
    except (InputError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{artifact.path / 'manifest.json'}: settings.options: {reason}"
        ) from error
    return network


def _variables(path: pathlib.Path, network: Network) -> Any:
    """Returns the weights in a bundle, which are checked against the network."""
    like = jax.eval_shape(network.init, keys.key(0))
    try:
        found = checkpoint.read_shapes(path)
        check_weights(path, found, checkpoint.shapes_of(like))
        variables = checkpoint.load_tree(path, like)
    except InputError:
        raise
    except Exception as error:  # Of many kinds, depending on where the damage is.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as weights ({reason})") from error
    for name, leaf in zip(found, jax.tree.leaves(variables), strict=True):
        if not np.isfinite(leaf).all():
            raise InputError(
                f"{path}: {name}: found NaN or infinite numbers, allowed are finite"
            )
    return variables


def fit(
    network: Network,
    info: dict[str, Any],
    source: Source,
    remap: bool,
    section: str,
    path: pathlib.Path,
) -> tuple[Network, list[int] | None]:
    """Returns the network for a source's pixels and classes, and see `class_order`.

    Args:
      network: of a teacher.
      info: its `classes`, `mean` and `std`.
      source: whose images it will see.
      remap, section, path: see `class_order`.
    """
    order = class_order(info["classes"], source.classes, remap, section, path)
    module = network.module.clone(num_classes=source.num_classes)
    rescale = _rescale(source, info["mean"], info["std"])
    return dataclasses.replace(network, module=module, rescale=rescale), order


def snapshot_folder(epoch: int) -> str:
    """Returns where a bundle keeps the weights after an epoch."""
    return f"{WEIGHTS}_epoch_{epoch}"


def class_order(
    found: list[str],
    wanted: tuple[str, ...],
    remap: bool,
    section: str,
    path: pathlib.Path,
) -> list[int] | None:
    """Returns which logit each class of the source reads, None if all are in place.

    Args:
      found: the teacher's classes in the order of its logits.
      wanted: the source's classes in order.
      remap: whether another order, or more classes, may be mended by name.
      section, path: of the teacher, for messages.

    Raises:
      InputError: the classes differ, or they may not be reordered.
    """
    if list(found) == list(wanted):
        return None
    missing = [name for name in wanted if name not in found]
    unique = len(set(found)) == len(found)
    if missing or not unique:
        what = f"lacks {missing}" if missing else "has a name twice"
        advice = "they cannot be matched by name"
    elif len(found) > len(wanted):
        what = f"has {len(found)} classes, the source's {len(wanted)} among them"
        advice = f"--{section}.remap=True reads those only"
    else:
        what = "has the same classes in another order"
        advice = f"--{section}.remap=True reorders its logits by name"
    if missing or not unique or not remap:
        raise InputError(
            f"{section}.path {path}: {what}: the teacher's classes are "
            f"{_listed(found)}, the source's are {_listed(wanted)}; {advice}"
        )
    return [found.index(name) for name in wanted]


def _listed(names) -> str:
    names, more = list(names)[:20], len(names) - 20
    return f"{names} and {more} more" if more > 0 else f"{names}"


def reorder(variables: Any, head: str, order: list[int]) -> Any:
    """Returns variables whose logits are those of `order`, in that order.

    Args:
      variables: of a network.
      head: its last dense layer, see `Network.head`.
      order: which logits are wanted.
    """
    *modules, last = head.split("/")
    params = dict(variables["params"])
    place = functools.reduce(_copied, modules, params)
    place[last] = {name: leaf[..., order] for name, leaf in place[last].items()}
    return {**variables, "params": params}


def _copied(parent: dict, name: str) -> dict:
    """Returns a child that can be changed without changing the original tree."""
    parent[name] = dict(parent[name])
    return parent[name]


def _rescale(source: Source, mean: list[float], std: list[float]):
    """What turns the source's normalised pixels into the teacher's; None: nothing."""
    if list(mean) == list(source.mean) and list(std) == list(source.std):
        return None
    factors = [ours / theirs for ours, theirs in zip(source.std, std, strict=True)]
    offsets = [
        (ours - theirs) / deviation
        for ours, theirs, deviation in zip(source.mean, mean, std, strict=True)
    ]
    return tuple(factors), tuple(offsets)


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
